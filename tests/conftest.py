"""The environment of every test, set before any test module imports a library that reads it."""

import logging
import os
import signal
import tempfile

os.environ |= {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Prefect's own 20 s are too few for its server's start on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}

# Whoever starts the tests with `&` in a script makes them ignore Ctrl-C, and with them every process that they start
# and press Ctrl-C on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Prefect reads its home once, at import, so a fixture would come too late.
_prefect_home = tempfile.TemporaryDirectory(prefix="memnas-tests-prefect-", ignore_cleanup_errors=True)
os.environ["PREFECT_HOME"] = _prefect_home.name


def pytest_unconfigure() -> None:
    """Remove the temporary Prefect home."""
    _prefect_home.cleanup()
    # A server that a flow started says goodbye when Python ends, into output that pytest has closed by then.
    logging.raiseExceptions = False
