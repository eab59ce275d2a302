"""Successive halving, by hand."""

from pathlib import Path

import pytest

from memnas_core.search.halving import going_on, planned_images, planned_trainings, rung_images
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
    assert list(planned_trainings([100, 300, 900], 5, 0.5)) == [(5, 100), (3, 300), (2, 900)]
    assert planned_images([100, 300], 8, 0.5) == 8 * 100 + 4 * 300
    assert planned_images([100, 300, 900], 5, 0.5) == 5 * 100 + 3 * 300 + 2 * 900
    assert planned_images([700], 8, 1.0) == 5600
