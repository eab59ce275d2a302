"""What stands behind MLflow: whether it answers, what its errors mean, and the server that shows it.

MLflow itself tries for minutes to reach what is not there. Nothing here imports it.
"""

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import urlsplit

from memnas_core.errors import InputError, MemnasError, StorageError, TrackingError
from memnas_core.storage import storage_errors

ANSWER_SECONDS = 5.0
"""A tracking store that has not answered by then counts as absent."""

START_SECONDS = 90.0
"""A server that has not answered by then counts as broken; it takes about ten on two slow cores."""

STOP_SECONDS = 4.0
"""A server that has not ended by then is killed; it takes about two."""

_PORTS = {"http": 80, "https": 443, "mssql": 1433, "mysql": 3306, "postgresql": 5432}

# What SQLite and MLflow say, and what it means to a person.
_DISK_FULL = ("database or disk is full", "disk I/O error", "No space left")
_NO_PERMISSION = ("readonly database", "unable to open database", "Permission denied")
_ADVICE = {
    "database is locked": "another program keeps it locked; end it and go on with --resume",
    "not a database": "it is damaged or something else; move it away, or set another tracking.uri",
    "Max retries exceeded": "it no longer answers; start it again and go on with --resume",
    "No module named": "a package is missing; for PostgreSQL: make team",
    "password authentication failed": "its user or password is wrong; correct tracking.uri, PGPASSWORD or ~/.pgpass",
    "does not exist": "there is no such database or user; make it, or correct tracking.uri",
    "out-of-date database schema": "another MLflow made it; bring it up to date with `mlflow db upgrade`",
}


def is_server(uri: str) -> bool:
    """Return whether a tracking URI names a running MLflow server, not a database or a folder."""
    return urlsplit(uri).scheme in ("http", "https")


def without_password(uri: str) -> str:
    """Return a URI as it may be shown."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def check_reachable(uri: str) -> None:
    """Check within seconds that a tracking store answers.

    Raises:
        TrackingError: It does not, is something else, or refuses the login.
        StorageError: It is an SQLite file that cannot be written.
    """
    address = urlsplit(uri)
    if address.scheme == "sqlite":
        _check_database(Path(address.path.removeprefix("/")), uri)
    elif address.hostname:
        _check_server(uri)
        if address.scheme.startswith("postgresql"):
            _check_login(uri)


def log_ahead(database: Path) -> None:
    """Let an SQLite file keep its changes in a log beside it: a commit then waits for the disk once, not three times.

    A search commits about ninety times a round. The file remembers it; where it cannot be, it stays as it was.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=0)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def explained(error: Exception, action: str, uri: str) -> MemnasError:
    """Return what MLflow or its store raised as an error that says what to do.

    Args:
        error: What was raised.
        action: What was tried, in the infinitive.
        uri: The tracking URI.
    """
    text = " ".join(str(error).split())
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(s in text for s in _DISK_FULL):
        return StorageError(f"cannot {action}: the disk is full; free some space and go on with --resume")
    where = without_password(uri)
    if any(symptom in text for symptom in _NO_PERMISSION):
        return StorageError(f"cannot {action}: no permission to write {where} ({text}); change it")
    for symptom, advice in _ADVICE.items():
        if symptom in text:
            return TrackingError(f"cannot {action} at {where}: {advice}")
    return TrackingError(f"cannot {action} at {where}: {text}")


def _check_database(path: Path, uri: str) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=ANSWER_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise explained(error, "open the MLflow database", uri) from error


def _check_server(uri: str) -> None:
    address = urlsplit(uri)
    host = str(address.hostname)
    port = address.port or _PORTS.get(address.scheme.partition("+")[0])
    advice = (
        f"start it (MLflow's own: mlflow server --host {host} --port {port}), correct tracking.uri, or set "
        "tracking.uri to null to keep the record in the store"
    )
    where = without_password(uri)
    try:
        if not is_server(uri):
            if port is not None:
                socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
            return
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS) as answer:
            found = str(answer.read(100), errors="replace").strip()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return  # it wants credentials, which MLflow takes from variables of its own
        found = str(error)
    except OSError as error:
        raise TrackingError(f"{where}: no tracking server answers there ({error}); {advice}") from error
    if found != "OK":
        raise TrackingError(f"{where}: expected an MLflow server, found one that says {found!r}; {advice}")


def _check_login(uri: str) -> None:
    """Log in to PostgreSQL once; MLflow would try a wrong password again for half an hour."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri, connect_args={"connect_timeout": round(ANSWER_SECONDS)})
        with closing(engine.connect()):
            pass
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise explained(error, "open the MLflow database", uri) from error


def check_port(host: str, port: int) -> None:
    """Check that a server could listen there.

    Raises:
        InputError: The port is taken or not allowed, or the host is no address of this machine.
    """
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {host}: expected a free port, found {error.strerror}; choose another with --port"
        ) from None


class UiServer:
    """MLflow's server, in a process group of its own; leaving the block ends it."""

    def __init__(self, uri: str, log: Path, host: str, port: int) -> None:
        """Start the server and wait until it answers.

        Args:
            uri: The database that it shows.
            log: File that receives what the server says.
            host: Address to listen on.
            port: Port to listen on.

        Raises:
            InputError: The port is taken.
            TrackingError: The server does not start.
            StorageError: The log cannot be written.
        """
        check_port(host, port)
        self.address = f"http://{host}:{port}"
        self._log = log
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
        command += ["--host", host, "--port", str(port)]
        # Its job runners would be eight more processes, and there are no jobs here.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with storage_errors(log), log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def wait(self) -> NoReturn:
        """Wait until the server ends by itself.

        Raises:
            TrackingError: It has; somebody ended it, or it failed.
        """
        code = self._process.wait()
        raise TrackingError(f"the MLflow server at {self.address} ended with {code}; its log {self._log} says why")

    def close(self) -> None:
        """End the server with all its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=1):
                return
            time.sleep(0.1)
        raise TrackingError(f"the MLflow server at {self.address} did not start; its log {self._log} says why")
