"""The area under a front, against figures worked by hand and a count of grid points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.objective.front import Front, order_by_gain
from memnas_core.objective.score import Performance


def network(accuracy: float, total_bytes: int) -> Performance:
    return Performance(accuracy, total_bytes // 4, total_bytes - total_bytes // 4)


# Floor 0.5; memory in octaves: 1024 bytes are 10, the largest is 12, so that the ceiling is 13.
SMALL, MIDDLE, LARGE = network(0.6, 1 << 10), network(0.8, 1 << 11), network(0.9, 1 << 12)
DOMINATED = network(0.7, 1 << 12)
FRONT = Front.of([LARGE, DOMINATED, SMALL, MIDDLE], 0.5)


def test_a_front_holds_what_nothing_dominates() -> None:
    assert FRONT.points == ((10.0, 0.6), (11.0, 0.8), (12.0, 0.9))
    assert FRONT.ceiling == 13.0


def test_area_by_hand() -> None:
    assert FRONT.area == pytest.approx(0.1 * 1 + 0.3 * 1 + 0.4 * 1)
    assert Front((), 0.5, 13.0).area == 0


@pytest.mark.parametrize(
    ("candidate", "gain"),
    [
        (network(0.7, 1 << 10), 0.1 * 1),  # better than SMALL, up to where MIDDLE is better
        (network(0.9, 1 << 11), 0.1 * 1),
        (network(0.85, 1 << 9), 0.35 * 1 + 0.25 * 1 + 0.05 * 1),
        (network(0.95, 1 << 12), 0.05 * 1),
        (network(0.8, 1 << 11), 0.0),  # as good as MIDDLE
        (network(0.7, 1 << 11), -0.1),  # lacks 0.1
        (network(0.4, 1 << 9), -0.1),  # below the floor
        (network(0.99, 1 << 13), -0.99),  # at the ceiling: of no use, the less the more it needs
    ],
)
def test_gain_by_hand(candidate: Performance, gain: float) -> None:
    assert FRONT.gain(candidate) == pytest.approx(gain)


figures = st.tuples(st.floats(0, 1), st.integers(1 << 8, 1 << 13))


@given(st.lists(figures, min_size=1, max_size=8), figures, st.floats(0, 0.9))
def test_a_gain_is_what_the_area_grows_by(
    points: list[tuple[float, int]], new: tuple[float, int], floor: float
) -> None:
    front = Front.of([network(*point) for point in points], floor)
    candidate = network(*new)
    grown = front.plus([candidate]).area - front.area
    assert max(front.gain(candidate), 0) == pytest.approx(grown, abs=1e-9)


@given(st.lists(figures, min_size=1, max_size=8))
def test_area_against_a_grid(points: list[tuple[float, int]]) -> None:
    front = Front.of([network(*point) for point in points], 0.3)
    steps = 400
    first = 7.0
    width = (front.ceiling - first) / steps
    covered = 0.0
    for step in range(steps):
        memory = first + (step + 0.5) * width
        reached = [accuracy for accuracy, size in points if math.log2(size) <= memory]
        covered += max(0.0, max(reached, default=0.0) - 0.3) * width
    assert front.area == pytest.approx(covered, abs=8 * width)


def test_those_chosen_together_differ() -> None:
    """Alone the two largest gains are twins; together the second of them adds almost nothing."""
    twin, other_twin, another = network(0.85, 1 << 9), network(0.849, 1 << 9), network(0.95, 1 << 12)
    gains = [FRONT.gain(candidate) for candidate in (twin, other_twin, another)]
    assert gains[0] > gains[1] > gains[2]
    assert order_by_gain(FRONT, [twin, other_twin, another], 2) == [0, 2, 1]
    assert order_by_gain(FRONT, [another, other_twin, twin], 0) == [2, 1, 0]
