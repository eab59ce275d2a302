"""Successive halving, by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.search.halving import GROWN, SearchImages, going_on, planned_images, rung_images, search_images
from memnas_core.settings.file import load_settings

SETTINGS = load_settings(Path(__file__).parents[3] / "params.yaml")
TRAINING = SETTINGS.training


def test_rungs_are_shares_of_a_full_training() -> None:
    assert rung_images((0.05, 0.5, 1.0), TRAINING, 1000) == (50 * TRAINING.epochs, 500 * TRAINING.epochs, None)
    assert rung_images((1e-9,), TRAINING, 1000) == (1,)


@pytest.mark.parametrize(
    ("values", "keep", "expected"),
    [
        ([0.1, 0.4, 0.2, 0.3], 0.5, [1, 3]),
        ([0.1, 0.4, 0.2], 0.5, [1, 2]),  # rounded up
        ([0.1, 0.4, 0.2], 1.0, [1, 2, 0]),
        ([0.3, 0.3, 0.1], 0.3, [0]),  # of equal ones the first
        ([], 0.5, []),
    ],
)
def test_the_best_share_goes_on(values: list[float], keep: float, expected: list[int]) -> None:
    assert going_on(values, [9.0] * len(values), keep) == expected


def test_what_cannot_win_with_an_accuracy_of_one_is_stopped() -> None:
    assert going_on([0.4, 0.3, 0.2], [0.9, 0.39, 0.5], 1.0) == [0, 2]


def test_planned_images_by_hand() -> None:
    assert planned_images([100, 300], 8, 0.5) == 8 * 100 + 4 * 300
    assert planned_images([100, 300, 900], 5, 0.5) == 5 * 100 + 3 * 300 + 2 * 900
    assert planned_images([700], 8, 1.0) == 5600


def test_the_images_of_a_whole_search_by_hand() -> None:
    # digits: 12 epochs of 1,150 images are 13,800; two first networks; four rounds of eight at a tenth, of which two
    # go on for four tenths; forty epochs at the end
    planned = search_images(SETTINGS, 1150, 288)
    assert planned == (2 * 13_800, 4 * (8 * 1_380 + 2 * 5_520), 40 * 1150, 4 + 1)
    kept = replace(SETTINGS, final=replace(SETTINGS.final, epochs=None))
    assert search_images(kept, 1150, 288).end == 0
    on_all = replace(SETTINGS, final=replace(SETTINGS.final, all_images=True))
    assert search_images(on_all, 1150, 288).end == 40 * (1150 + 288)


def test_rounds_are_shared_by_workers_and_the_end_is_not() -> None:
    planned = SearchImages(first=999, rounds=1000, end=100, steps=3)
    assert planned.seconds(0.01, workers=2, first_beside_seconds=0.0) == pytest.approx(GROWN * (5 + 1))
    assert planned.seconds(0.01, workers=2, first_beside_seconds=2.0) == pytest.approx(GROWN * (5 + 1 + 3 * 2))


def test_the_time_of_a_measured_search() -> None:
    """Digits with the default settings on two idle cores: 19.8 s after round 0, where images alone would say 12."""
    first_image_seconds, beside = 2.3 / 26_112, 2.37 - 1.17  # 1.1 s and 1.2 s of training in round 0
    said = search_images(SETTINGS, 1150, 288).seconds(first_image_seconds, 2, beside)
    assert said == pytest.approx(19.8, rel=0.2)
