"""What the tracker writes is read back from MLflow's SQLite file, without MLflow."""

import json
import math
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.data.schema import TensorDatasetSchema
from mlflow.tracking import MlflowClient

from memnas_core.prediction.image_network import ImageNetwork
from memnas_core.records.trainings import EpochFigures, Status
from tasks.tracking.tracker import Tracker
from tests.core.processes import wait_until
from tests.core.small_search import INFO
from tests.tasks.tracking.tracked import SETTINGS, candidate, children, history, rows


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "architecture.svg"
    path.parent.mkdir()
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    return path


def tags(store: Path, run_id: str) -> dict[object, object]:
    return dict(rows(store, "select key, value from tags where run_uuid = ?", run_id))  # type: ignore[arg-type]


def finals(store: Path, run_id: str) -> dict[object, object]:
    found = rows(store, "select key, value from latest_metrics where run_uuid = ? and step = 0", run_id)
    return dict(found)  # type: ignore[arg-type]


def status(store: Path, run_id: str) -> object:
    return rows(store, "select status from runs where run_uuid = ?", run_id)[0][0]


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
    assert (start, end) == (1_700_000_000_000, 1_700_000_012_500)
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


def state_of_process() -> tuple[str, str, dict[str, str]]:
    """Return the stores of those who name none, in this process and in those that it starts."""
    named = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_") and name.endswith("_URI")}
    return mlflow.get_tracking_uri(), mlflow.get_registry_uri(), named


def test_network_is_kept_and_registered_once(
    store: Path, tracker: Tracker, search_run: str, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # somebody else's
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten()
    )
    layers(torch.randn(8, 1, 6, 6))  # gives the batch norm statistics that training mode would not use
    network = ImageNetwork(layers, replace(INFO, shape=(1, 6, 6)))
    round_run = tracker.start_round(search_run, 1)
    run = tracker.log_candidate(round_run, candidate())
    example = np.zeros((2, 6, 6, 1), dtype=np.uint8)
    facts = json.dumps({"classes": ["a", "b"]})
    of_process = state_of_process()

    model = tracker.log_model(run, network, example, facts, "memnas", [picture])
    tracker.register(run, model, "memnas")
    tracker.mark_winner(round_run, run, "c0ffee")

    assert state_of_process() == of_process
    assert network.training, "the caller's network is left as it is"
    assert tracker.log_model(run, network, example, facts, "memnas", [picture]) == model
    tracker.register(run, model, "memnas")
    mlflow.set_tracking_uri(tracker.uri)
    loaded = mlflow.pytorch.load_model("models:/memnas/latest")
    images = torch.randint(0, 256, (5, 6, 6, 1), dtype=torch.uint8)
    torch.testing.assert_close(loaded(images), network.eval()(images))
    (found,) = MlflowClient(tracker.uri).search_model_versions("name='memnas'")
    assert (found.run_id, found.source, int(found.version)) == (run, f"models:/{model}", 1)
    assert len(list(store.rglob("extra_files/architecture.svg"))) == 1
    assert tags(store, round_run)["winner"] == "c0ffee"

    assert tags(store, run)["is_winner"] == "true"

    second = tracker.log_model(search_run, network, example, facts, "memnas", [picture])
    tracker.register(search_run, second, "memnas")  # a search of the same name
    versions = MlflowClient(tracker.uri).search_model_versions("name='memnas'")
    assert {int(version.version): version.run_id for version in versions} == {1: run, 2: search_run}


def test_images_are_an_input_of_the_run(tracker: Tracker, search_run: str) -> None:
    info = replace(INFO, name="photos", classes=("cat", "dog"), shape=(1, 16, 16), digest="0123456789abcdef" * 4)
    for _ in range(2):  # a search that goes on
        tracker.log_dataset(search_run, info)

    (found,) = MlflowClient(tracker.uri).get_run(search_run).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("photos", "0123456789ab")
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "training"}
    profile = json.loads(found.dataset.profile)
    sizes = (info.train_size, info.validation_size, info.test_size)
    assert tuple(profile["images"].values()) == sizes
    assert (profile["num_rows"], profile["classes"]) == (sum(sizes), ["cat", "dog"])
    assert json.loads(found.dataset.source) == {"tags": {"mlflow.source.name": info.source}}
    schema = TensorDatasetSchema.from_dict(json.loads(found.dataset.schema))
    assert schema.features.inputs[0].shape == (-1, 1, 16, 16)


def test_a_description_that_somebody_changed_stays(tracker: Tracker, search_run: str) -> None:
    name = str(MlflowClient(tracker.uri).get_run(search_run).data.tags["search"])
    client, note = MlflowClient(tracker.uri), "mlflow.note.content"
    tracker.start_search(name, SETTINGS, {note: "ours", "folder": "here"})
    assert client.get_run(search_run).data.tags[note] == "ours"
    client.set_tag(search_run, note, "theirs")
    tracker.start_search(name, SETTINGS, {note: "ours", "folder": "there"})
    found = client.get_run(search_run).data.tags
    assert (found[note], found["folder"]) == ("theirs", "there")


def test_figures_of_several_steps_are_a_curve(tracker: Tracker, search_run: str) -> None:
    for step, accuracy in enumerate((0.5, 0.75, 0.75)):
        tracker.log_figures(search_run, {"best_accuracy": accuracy}, step=step)
    curve = MlflowClient(tracker.uri).get_metric_history(search_run, "best_accuracy")
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (1, 0.75), (2, 0.75)]


def system_metrics(store: Path, run_id: str) -> list[object]:
    query = "select distinct key from metrics where run_uuid = ? and key like 'system/%'"
    return [key for (key,) in rows(store, query, run_id)]


def test_system_metrics_where_mlflow_is_told_to(store: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracker.search("without system metrics", {}, {}) as run:
        assert [thread.name for thread in threading.enumerate() if "SystemMetrics" in thread.name] == []
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracker.search("system metrics", {}, {}) as other:
        wait_until(lambda: "system/cpu_utilization_percentage" in system_metrics(store, other))
    assert system_metrics(store, run) == []
    assert [thread.name for thread in threading.enumerate() if "SystemMetrics" in thread.name] == []
