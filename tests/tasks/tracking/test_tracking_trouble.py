"""Trackers that cannot be reached, used or read: one line says what to do."""

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import pytest
from mlflow.tracking import MlflowClient

from memnas_core.errors import InputError, MemnasError, StorageError, TrackingError
from tasks.tracking import store as tracking_store
from tasks.tracking.tracker import Tracker
from tasks.tracking.ui import serve
from tests.tasks.tracking.tracked import candidate, children, rows


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_absent_server(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(TrackingError, match=r"no tracking server answers there .*or set tracking\.uri to null"):
        Tracker.connect(f"{scheme}://me:secret@127.0.0.1:{free_port()}/x", tmp_path, "memnas")


def test_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_store, "ANSWER_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(TrackingError, match="no tracking server answers there"),
    ):
        Tracker.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, "memnas")


class Greeting(BaseHTTPRequestHandler):
    """A web server that is no MLflow."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>Welcome</h1>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_server_of_another_kind(tmp_path: Path, other_server: str) -> None:
    with pytest.raises(TrackingError, match="expected an MLflow server, found one that says '<h1>") as caught:
        Tracker.connect(other_server.replace("me:secret@", ""), tmp_path, "memnas")
    assert "secret" not in str(caught.value)


def corrupt(path: Path) -> None:
    path.write_bytes(b"no database at all " * 100)


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (corrupt, TrackingError, "damaged or something else; move it away"),
        (make_folder, StorageError, "no permission to write"),
    ],
)
def test_spoilt_database(tmp_path: Path, spoil: Callable[[Path], None], error: type[MemnasError], message: str) -> None:
    spoil(tmp_path / "mlflow.db")
    with pytest.raises(error, match=message):
        Tracker.connect(None, tmp_path, "memnas")


def test_locked_database(store: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_store, "ANSWER_SECONDS", 0.1)
    with closing(sqlite3.connect(store / "mlflow.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(TrackingError, match="another program keeps it locked"):
            Tracker.connect(None, store, "memnas")
        other.execute("rollback")
    assert Tracker.connect(None, store, "memnas").table_url("") == tracker.table_url("")


def test_full_disk(store: Path, tracker: Tracker, search_run: str) -> None:
    """The kernel refuses every byte that would make a file longer than a page, as on a full disk."""
    round_run = tracker.start_round(search_run, 1)
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot record the candidate c0ff: the disk is full"):
            tracker.log_candidate(round_run, candidate())
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))
    run = tracker.log_candidate(round_run, candidate())
    assert children(store, round_run) == [run]


def test_commits_wait_for_the_disk_once(tmp_path: Path) -> None:
    Tracker.connect(None, tmp_path, "memnas")
    assert rows(tmp_path, "pragma journal_mode") == [("wal",)]
    # What another program holds stays as it is.
    with closing(sqlite3.connect(tmp_path / "other.db", isolation_level=None)) as other:
        other.execute("create table held (number integer)")
        other.execute("begin exclusive")
        tracking_store.log_ahead(tmp_path / "other.db")
        other.execute("commit")
        assert other.execute("pragma journal_mode").fetchall() == [("delete",)]


def test_lost_artifact(tracker: Tracker, search_run: str, tmp_path: Path) -> None:
    lost = replace(candidate(), artifacts=tmp_path / "lost")
    with pytest.raises(TrackingError, match=r"cannot record the candidate c0ff .*lost"):
        tracker.log_candidate(tracker.start_round(search_run, 1), lost)


def test_deleted_experiment(store: Path) -> None:
    other = Tracker.connect(None, store, "deleted")
    client = MlflowClient(other.uri)
    client.delete_experiment(client.get_experiment_by_name("deleted").experiment_id)  # type: ignore[union-attr]
    with pytest.raises(TrackingError, match=r"was deleted; restore it with `mlflow experiments restore -x \d+`"):
        Tracker.connect(None, store, "deleted")


def test_ui_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the record of a search, found none"):
        serve(None, tmp_path, "memnas", port=free_port())
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tracker")
def test_ui_on_a_taken_port(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} of 127\.0\.0\.1: .*choose another with --port"):
            serve(None, store, "memnas", port=port)
