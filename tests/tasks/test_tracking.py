"""What the tracker writes is read back from MLflow's SQLite file, without MLflow."""

import math
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import mlflow
import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient

from memnas_core.errors import InputError, MemnasError, StorageError, TrackingError
from memnas_core.records import Status
from memnas_core.training import EpochFigures
from tasks import tracking_store
from tasks.tracking.candidate_log import CandidateLog
from tasks.tracking.tracker import Tracker
from tasks.tracking.ui import serve

SETTINGS = {"search.seed": "0", "network.strides": "(1, 2)", "tracking.uri": "None"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking") / "my store"


@pytest.fixture(scope="module")
def tracker(store: Path) -> Tracker:
    return Tracker.connect(None, store, "memnas")


@pytest.fixture
def search_run(tracker: Tracker, request: pytest.FixtureRequest) -> str:
    """Return the run of a search that is the test's own."""
    return tracker.start_search(request.node.name, SETTINGS, {})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "architecture.svg"
    path.parent.mkdir()
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    return path


def history(epochs: int) -> tuple[EpochFigures, ...]:
    return tuple(EpochFigures(e, 2.0 / e, 0.5, 0.01 * e, 0.05, 1.5) for e in range(1, epochs + 1))


def candidate(arch_id: str = "c0ffee") -> CandidateLog:
    return CandidateLog(
        arch_id=arch_id,
        name=arch_id[:4],
        round=3,
        parent_id="ba5e",
        move="grow (r0 conv_3x3, r1 max_pool_3x3) concat",
        status=Status.TRAINED,
        param_bytes=4000,
        paper_bytes=100,
        sequential_bytes=300,
        minimum_bytes=200,
        arena_bytes=240,
        peak_bytes=200,
        predicted_rank=2,
        predicted_score=0.25,
        predicted_accuracy=None,
        accuracy=0.875,
        training_seconds=12.5,
        images_seen=60_000,
        history=history(2),
        artifacts=None,
    )


def rows(store: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store / "mlflow.db")) as connection:
        return connection.execute(query, values).fetchall()


def tags(store: Path, run_id: str) -> dict[object, object]:
    return dict(rows(store, "select key, value from tags where run_uuid = ?", run_id))  # type: ignore[arg-type]


def finals(store: Path, run_id: str) -> dict[object, object]:
    found = rows(store, "select key, value from latest_metrics where run_uuid = ? and step = 0", run_id)
    return dict(found)  # type: ignore[arg-type]


def status(store: Path, run_id: str) -> object:
    return rows(store, "select status from runs where run_uuid = ?", run_id)[0][0]


def children(store: Path, run_id: str) -> list[object]:
    query = (
        "select tags.run_uuid from tags join runs using (run_uuid) "
        "where key = 'mlflow.parentRunId' and value = ? and lifecycle_stage = 'active'"
    )
    return [row[0] for row in rows(store, query, run_id)]


def test_search_holds_rounds_and_rounds_hold_candidates(store: Path, tracker: Tracker, picture: Path) -> None:
    search = tracker.start_search("nesting", SETTINGS, {"folder": "store/searches/digits"})
    round_run = tracker.start_round(search, 3)
    run = tracker.log_candidate(round_run, replace(candidate(), artifacts=picture.parent))
    tracker.update_scores(run, score=0.5, rank=1)
    tracker.log_figures(round_run, {"accuracy": 0.875})
    tracker.end(round_run, "FINISHED")

    assert children(store, search) == [round_run]
    assert children(store, round_run) == [run]
    assert dict(rows(store, "select key, value from params where run_uuid = ?", search)) == SETTINGS
    assert tags(store, search).items() >= {"kind": "search", "folder": "store/searches/digits"}.items()
    assert tags(store, round_run).items() >= {"kind": "round", "round": "3", "search": "nesting"}.items()
    assert finals(store, round_run) == {"accuracy": 0.875}
    assert (status(store, round_run), status(store, run)) == ("FINISHED", "FINISHED")
    assert finals(store, run) == {
        "round": 3,
        "accuracy": 0.875,
        "score": 0.5,
        "rank": 1,
        "param_bytes": 4000,
        "peak_bytes": 200,
        "total_bytes": 4200,
        "paper_bytes": 100,
        "sequential_bytes": 300,
        "minimum_bytes": 200,
        "arena_bytes": 240,
        "predicted_rank": 2,
        "predicted_score": 0.25,
        "training_seconds": 12.5,
        "images_seen": 60_000,
    }
    expected = {"kind": "candidate", "arch_id": "c0ffee", "status": "trained", "search": "nesting"}
    assert tags(store, run).items() >= expected.items()
    assert dict(rows(store, "select key, value from params where run_uuid = ?", run)) == {
        "parent_id": "ba5e",
        "move": "grow (r0 conv_3x3, r1 max_pool_3x3) concat",
    }
    ((name, start, end, artifacts),) = rows(
        store, "select name, start_time, end_time, artifact_uri from runs where run_uuid = ?", run
    )
    assert name == "c0ff"
    assert int(str(end)) - int(str(start)) == 12_500
    assert str(artifacts).startswith((store / "mlartifacts").as_uri())
    kept = store / "mlartifacts" / run / "artifacts" / "architecture.svg"
    assert kept.read_bytes() == picture.read_bytes()


def test_curves_have_names_and_steps_of_their_own(store: Path, tracker: Tracker, search_run: str) -> None:
    long = replace(candidate(), history=history(300))  # 1,200 figures; MLflow takes 1,000 at once
    run = tracker.log_candidate(tracker.start_round(search_run, 3), long)

    query = "select step, value from metrics where run_uuid = ? and key = ? order by step"
    losses = rows(store, query, run, "epoch_train_loss")
    assert losses == [(e, 2.0 / e) for e in range(1, 301)]
    assert len(rows(store, query, run, "epoch_learning_rate")) == 300
    assert rows(store, query, run, "accuracy") == [(0, 0.875)]


@pytest.mark.parametrize("how", [Status.DIVERGED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.WORKER_LOST])
def test_failed_candidate_is_marked(store: Path, tracker: Tracker, search_run: str, how: Status) -> None:
    spoilt = EpochFigures(1, math.nan, math.inf, 0.1, 0.05, 1.0)
    failed = replace(candidate(), status=how, accuracy=None, history=(spoilt,))

    run = tracker.log_candidate(tracker.start_round(search_run, 1), failed)

    assert status(store, run) == "FAILED"
    assert tags(store, run)["status"] == how.value
    assert "accuracy" not in finals(store, run)


def test_nothing_is_recorded_twice(store: Path, tracker: Tracker, search_run: str) -> None:
    round_run = tracker.start_round(search_run, 1)
    run = tracker.log_candidate(round_run, candidate())
    tracker.end(round_run, "FINISHED")
    again = Tracker.connect(None, store, "memnas")  # as another process would

    name = str(tags(store, search_run)["search"])
    assert again.start_search(name, SETTINGS | {"search.seed": "1"}, {}) == search_run
    assert again.start_round(search_run, 1) == round_run
    assert status(store, round_run) == "RUNNING"
    assert again.log_candidate(round_run, candidate()) == run
    assert children(store, round_run) == [run]
    seed = rows(store, "select value from params where run_uuid = ? and key = 'search.seed'", search_run)
    assert seed == [("0",)]
    assert len(rows(store, "select * from metrics where run_uuid = ?", run)) == 13 + 2 * 4


@pytest.mark.parametrize("outcome", ["RUNNING", "KILLED"])
def test_half_written_candidate_is_replaced(store: Path, tracker: Tracker, search_run: str, outcome: str) -> None:
    round_run = tracker.start_round(search_run, 1)
    half = tracker.log_candidate(round_run, replace(candidate(), history=history(1)))
    with closing(sqlite3.connect(store / "mlflow.db")) as connection:
        connection.execute("update runs set status = ? where run_uuid = ?", (outcome, half))
        connection.commit()

    whole = tracker.log_candidate(round_run, candidate())

    assert whole != half
    assert children(store, round_run) == [whole]
    assert status(store, whole) == "FINISHED"


def test_same_candidate_of_two_rounds_is_two_runs(tracker: Tracker, search_run: str) -> None:
    runs = {tracker.log_candidate(tracker.start_round(search_run, n), candidate()) for n in (1, 2)}
    assert len(runs) == 2


def test_threads_share_a_tracker(store: Path, tracker: Tracker, search_run: str) -> None:
    def log(number: int) -> tuple[str, str]:
        round_run = tracker.start_round(search_run, 1)
        return round_run, tracker.log_candidate(round_run, candidate(f"{number:04d}"))

    with ThreadPoolExecutor(4) as threads:
        logged = list(threads.map(log, range(8)))

    (round_run,) = {round_run for round_run, _ in logged}
    assert children(store, search_run) == [round_run]
    assert sorted(map(str, children(store, round_run))) == sorted(run for _, run in logged)
    for number, (_, run) in enumerate(logged):
        assert tags(store, run)["arch_id"] == f"{number:04d}"
        assert status(store, run) == "FINISHED"


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "FINISHED"), (RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_search_ends_as_its_block_does(
    store: Path, tracker: Tracker, error: type[BaseException] | None, outcome: str
) -> None:
    name = f"ends {outcome} in 'quotes'"

    def work() -> None:
        with tracker.search(name, {}, {}) as run:
            runs.append(run)
            runs.append(tracker.start_round(run, 1))
            assert status(store, run) == "RUNNING"
            if error is not None:
                raise error

    runs: list[str] = []
    if error is None:
        work()
        tracker.end(runs[1], "FINISHED")
    else:
        with pytest.raises(error):
            work()
        assert status(store, runs[1]) == "KILLED"
    assert status(store, runs[0]) == outcome
    assert tracker.start_search(name, {}, {}) == runs[0]
    assert status(store, runs[0]) == "RUNNING"
    tracker.end(runs[0], "FINISHED")


def test_winner_is_registered_once_and_loads_without_memnas(
    store: Path, tracker: Tracker, search_run: str, picture: Path
) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
    )
    network(torch.randn(8, 1, 6, 6))  # gives the batch norm statistics that training mode would not use
    round_run = tracker.start_round(search_run, 1)
    run = tracker.log_candidate(round_run, candidate())
    example = np.zeros((2, 1, 6, 6), dtype=np.float32)

    version = tracker.log_winner(round_run, run, network, example, "memnas", [picture])
    tracker.set_best("memnas", version)

    assert network.training, "the caller's network is left as it is"
    assert tracker.log_winner(round_run, run, network, example, "memnas", [picture]) == version
    mlflow.set_tracking_uri(tracker.uri)
    loaded = mlflow.pytorch.load_model("models:/memnas@best")
    images = torch.randn(5, 1, 6, 6)
    torch.testing.assert_close(loaded(images), network.eval()(images))
    found = MlflowClient(tracker.uri).get_model_version_by_alias("memnas", "best")
    assert (found.run_id, str(found.version)) == (run, version)
    assert len(list(store.rglob("extra_files/architecture.svg"))) == 1
    assert tags(store, round_run)["winner"] == "c0ffee"

    second = tracker.log_winner(search_run, search_run, network, example, "memnas", [picture])
    assert int(second) == int(version) + 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_absent_server(tmp_path: Path, scheme: str) -> None:
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"no tracking server answers there .*or set tracking\.uri to null"):
        Tracker.connect(f"{scheme}://me:secret@127.0.0.1:{free_port()}/x", tmp_path, "memnas")
    assert time.monotonic() - started < 10


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


@pytest.mark.usefixtures("tracker")
def test_moved_store(store: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for part in store.glob("mlflow.db*"):  # what was written last may be in the write-ahead log alone
        shutil.copy(part, moved)
    with pytest.raises(TrackingError, match="move the store back to where it was made"):
        Tracker.connect(None, moved, "memnas")
    assert Tracker.connect(None, moved, "another").table_url("")


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
