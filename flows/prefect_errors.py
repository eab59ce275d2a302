"""A Prefect server that dies ends a search; this says so in a line, as for all else that a person can put right."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from flows.prefect_server import SERVER_LOG
from memnas_core.errors import SchedulerError

_NO_SERVER = "Failed to reach API"  # Prefect's RuntimeError while a flow begins


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Prefect raises when its server is gone or refuses into an error that says what to do.

    Raises:
        SchedulerError: The server is gone or refuses.
    """
    from prefect.settings import PREFECT_API_URL

    where = PREFECT_API_URL.value()  # before memnas starts a server of its own
    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        if not isinstance(error, httpx.HTTPError) and _NO_SERVER not in str(error):
            raise
        found = " ".join(str(error).split()) or type(error).__name__
        if not where:
            raise SchedulerError(
                f"expected an answer from the Prefect server that memnas started, found {found}; {SERVER_LOG} in the "
                "store says why; go on with --resume"
            ) from error
        raise SchedulerError(
            f"{where}: expected an answer from Prefect's server, found {found}; start it again (make deploy does, or "
            "prefect server start), or let memnas start one of its own (prefect config unset PREFECT_API_URL), and go "
            "on with --resume"
        ) from error
