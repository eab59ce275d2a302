"""A search whose store was moved, or whose MLflow database was deleted, goes on and has the record that it had."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.flows.conftest import Place, Running
from tests.flows.test_search_end_to_end import candidates

pytestmark = pytest.mark.timeout(1200)

# What may differ: ids, times, and where the store is.
_VARYING = ("mlflow.parentRunId", "mlflow.user", "folder", "mlflow.loggedModels", "prefect.flow_run_id")


def record(store: Path) -> dict[tuple[str, ...], object]:
    """Return all that MLflow holds of the searches in a store, by what identifies a run."""
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("memnas")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found: dict[tuple[str, ...], object] = {}
    for run in runs:
        tags = run.data.tags
        curves = {
            key: {(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)}
            for key in run.data.metrics
        }
        params = {key: value for key, value in run.data.params.items() if key != "store"}
        kept = {key: value for key, value in tags.items() if key not in _VARYING}
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        files += [item.dataset.digest for item in run.inputs.dataset_inputs]
        names = tuple(tags.get(name, "") for name in ("kind", "search", "round", "arch_id"))
        assert (*names, str(params.get("move"))) not in found
        found[(*names, str(params.get("move")))] = (run.info.status, curves, params, kept, files)
    assert {kind for kind, *_ in found} == {"search", "round", "candidate"}
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name='{model.name}'")
        found["model", model.name] = [sorted(int(version.version) for version in versions), model.aliases]
    return found


def without(store: Path, name: str) -> None:
    for path in store.glob(name):
        path.unlink()


def kill_in_round_two(store: Path) -> None:
    """Leave what a search leaves that was killed just before it wrote round 2."""
    search = store / "searches" / "digits"
    shutil.rmtree(search / "rounds" / "round-02")
    shutil.rmtree(search / "chosen")
    for name in ("metrics.json", "SHA256SUMS", "front.csv"):
        (search / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    "lose", [lambda _store: None, lambda store: without(store, "mlflow.db*")], ids=["moved", "lost"]
)
def test_a_moved_store_goes_on_with_and_without_its_database(
    lose: Callable[[Path], None], finished_search: Running, place: Place, prefect_server: dict[str, str]
) -> None:
    reference = finished_search.place
    shutil.copytree(reference.store, place.store)
    kill_in_round_two(place.store)
    lose(place.store)
    trainings = {path: path.stat().st_ino for path in place.result.glob("trainings/*/training.json")}

    resumed = place.start("--resume", environment=prefect_server)
    resumed.finish()

    assert "Going on after round 1" in resumed.text()
    assert {path: path.stat().st_ino for path in place.result.glob("trainings/*/training.json")} == trainings
    assert candidates(place) == candidates(reference)
    assert record(place.store) == record(reference.store)
    location = MlflowClient(f"sqlite:///{place.store}/mlflow.db").get_experiment_by_name("memnas")
    assert location is not None
    assert location.artifact_location == (place.store / "mlartifacts").as_uri()


def test_a_finished_search_is_logged_again(finished_search: Running, place: Place) -> None:
    reference = finished_search.place
    shutil.copytree(reference.store, place.store)
    without(place.store, "mlflow.db*")
    shutil.rmtree(place.store / "mlartifacts")
    shutil.rmtree(place.store / "data")  # it needs no images any more
    before = {path: path.stat().st_mtime_ns for path in place.result.rglob("*") if path.is_file()}
    again = place.start("--resume", environment={"PREFECT_API_URL": "http://127.0.0.1:9/api"})  # nor Prefect
    again.finish()
    assert "MLflow lacked this search; it is logged again." in again.text()
    assert record(place.store) == record(reference.store)
    assert {path: path.stat().st_mtime_ns for path in place.result.rglob("*") if path.is_file()} == before
    place.start("--resume", environment={}).finish()
    assert again.text().count("MLflow lacked") == 1


def test_a_database_that_is_deleted_while_the_search_runs(place: Place, prefect_server: dict[str, str]) -> None:
    running = place.start(environment=prefect_server)
    running.wait_for_line("round 0:")
    without(place.store, "mlflow.db*")
    assert running.process.wait() == 1
    last = running.text().splitlines()[-1]
    assert last.startswith("memnas: cannot ")
    assert last.endswith("removed or replaced meanwhile; go on with --resume, which logs again what is missing")
    assert "Traceback" not in running.text()
    resumed = place.start("--resume", environment=prefect_server)
    resumed.finish()
    assert "MLflow lacked" in resumed.text()
    assert len(record(place.store)) == 10 + 3 + 1 + 1
    assert (place.result / "report.html").is_file()
