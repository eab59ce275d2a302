"""The Prefect server of a search where the user has none running.

Prefect would start one by itself, but in the current folder, whose modules that server imports, with no log, and again
and again where it cannot start.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memnas_core.errors import SchedulerError
from memnas_core.files.writing import storage_errors
from tasks.service import Service

SERVER_LOG = "prefect-server.log"


@contextmanager
def prefect_server(store: Path) -> Iterator[None]:
    """Run a Prefect server during the block, unless Prefect's settings name one.

    Args:
        store: The store, where its log is put.

    Raises:
        SchedulerError: The server does not start.
        StorageError: Its log or its folder cannot be written.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings

    if PREFECT_API_URL.value():
        yield
        return
    home = PREFECT_HOME.value().expanduser().absolute()
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = ["uvicorn", "--app-dir", str(home), "--factory", "prefect.server.api.server:create_app"]
    server = Service(
        f"Prefect's server (data in {home})",
        [*command, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"],
        address=f"http://127.0.0.1:{port}",
        health="/api/health",
        log=(store / SERVER_LOG).absolute(),
        error=SchedulerError,
        environment=get_current_settings().to_environment_variables(exclude_unset=True)
        | {
            "PREFECT_HOME": str(home),
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # Without services that only a server that stays needs, as in the one that Prefect would start.
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        },
        folder=home,  # Prefect's migrations put the folder that they run in on the path of modules
    )
    with server:
        os.environ["PREFECT_API_URL"] = f"{server.address}/api"
        refresh_global_settings_context()  # threads and children know it from there
        try:
            yield
        finally:
            APILogHandler().flush()  # what was said last; this server is the one that keeps it
            del os.environ["PREFECT_API_URL"]
            refresh_global_settings_context()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
