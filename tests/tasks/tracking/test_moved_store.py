"""A store that was moved or copied goes on where it is: MLflow itself reads and writes the files there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from filelock import FileLock
from mlflow.tracking import MlflowClient

from memnas_core.errors import TrackingError
from tasks.tracking.location import check_record
from tasks.tracking.tracker import Tracker
from tests.tasks.tracking.tracked import SETTINGS, candidate, rows

IMAGES = np.zeros((2, 6, 6, 1), dtype=np.uint8)
FACTS = json.dumps({"classes": ["a", "b"]})


def recorded(store: Path, pictures: Path, search: str) -> str:
    """Record a candidate with a picture and a network; return its run."""
    tracker = Tracker.connect(None, store, "memnas")
    pictures.mkdir(exist_ok=True)
    (pictures / "architecture.svg").write_text(search, encoding="utf-8")
    round_run = tracker.start_round(tracker.start_search(search, SETTINGS, {}), 1)
    run = tracker.log_candidate(round_run, replace(candidate(), artifacts=pictures))
    torch.manual_seed(0)
    model = tracker.log_model(run, torch.nn.Flatten(), IMAGES, FACTS, f"model-{search}", [])
    tracker.register(run, model, f"model-{search}")
    return run


def locations(store: Path) -> list[str]:
    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    found = [rows(store, f"select {column} from {table}") for table, column in columns.items()]
    return [str(place) for lines in found for (place,) in lines if str(place).startswith("file:")]


def check_all(store: Path, run: str, search: str) -> None:
    """Read a run's picture and its network with MLflow alone."""
    uri = f"sqlite:///{store}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    assert [file.path for file in MlflowClient(uri).list_artifacts(run)] == ["architecture.svg"]
    assert mlflow.artifacts.load_text(f"runs:/{run}/architecture.svg") == search
    (version,) = MlflowClient(uri).search_model_versions(f"name='model-{search}'")
    loaded = mlflow.pytorch.load_model(f"models:/{version.name}/{version.version}")
    assert loaded(torch.from_numpy(IMAGES)).shape == (2, 36)


def test_everything_follows_a_store_that_is_moved_and_moved_again(tmp_path: Path) -> None:
    here = tmp_path / "my store, 100 %"
    run = recorded(here, tmp_path / "pictures", "first")
    for name in ("elsewhere", "elsewhere but further"):
        here = here.rename(tmp_path / name)
        check_record(None, here, "memnas")
        Tracker.connect(None, here, "memnas")
        check_all(here, run, "first")
        assert {place.partition("/mlartifacts")[0] for place in locations(here)} == {here.as_uri()}
    second = recorded(here, tmp_path / "pictures", "second")
    check_all(here, second, "second")
    assert [path.name for path in tmp_path.iterdir() if path.name != "pictures"] == [here.name]


def test_a_copy_and_its_original_are_apart(tmp_path: Path) -> None:
    original, copy = tmp_path / "store", tmp_path / "store2"
    run = recorded(original, tmp_path / "pictures", "first")
    shutil.copytree(original, copy)
    files = sorted(original.rglob("mlartifacts/**/*"))
    second = recorded(copy, tmp_path / "pictures", "second")
    assert sorted(original.rglob("mlartifacts/**/*")) == files
    shutil.rmtree(copy / "mlartifacts" / run)
    check_all(original, run, "first")
    shutil.rmtree(original)
    check_all(copy, second, "second")


def test_a_store_that_a_running_search_knows_by_another_path(tmp_path: Path) -> None:
    """Two containers see one folder under two paths, which is made here by moving it."""
    recorded(tmp_path / "store", tmp_path / "pictures", "first")
    moved = (tmp_path / "store").rename(tmp_path / "moved")
    (moved / "searches").mkdir()
    with FileLock(moved / "searches" / ".digits.lock"):
        with pytest.raises(TrackingError, match=r"a search is running in this store and knows it as /.*/store; wait"):
            check_record(None, moved, "memnas")
        assert {place.partition("/mlartifacts")[0] for place in locations(moved)} == {(tmp_path / "store").as_uri()}
    check_record(None, moved, "memnas")


def test_a_database_that_several_stores_share_stays_as_it_is(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shared.db"
    Tracker.connect(uri, tmp_path / "store", "memnas")
    check_record(uri, tmp_path / "store", "memnas")
    refused = r"keeps its files in file:///.*/store/mlartifacts, expected .*/other/mlartifacts.* set another tracking"
    for connect in (check_record, Tracker.connect):
        with pytest.raises(TrackingError, match=refused):
            connect(uri, tmp_path / "other", "memnas")
    check_record(uri, tmp_path / "other", "another")  # the remedy
    assert Tracker.connect(uri, tmp_path / "other", "another").table_url("")


def test_the_own_database_may_be_named(tmp_path: Path) -> None:
    run = recorded(tmp_path / "store", tmp_path / "pictures", "first")
    moved = (tmp_path / "store").rename(tmp_path / "moved")
    check_record(f"sqlite:///{moved}/mlflow.db", moved, "memnas")
    Tracker.connect(f"sqlite:///{moved}/mlflow.db", moved, "memnas")
    check_all(moved, run, "first")


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    check_record(None, tmp_path / "store", "memnas")
    assert not list(tmp_path.iterdir())
