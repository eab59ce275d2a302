"""MLflow's backend: whether it answers, what its errors mean, and the server that shows it.

MLflow itself tries for minutes to reach a store that is not there. This module does not import it.
"""

import errno
import socket
import sqlite3
import sysconfig
import urllib.error
import urllib.request
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from memnas_core.errors import InputError, MemnasError, StorageError, TrackingError
from memnas_core.files.writing import storage_errors
from memnas_core.settings.schema import Settings
from tasks.service import Service

ANSWER_SECONDS = 5.0
"""Time after which a tracking store that has not answered counts as absent."""

_PORTS = {"http": 80, "https": 443, "mssql": 1433, "mysql": 3306, "postgresql": 5432}

# Errors of SQLite and MLflow, and what they mean to a person.
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
    """Return a URI without its password, so that it may be shown."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def without_secrets(settings: Settings) -> Settings:
    """Return settings as all readers of MLflow may see them, without the tracking password."""
    tracking = settings.tracking
    if tracking.uri is None:
        return settings
    return replace(settings, tracking=replace(tracking, uri=without_password(tracking.uri)))


def check_reachable(uri: str) -> None:
    """Check within seconds that a tracking store answers.

    Raises:
        TrackingError: The store does not answer, is something else, or refuses the login.
        StorageError: The store is an SQLite file that cannot be written.
    """
    address = urlsplit(uri)
    if address.scheme == "sqlite":
        _check_database(Path(address.path.removeprefix("/")), uri)
    elif address.hostname:
        _check_server(uri)
        if address.scheme.startswith("postgresql"):
            _check_login(uri)


def log_ahead(database: Path) -> None:
    """Make an SQLite file log its changes beside it, so that a commit waits for the disk once, not three times.

    A search commits about ninety times a round. The setting stays in the file. Where it is impossible, nothing changes.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=0)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def tracking_error(error: Exception, action: str, uri: str) -> MemnasError:
    """Return an exception of MLflow or its store as an error that says what to do.

    Args:
        error: The exception that was raised.
        action: The action that was tried, in the infinitive.
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
        raise tracking_error(error, "open the MLflow database", uri) from error


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
            return  # the server wants credentials, which MLflow takes from its own variables
        found = str(error)
    except OSError as error:
        raise TrackingError(f"{where}: no tracking server answers there ({error}); {advice}") from error
    if found != "OK":
        raise TrackingError(f"{where}: expected an MLflow server, found one that says {found!r}; {advice}")


def _check_login(uri: str) -> None:
    """Log in to PostgreSQL once; MLflow would retry a wrong password for half an hour."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri, connect_args={"connect_timeout": round(ANSWER_SECONDS)})
        with closing(engine.connect()):
            pass
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise tracking_error(error, "open the MLflow database", uri) from error


def check_port(host: str, port: int) -> None:
    """Check that a server can listen on a port.

    Raises:
        InputError: The port is taken or not allowed, or the host is not an address of this machine.
    """
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {host}: expected a free port, found {error.strerror}; choose another with --port"
        ) from None


class UiServer(Service):
    """MLflow's server in its own process group, which ends when the block is left."""

    def __init__(self, uri: str, log: Path, host: str, port: int) -> None:
        """Start the server and wait until it answers.

        Args:
            uri: URI of the database that it shows.
            log: File for the server's output.
            host: Address to listen on.
            port: Port to listen on.

        Raises:
            InputError: The port is taken.
            TrackingError: The server does not start.
            StorageError: The log cannot be written.
        """
        check_port(host, port)
        command = ["mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
        environment = {
            # MLflow's job runners would be eight more processes, and there are no jobs here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_LOGGING_LEVEL": "INFO",
            # The program that MLflow serves with would look for modules in the current folder first.
            "UVICORN_APP_DIR": sysconfig.get_path("purelib"),
        }
        super().__init__(
            "MLflow's server",
            [*command, "--host", host, "--port", str(port)],
            address=f"http://{host}:{port}",
            health="/health",
            log=log,
            error=TrackingError,
            environment=environment,
        )
