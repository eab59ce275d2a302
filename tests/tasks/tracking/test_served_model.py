"""A registered network as others load it: images in, names and scores out, as accurate as in the search."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from memnas_core.data import Dataset, open_dataset, prepare_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.prediction.image_network import ImageNetwork
from memnas_core.training.loop import accuracy, train
from memnas_core.training.network import Network, build_network
from tasks.tracking.tracker import Tracker
from tests.core.short_training import ARCHITECTURE, SHORT_TRAINING
from tests.core.small_search import small_settings
from tests.tasks.tracking.tracked import SETTINGS, candidate

CLASSES = tuple(f"digit {number}" for number in range(10))
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Registered:
    """A trained network, its data, and the folder in which MLflow keeps it."""

    network: Network
    dataset: Dataset
    folder: Path

    @property
    def images(self) -> np.ndarray:
        """Test images, shape (n, height, width, channels)."""
        return self.dataset.test.images.transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def registered(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    store = tmp_path_factory.mktemp("data")
    dataset = open_dataset(prepare_dataset(small_settings(store).data, 0, store, divisible_by=2))
    network = build_network(dataset.info.graph(ARCHITECTURE), seed=0)
    train(network, dataset, SHORT_TRAINING, seed=0, images=4000)
    search = tracker.start_search("served", SETTINGS, {})
    round_run = tracker.start_round(search, 1)
    run = tracker.log_candidate(round_run, candidate())
    model = tracker.log_model(
        run,
        ImageNetwork(network, dataset.info),
        np.zeros((2, 8, 8, 1), np.uint8),
        json.dumps({"classes": CLASSES}),
        "served",
        [],
    )
    tracker.register(run, model, "served")
    folder = tmp_path_factory.mktemp("model")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracker.uri)
    mlflow.artifacts.download_artifacts("models:/served/latest", dst_path=str(folder))
    mlflow.set_tracking_uri(before)
    return Registered(network, dataset, folder)


def test_as_accurate_as_in_the_search(registered: Registered) -> None:
    found = mlflow.pyfunc.load_model(str(registered.folder)).predict(registered.images)
    expected = accuracy(
        registered.network, registered.dataset.test, Augmentation(registered.dataset.info, SHORT_TRAINING, CPU), CPU
    )
    assert expected > 0.3, "the network has learnt something"
    labels = [CLASSES[label] for label in registered.dataset.test.labels]
    assert float((found["class"] == labels).mean()) == pytest.approx(expected, abs=1e-12)
    assert list(found.columns) == ["class", "score", "scores"]
    assert len(found) == 359
    for name, score, scores in found.head(20).itertuples(index=False):
        assert tuple(scores) == CLASSES
        assert sum(scores.values()) == pytest.approx(1, abs=1e-6)
        assert max(scores, key=scores.__getitem__) == name
        assert scores[name] == score


@pytest.mark.parametrize("count", [0, 1, 2])
def test_any_number_of_images(registered: Registered, count: int) -> None:
    model = mlflow.pyfunc.load_model(str(registered.folder))
    alone = model.predict(registered.images[:count])
    assert alone["class"].tolist() == model.predict(registered.images[:5])["class"].tolist()[:count]


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 1, 8, 8), np.uint8), "(2, 1, 8, 8)"),  # channels first
        (np.zeros((8, 8, 1), np.uint8), "(8, 8, 1)"),  # one image
        (np.zeros((2, 9, 8, 1), np.uint8), "(2, 9, 8, 1)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "(2, 8, 8, 3)"),
    ],
)
def test_a_wrong_shape_is_refused(registered: Registered, images: np.ndarray, found: str) -> None:
    model = mlflow.pyfunc.load_model(str(registered.folder))
    with pytest.raises(MlflowException) as caught:
        model.predict(images)
    assert "(-1, 8, 8, 1)" in str(caught.value)
    assert found in str(caught.value)


def test_images_that_were_divided_by_255_are_refused(registered: Registered) -> None:
    model = mlflow.pyfunc.load_model(str(registered.folder))
    with pytest.raises(MlflowException, match="uint8"):
        model.predict(registered.images / np.float32(255))


def test_it_loads_where_memnas_is_not_installed(registered: Registered, tmp_path: Path) -> None:
    images = tmp_path / "images.npy"
    np.save(images, registered.images[:40])
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("memnas_core", "tasks", "flows"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import mlflow, numpy
model = mlflow.pyfunc.load_model({str(registered.folder)!r})
print(model.predict(numpy.load({str(images)!r})).to_json(orient="records"))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = pd.DataFrame(json.loads(done.stdout.splitlines()[-1]))
    expected = mlflow.pyfunc.load_model(str(registered.folder)).predict(registered.images[:40])
    assert found["class"].tolist() == expected["class"].tolist()
    assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-6)
