"""The plan of a search: images and seconds by hand, and measured on real workers and images."""

from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.planning import timing
from memnas_core.planning.timing import BESIDE_SECONDS, GROWN, timed_plan
from memnas_core.settings.file import load_settings
from memnas_core.training.speed import TrainingTime
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers
from tests.core.small_search import INFO

SETTINGS = load_settings(Path(__file__).parents[3] / "params.yaml")
DIGITS = replace(INFO, train_size=1150, validation_size=288)


class ToldWorkers:
    """Three workers that need a millisecond for an image, a tenth of that to evaluate it, and 0.2 s beside."""

    count = 3

    def run(self, *_arguments: object, **_more: object) -> TrainingTime:
        return TrainingTime(0.001, 0.0001, 0.2)


def seconds_by_hand(grown: float, beside: float) -> float:
    """Digits: two first networks train 12 epochs of 1,150 images; four rounds of eight see a tenth of that, 1.2 epochs,
    of which two see four tenths more, 4.8 epochs; the end is 40 epochs. An epoch ends with 288 validation images.
    """
    first = 0.2 + grown * (13.8 + 12 * 0.0288)
    little, more = 0.2 + grown * (1.38 + 2 * 0.0288), 0.2 + grown * (5.52 + 5 * 0.0288)
    end = 0.2 + grown * (46 + 40 * 0.0288)
    return first + 4 * (3 * little + more) + end + 5 * beside  # eight on three workers go in three turns


def test_a_plan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_slowdown", lambda _work: 2.0)
    plan = timed_plan(SETTINGS, DIGITS, Path("unread"), ToldWorkers())
    least, most = BESIDE_SECONDS
    assert plan.seconds == pytest.approx((seconds_by_hand(1.0, 2 * least), seconds_by_hand(GROWN, 2 * most)))
    assert (plan.images, plan.final_images) == (2 * 13_800 + 4 * (8 * 1_380 + 2 * 5_520), 40 * 1150)
    assert (plan.rounds, plan.first, plan.candidates, plan.workers) == (4, 2, 8, 3)


def test_the_end_counts_what_it_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def final_images(**changes: object) -> int:
        settings = replace(SETTINGS, final=replace(SETTINGS.final, **changes))
        return timed_plan(settings, DIGITS, Path("unread"), ToldWorkers()).final_images

    monkeypatch.setattr(timing, "SLOWDOWN_SECONDS", 0.01)
    assert final_images(epochs=None) == 0
    assert final_images(all_images=True) == 40 * (1150 + 288)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetInfo]:
    """Prepare the digits."""
    folder = prepare_dataset(SETTINGS.data, 0, tmp_path_factory.mktemp("store"), SETTINGS.network.reduction)
    return folder, open_dataset(folder).info


def test_real_workers_are_timed_and_slower_networks_take_longer(digits: tuple[Path, DatasetInfo]) -> None:
    folder, info = digits
    wide = replace(SETTINGS, network=replace(SETTINGS.network, filters=128))
    with Workers(cpu_places(2)) as pool:
        small, large = (timed_plan(settings, info, folder, pool).seconds for settings in (SETTINGS, wide))
    assert small is not None
    assert large is not None
    assert 0 < small[0] < small[1] < large[0] < large[1]


def test_networks_that_cannot_be_trained_have_no_time(digits: tuple[Path, DatasetInfo]) -> None:
    limited = replace(SETTINGS, execution=replace(SETTINGS.execution, training_seconds=0.001))
    with Workers(cpu_places(1)) as pool:
        plan = timed_plan(limited, digits[1], digits[0], pool)
    assert plan.seconds is None
    assert str(plan).endswith(
        "and the end on 46,000: a time unknown, as the first networks cannot be trained, on 1 workers."
    )
