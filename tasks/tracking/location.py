"""Where MLflow keeps files. It writes absolute paths down; in a store's own database they follow the store."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from memnas_core.errors import TrackingError
from memnas_core.files.locks import exclusive
from tasks.tracking.store import check_reachable, is_server, tracking_error, without_password

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"

_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables of MLflow and their columns that hold absolute paths."""


def own_uri(store: Path) -> str:
    """Return the URI of the database in a store."""
    return f"sqlite:///{store.resolve() / DATABASE}"


def identity(uri: str) -> tuple[int, int] | None:
    """Return what tells an SQLite file from another one at the same place; None: there is none, or it is no file."""
    address = urlsplit(uri)
    if address.scheme != "sqlite":
        return None
    try:
        found = Path(address.path.removeprefix("/")).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_own(uri: str | None, store: Path) -> bool:
    """Return whether a tracking URI names the database in the store; None does."""
    if uri is None:
        return True
    address = urlsplit(uri)
    return address.scheme == "sqlite" and Path(address.path.removeprefix("/")).resolve() == store.resolve() / DATABASE


def lacks_search(store: Path, name: str) -> bool:
    """Return whether a store's own database is not there, or does not know a search.

    Args:
        store: The store.
        name: What MLflow calls the search.
    """
    database = f"file:{quote(str(store.resolve() / DATABASE))}?mode=ro"
    try:
        with closing(sqlite3.connect(database, uri=True)) as connection:
            query = "SELECT 1 FROM tags WHERE key = 'search' AND value = ?"
            return connection.execute(query, [name]).fetchone() is None
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:  # damaged; MLflow says so where it is needed
        return False


def check_record(uri: str | None, store: Path, experiment: str) -> None:
    """Check within seconds, and without MLflow, that a search in this store can be recorded there.

    Args:
        uri: Tracking URI; None for the database in the store, which is made if there is none.
        store: The store.
        experiment: Name of the experiment.

    Raises:
        TrackingError: The tracking store does not answer, is damaged or refuses access, or is that of another store;
            or a running search knows this store by another path.
        StorageError: The database cannot be written.
    """
    if not is_own(uri, store):
        assert uri is not None, "None is the store's own"
        check_reachable(uri)
        if not is_server(uri) and (found := _location(uri, experiment)) is not None:
            check_location(found, uri, store, experiment)
        return
    database = store.resolve() / DATABASE
    if not database.exists():
        return
    check_reachable(own_uri(store))
    for old in _old_locations(database):
        path = Path(old.removeprefix("file://")).parent
        busy = TrackingError(
            f"{store}: a search is running in this store and knows it as {path}; wait for its end, or use that path"
        )
        for lock in (store / "searches").glob(".*.lock"):
            with exclusive(lock, busy):
                pass


def check_location(found: str, uri: str, store: Path, experiment: str) -> None:
    """Check that an experiment in a database elsewhere keeps its files in this store.

    Args:
        found: Where it keeps its files.
        uri: URI of the database.
        store: The store.
        experiment: Name of the experiment.

    Raises:
        TrackingError: It keeps them somewhere else.
    """
    expected = (store.resolve() / ARTIFACTS).as_uri()
    if found != expected:
        raise TrackingError(
            f"the MLflow experiment {experiment} at {without_password(uri)} keeps its files in {found}, expected "
            f"{expected}, in the store of this search; set another tracking.experiment, or tracking.uri to null to "
            "keep the record in the store"
        )


def follow(store: Path) -> None:
    """Let the paths in a store's own database lead to where the store is now.

    Raises:
        TrackingError: The database is damaged or in use.
        StorageError: It cannot be written.
    """
    store = store.resolve()
    database = store / DATABASE
    new = (store / ARTIFACTS).as_uri()
    for old in _old_locations(database):
        try:
            with closing(sqlite3.connect(database)) as connection, connection:
                for table, column in _LOCATIONS:
                    if any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})")):
                        connection.execute(
                            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                            (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                        )
        except sqlite3.Error as error:
            raise tracking_error(error, "follow the moved store", own_uri(store)) from error


def _old_locations(database: Path) -> list[str]:
    """Return where the experiments of a store's own database keep files, unless it is where the store is now."""
    here = (database.parent / ARTIFACTS).as_uri()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    except sqlite3.OperationalError:  # it does not exist, or has no tables yet
        return []
    return [str(old) for (old,) in found if str(old) != here and str(old).endswith(f"/{ARTIFACTS}")]


def _location(uri: str, experiment: str) -> str | None:
    """Return where an experiment in a database elsewhere keeps its files; None: there is no such experiment."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(uri)
        with closing(engine.connect()) as connection:
            query = text("SELECT artifact_location FROM experiments WHERE name = :name")
            found = connection.execute(query, {"name": experiment}).scalar()
        engine.dispose()
    except (SQLAlchemyError, ImportError):  # there are no tables yet; whatever else it is, MLflow meets it too
        return None
    return None if found is None else str(found)
