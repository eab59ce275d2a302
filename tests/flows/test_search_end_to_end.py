"""Whole searches with the real Prefect, MLflow and DVC: their results, and what they survive."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psutil
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from memnas_core.memory.figures import measure
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from tests.core.processes import wait_until
from tests.flows.conftest import Place, Running

pytestmark = pytest.mark.timeout(1200)

# What two runs of the same search may differ in.
TIMES = {"training_seconds"}


def candidates(place: Place) -> list[dict[str, object]]:
    """Return all rounds' tables without times."""
    rows = []
    for path in sorted(place.result.glob("rounds/round-*/candidates.parquet")):
        rows += [{k: v for k, v in row.items() if k not in TIMES} for row in pq.read_table(path).to_pylist()]
    return rows


def outcome(place: Place) -> tuple[list[dict[str, object]], dict[str, object]]:
    return candidates(place), json.loads((place.result / "metrics.json").read_text())


def test_a_search_leaves_tables_weights_and_a_report(finished_search: Running) -> None:
    place = finished_search.place
    assert finished_search.left_over() == []
    assert "Error logging" not in finished_search.text()
    for number in range(3):
        folder = place.result / "rounds" / f"round-{number:02d}"
        rows = pq.read_table(folder / "candidates.parquet").to_pylist()
        trained = [row for row in rows if row["status"] == "trained"]
        assert len(trained) == (2 if number == 0 else 4)
        assert sum(row["is_winner"] for row in rows) == 1
        assert {row["round"] for row in rows} == {number}
        for row in trained:
            weights = load_file(folder / "weights" / f"{row['arch_id']}.safetensors")
            graph = lower(from_json(row["architecture"]), Shape(1, 8, 8), classes=10)
            learned = sum(w.numel() for name, w in weights.items() if not _is_statistic(name))
            assert learned * 4 == graph.weights * 4 == row["param_bytes"]
        for row in rows[:50]:
            figures = measure(from_json(row["architecture"]), Workload(Shape(1, 8, 8), 10, 4, 4))
            assert row["param_bytes"] == figures.param_bytes
            assert row["minimum_bytes"] == figures.minimum_bytes
            assert row["paper_bytes"] == figures.paper_bytes
    metrics = json.loads((place.result / "metrics.json").read_text())
    assert metrics["trained"] == 10
    assert 0.25 < metrics["test_accuracy"] <= 1  # guessing gives 0.1
    report = (place.result / "report.html").read_text()
    assert metrics["arch_id"] in report
    assert "<svg" in report


def _is_statistic(name: str) -> bool:
    return "running_" in name or "num_batches_tracked" in name


def test_parents_are_on_the_front_of_the_rounds_before(finished_search: Running) -> None:
    rows = candidates(finished_search.place)
    for number in (1, 2):
        trained = [row for row in rows if row["round"] < number and row["status"] == "trained"]
        on_front = {
            row["arch_id"]
            for row in trained
            if row["measured_accuracy"] > 0.25
            and not any(
                other["measured_accuracy"] >= row["measured_accuracy"]
                and total(other) <= total(row)
                and (other["measured_accuracy"], total(other)) != (row["measured_accuracy"], total(row))
                for other in trained
            )
        }
        assert {row["parent_id"] for row in rows if row["round"] == number} <= on_front
    assert all((row["predicted_score"] is None) == (row["round"] == 0) for row in rows)


def total(row: dict[str, object]) -> int:
    return row["param_bytes"] + row["minimum_bytes"]


def test_rungs_go_on_where_the_last_one_ended(finished_search: Running) -> None:
    """Of four candidates two go on; each sees a fifth of 12 epochs in a rung, from its base's weights."""
    records = [json.loads(path.read_text()) for path in finished_search.place.result.glob("trainings/*/training.json")]
    rungs = [record for record in records if len(record["history"]) != 12]  # the others are the last retraining
    rows = {row["arch_id"]: row for row in candidates(finished_search.place) if row["training_key"]}
    for number in (1, 2):
        counts = [
            sum(r["arch_id"] == arch_id for r in rungs) for arch_id, row in rows.items() if row["round"] == number
        ]
        assert sorted(counts) == [1, 1, 2, 2]
    for arch_id, row in rows.items():
        own = [record for record in rungs if record["arch_id"] == arch_id]
        assert row["images_seen"] == sum(record["images_seen"] for record in own)
        assert row["measured_accuracy"] == max(record["validation_accuracy"] for record in own)


def test_mlflow_holds_search_rounds_and_candidates(finished_search: Running) -> None:
    client = MlflowClient(f"sqlite:///{finished_search.place.store}/mlflow.db")
    experiment = client.get_experiment_by_name("memnas")
    runs = client.search_runs([experiment.experiment_id])
    kinds = sorted(run.data.tags["kind"] for run in runs)
    assert kinds == ["candidate"] * 10 + ["round"] * 3 + ["search"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_id = {row["arch_id"]: row for row in candidates(finished_search.place) if row["status"] == "trained"}
    for run in runs:
        if run.data.tags["kind"] != "candidate":
            continue
        row = by_id[run.data.tags["arch_id"]]
        assert run.data.metrics["accuracy"] == row["measured_accuracy"]
        assert run.data.metrics["score"] == row["measured_score"]
        assert run.data.metrics["param_bytes"] == row["param_bytes"]
        epochs = len(client.get_metric_history(run.info.run_id, "epoch_validation_accuracy"))
        assert epochs in ((7, 14) if row["round"] == 0 else (3, 6))  # parts of epochs count
        names = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"architecture.json", "architecture.svg", "lifetimes.svg"} <= names


def test_the_run_of_a_search_is_as_mlflows_users_expect(finished_search: Running) -> None:
    place = finished_search.place
    client = MlflowClient(f"sqlite:///{place.store}/mlflow.db")
    experiment = client.get_experiment_by_name("memnas")
    (search,) = client.search_runs([experiment.experiment_id], "tags.kind = 'search'")
    run, tags = search.info.run_id, search.data.tags
    (version,) = client.search_model_versions(f"name='{tags['model']}'")
    assert (tags["model"], version.run_id) == ("memnas-digits", run)
    assert tags["mlflow.note.content"].startswith("Search for an image classifier: 1,797 handwritten 8x8 digits")
    assert UUID(tags["prefect.flow_run_id"])
    (data,) = search.inputs.dataset_inputs
    start = json.loads((place.result / "start.json").read_text())
    assert start["dataset"]["digest"].startswith(data.dataset.digest)

    kept = {file.path: file.file_size for file in client.list_artifacts(run)}
    assert kept.keys() >= {"settings.yaml", "front.csv", "report.html", "classes.csv"}
    for name in ("front.csv", "report.html"):
        assert kept[name] == (place.result / name).stat().st_size
    rows = [row for row in candidates(place) if row["status"] == "trained"]
    for name in ("best_accuracy", "best_bytes"):
        curve = client.get_metric_history(run, name)
        assert [point.step for point in curve] == [0, 1, 2]
        for point in curve:
            of_rounds = [row for row in rows if row["round"] <= point.step]
            assert point.value in [
                total(row) if name == "best_bytes" else row["measured_accuracy"] for row in of_rounds
            ]


def test_dvc_brings_back_a_round_that_was_deleted(finished_search: Running, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished_search.place.store, store)
    round_folder = store / "searches" / "digits" / "rounds" / "round-01"
    before = (round_folder / "candidates.parquet").read_bytes()
    shutil.rmtree(round_folder)
    dvc = Path(sys.executable).with_name("dvc")
    subprocess.run([dvc, "checkout", "-q", f"{round_folder}.dvc"], cwd=store, check=True)
    assert (round_folder / "candidates.parquet").read_bytes() == before
    data = next((store / "data").glob("*.dvc"))
    assert data.with_suffix("").is_dir()


def test_a_finished_search_says_so(finished_search: Running) -> None:
    again = finished_search.place.start("--resume", environment={})
    again.finish()
    assert "This search is finished" in again.text().splitlines()[-1]


def test_a_plan_is_said_and_nothing_is_begun(place: Place) -> None:
    running = place.start("--plan", environment={"PREFECT_API_URL": "http://127.0.0.1:9/api"})  # nobody is there
    running.finish()
    assert running.text().splitlines()[-1].startswith("Rounds: 2, of 4 candidates each, which train on about ")
    assert not place.result.exists()
    assert running.left_over() == []


def test_killed_workers_cost_nothing_but_time(
    finished_search: Running, place: Place, prefect_server: dict[str, str]
) -> None:
    running = place.start(environment=prefect_server)
    running.wait_for_line("round 0:")
    victims = running.workers()
    assert len(victims) == 2
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    running.finish()
    assert running.left_over() == []
    assert outcome(place) == outcome(finished_search.place)


def holder(path: Path) -> psutil.Process | None:
    """Return the process that has a file open."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(file.path == str(path) for file in process.open_files()):
                return process
    return None


@pytest.mark.timeout(1800)
def test_a_deployment_that_is_started_again_goes_on(
    finished_search: Running, place: Place, prefect_server: dict[str, str], tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    project = tmp_path / "project"
    for name in ("flows", "tasks", "memnas_core"):
        shutil.copytree(root / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "prefect.yaml", project)
    shutil.copytree(root / "scripts", project / "scripts")
    (project / ".venv").symlink_to(root / ".venv")
    environment = os.environ | prefect_server
    subprocess.run(["scripts/deploy.sh"], cwd=project, env=environment, check=True, stdin=subprocess.DEVNULL)
    try:
        prefect = Path(sys.executable).with_name("prefect")
        run = [prefect, "deployment", "run", "memnas-search/local", "-p", f"params={place.params}"]
        subprocess.run(run, cwd=project, env=environment, check=True, stdin=subprocess.DEVNULL)
        wait_until((place.result / "rounds" / "round-00").is_dir)
        killed = holder(place.result.with_name(".digits.lock"))
        assert killed is not None
        killed.kill()
        before = {path: path.stat().st_ino for path in place.result.glob("trainings/[!.]*/training.json")}
        watch = ["--watch", "--watch-interval", "1"]
        subprocess.run([*run, *watch], cwd=project, env=environment, check=True, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run(["scripts/undeploy.sh"], cwd=project, env=environment, check=True, stdin=subprocess.DEVNULL)
    assert (place.result / "report.html").is_file()
    assert outcome(place) == outcome(finished_search.place)
    assert len(before) >= 3  # the first round's; a training that was done again would be another file
    assert before == {path: path.stat().st_ino for path in before}
