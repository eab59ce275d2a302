"""The measured times of a training: of the right order, and larger for a larger network."""

from pathlib import Path

import pytest

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.settings.file import load_settings
from memnas_core.space.moves import seed_architecture
from memnas_core.training import speed
from memnas_core.training.speed import TrainingTime, time_training

SETTINGS = load_settings(Path(__file__).parents[3] / "params.yaml")


def test_a_network_of_many_more_products_takes_longer(tmp_path: Path) -> None:
    folder = prepare_dataset(SETTINGS.data, 0, tmp_path, 4)
    small = time_training(folder, seed_architecture((2, 2), 4), SETTINGS.training)
    large = time_training(open_dataset(folder), seed_architecture((1, 1), 64), SETTINGS.training)
    assert small is not None
    assert large is not None
    assert 0 < small.image < large.image
    assert 0 < small.evaluation < large.evaluation
    assert small.beginning > 0


def test_memory_that_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    folder = prepare_dataset(SETTINGS.data, 0, tmp_path, 4)
    monkeypatch.setattr(speed, "train", allocate)
    assert time_training(folder, seed_architecture((2, 2), 4), SETTINGS.training) is None


def test_a_training_adds_up() -> None:
    assert TrainingTime(0.01, 0.001, 2.0).training(images=300, evaluated=50) == pytest.approx(2 + 3 + 0.05)
