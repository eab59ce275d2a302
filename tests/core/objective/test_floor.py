"""The accuracy floor against values worked by hand."""

import pytest

from memnas_core.objective.floor import Guessing, floor_of_choice, reachable_floor


@pytest.mark.parametrize(
    ("best", "guessing", "images", "floor"),
    [
        # Photos: a tenth of 0.533 - 0.1 = 0.433 is 0.0433.
        (0.533, 0.1, 600, 0.4897),
        # Digits: the error of 0.0146 doubled is 0.0292; a tenth of 0.8854 would be more.
        (0.9854, 0.1, 288, 0.9708),
        # 1,000 images of one class and 12 of another: guessing has 0.98814, and 0.9960 is good.
        (0.9960, 1000 / 1012, 1012, 1000 / 1012 + 0.9 * (0.9960 - 1000 / 1012)),
        # Without an error 3 of 60 images are no more than twice the least error that can be told, 1 of 60.
        (1.0, 0.5, 60, 58 / 60),
        # No network is better than guessing: nor is the floor.
        (0.6, 0.6, 1000, 0.6),
    ],
)
def test_by_hand(best: float, guessing: float, images: int, floor: float) -> None:
    found = reachable_floor(best, Guessing(guessing, images))
    assert found == pytest.approx(floor)
    assert found >= guessing
    assert found < best or best == guessing


def test_a_figure_counts_where_it_is_reached() -> None:
    guessing = Guessing(0.25, 1000)
    assert floor_of_choice(0.7, 0.8, guessing) == 0.7
    assert floor_of_choice(None, 0.8, guessing) == 0.0
    # 0.25 + 0.9 * 0.55 = 0.745
    assert floor_of_choice("auto", 0.8, guessing) == pytest.approx(0.745)
    assert floor_of_choice(0.97, 0.8, guessing) == pytest.approx(0.745)
    assert floor_of_choice(0.8, 0.8, guessing) == pytest.approx(0.745), "the floor itself is not above it"
