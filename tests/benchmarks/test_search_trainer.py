"""The trainer of the peers, and the rows of memnas's own runs."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.search.methods.interface import Figures, Rungs, SpentError
from benchmarks.search.methods.tally import Tally
from benchmarks.search.methods.trainer import Lengths, Task, Trainer
from benchmarks.search.runs import ROUNDS
from benchmarks.search.yardstick import DATASETS, LIMITS, PEER_IMAGES
from memnas_core.errors import SettingsError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.search.halving import rung_images
from memnas_core.settings.file import load_settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import seed_architecture
from tests.core.small_search import small_settings

NETWORK = seed_architecture((1, 2), 4)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    settings = small_settings(tmp_path_factory.mktemp("store"))
    settings = replace(
        settings,
        data=replace(settings.data, max_training_images=200),
        objective=replace(settings.objective, accuracy_floor=0.2, max_total_bytes=30_000),
        training=replace(settings.training, epochs=3, batch_size=32),
    )
    return Task.prepare(settings, Path(settings.store))


IMAGES = 3 * 6 * 32


class Part(NamedTuple):
    """What a tally was told of a training."""

    accuracy: float | None
    images: int


class SpyingTally(Tally):
    """A tally that keeps every part of a training."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []

    def add(
        self, architecture: Architecture, accuracy: float | None, memory: MemoryFigures, images: int, key: str | None
    ) -> None:
        super().add(architecture, accuracy, memory, images, key)
        self.parts.append(Part(accuracy, self.images))


def trainer_of(task: Task, folder: Path, limit: int = 10**6) -> tuple[Trainer, SpyingTally]:
    tally = SpyingTally()
    return Trainer(task, tally, limit, folder, Lengths(IMAGES, IMAGES)), tally


def test_a_training_sees_the_images_it_is_given(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path)
    trainer(NETWORK)
    assert tally.images == IMAGES
    trainer(NETWORK)  # not trained again, but paid
    assert tally.images == 2 * IMAGES
    assert len(list(tmp_path.iterdir())) == 1


def test_a_training_that_no_rung_stops_is_that_of_a_job(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path)
    whole = trainer(NETWORK)
    seen: list[tuple[int, float]] = []

    def goes_on(rung: int, figures: Figures) -> bool:
        seen.append((rung, figures.accuracy))
        return True

    assert trainer(NETWORK, Rungs((1 / 9, 1 / 3), goes_on)) == whole
    assert [rung for rung, _ in seen] == [0, 1]
    assert [part.accuracy for part in tally.parts] == [whole.accuracy, seen[0][1], seen[1][1], whole.accuracy]
    assert [part.images for part in tally.parts] == [IMAGES, IMAGES + 64, IMAGES + 192, 2 * IMAGES]


def test_a_stopped_training_pays_what_it_saw(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path)
    figures = trainer(NETWORK, Rungs((1 / 9, 1 / 3), lambda rung, _figures: rung < 1))
    assert tally.images == 192  # a third
    assert figures.accuracy == tally.parts[-1].accuracy


def test_images_run_out(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path, limit=100)
    trainer(NETWORK, Rungs((1 / 9,), lambda _rung, _figures: False))
    trainer(NETWORK, Rungs((1 / 9,), lambda _rung, _figures: False))
    with pytest.raises(SpentError):
        trainer(NETWORK)
    assert tally.images == 128


def test_a_benchmark_names_its_box(task: Task) -> None:
    settings = replace(task.settings, objective=replace(task.settings.objective, accuracy_floor=None))
    with pytest.raises(SettingsError, match="accuracy_floor"):
        Task.prepare(settings, Path(settings.store))


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", ROUNDS)
def test_settings_of_all_rounds_are_valid(dataset: str, method: str) -> None:
    settings = load_settings(DATASETS[dataset], ["data.folder=images", *ROUNDS[method].overrides])
    assert settings.objective.max_total_bytes == LIMITS[-1]


@pytest.mark.parametrize(("dataset", "size"), [("Fashion-MNIST", 57_000), ("CIFAR-10 (JPEG copy)", 47_500)])
def test_lengths_of_trainings_are_those_of_the_yardstick(dataset: str, size: int) -> None:
    settings = load_settings(DATASETS[dataset], ["data.folder=images"])
    (seeds,) = rung_images(settings.search.seed_rungs, settings.training, size)
    (candidates,) = rung_images(settings.search.rungs, settings.training, size)
    assert seeds == candidates == pytest.approx(PEER_IMAGES, rel=0.003)
