"""The trainer of the peers, and the rows of memnas's own runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.search_methods.interface import Figures, Rungs, SpentError
from benchmarks.search_methods.tally import Tally
from benchmarks.search_methods.trainer import Task, Trainer
from benchmarks.search_runs import DATASETS, PRODUCTS, Run
from memnas_core.errors import SettingsError
from memnas_core.grow_trim import seed_architecture
from memnas_core.settings_file import load_settings
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


def trainer_of(task: Task, folder: Path, limit: int = 10**6) -> tuple[Trainer, Tally]:
    tally = Tally("digits", "random", 0, task.box)
    return Trainer(task, tally, limit, folder), tally


def test_full_images_are_what_a_training_sees(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path)
    trainer(NETWORK)
    assert tally.images == task.full_images == 3 * 6 * 32
    trainer(NETWORK)  # not trained again, but paid
    assert tally.images == 2 * task.full_images
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
    assert [row.accuracy for row in tally.rows] == [whole.accuracy, seen[0][1], seen[1][1], whole.accuracy]
    full = task.full_images
    assert [row.images for row in tally.rows] == [full, full + 64, full + 192, 2 * full]


def test_a_stopped_training_pays_what_it_saw(task: Task, tmp_path: Path) -> None:
    trainer, tally = trainer_of(task, tmp_path)
    figures = trainer(NETWORK, Rungs((1 / 9, 1 / 3), lambda rung, _figures: rung < 1))
    assert tally.images == 192  # a third
    assert figures.accuracy == tally.rows[-1].accuracy


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
@pytest.mark.parametrize("method", PRODUCTS)
def test_settings_of_the_products_are_valid(dataset: str, method: str) -> None:
    settings = load_settings(DATASETS[dataset], PRODUCTS[method])
    assert settings.objective.max_total_bytes is not None


def test_memnas_own_settings_do_not_touch_a_peers_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, own = Run("digits", "random", 0, tmp_path), Run("digits", "memnas", 0, tmp_path)
    keys = peer.key, own.key
    other = tmp_path / "other.yaml"
    other.write_text(DATASETS["digits"].read_text(encoding="utf-8").replace("top_k: 8", "top_k: 5"), encoding="utf-8")
    monkeypatch.setitem(DATASETS, "digits", other)
    assert (peer.key, own.key) == (keys[0], own.key)
    assert own.key != keys[1]
