"""Eq. 4 by hand and its direction; the Pareto front against brute force."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.errors import InputError
from memnas_core.objective.score import Performance, memory_term, pareto_front, score

BASE = Performance(accuracy=0.8, activation_bytes=1000, param_bytes=4000)


def test_eq_4_by_hand() -> None:
    candidate = Performance(accuracy=0.9, activation_bytes=1500, param_bytes=3000)
    # accuracy +12.5%, activations +50%, parameters -25%
    assert score(candidate, BASE, 1.0) == pytest.approx(0.125)
    assert score(candidate, BASE, 0.0) == pytest.approx(-0.25)
    assert score(candidate, BASE, 0.5) == pytest.approx(0.5 * 0.125 - 0.5 * 0.25)
    assert score(candidate, BASE, 0.8) == pytest.approx(0.8 * 0.125 - 0.2 * 0.25)
    assert memory_term(candidate, BASE, 0.8) == pytest.approx(-0.2 * 0.25)


@pytest.mark.parametrize("field", ["activation_bytes", "param_bytes"])
def test_less_memory_is_better(field: str) -> None:
    # As printed, with a plus sign, Eq. 4 would reward the one that grows.
    smaller, larger = replace(BASE, **{field: 900}), replace(BASE, **{field: 5000})
    for weight in (0.0, 0.5, 0.99):
        assert score(smaller, BASE, weight) > score(BASE, BASE, weight) == 0 > score(larger, BASE, weight)
    assert score(smaller, BASE, 1.0) == score(larger, BASE, 1.0) == 0


def test_more_accuracy_is_better() -> None:
    better, worse = replace(BASE, accuracy=0.81), replace(BASE, accuracy=0.79)
    for weight in (0.01, 0.5, 1.0):
        assert score(better, BASE, weight) > 0 > score(worse, BASE, weight)
    assert score(better, BASE, 0.0) == score(worse, BASE, 0.0) == 0


performances = st.builds(Performance, st.floats(0.01, 1), st.integers(1, 10**9), st.integers(1, 10**9))


@given(performances, performances, st.floats(0, 1))
def test_a_score_is_the_accuracy_term_and_the_memory_term(
    candidate: Performance, base: Performance, weight: float
) -> None:
    gain = weight * (candidate.accuracy / base.accuracy - 1)
    assert score(candidate, base, weight) == pytest.approx(gain + memory_term(candidate, base, weight))
    assert score(base, base, weight) == 0


@pytest.mark.parametrize("field", ["accuracy", "activation_bytes", "param_bytes"])
def test_nothing_is_relative_to_an_empty_base(field: str) -> None:
    with pytest.raises(InputError, match=rf"expected positive figures, found Performance\(.*{field}=0"):
        score(BASE, replace(BASE, **{field: 0}), 0.5)


def test_total_bytes() -> None:
    assert BASE.total_bytes == 5000


# ---- Pareto front


def test_pareto_front_by_hand() -> None:
    #         kept    kept    beaten by 0  equal to 1  beaten by 1
    points = [(1, 5), (3, 2), (1, 6), (3, 2), (4, 2)]
    assert pareto_front(points) == [0, 1, 3]
    assert pareto_front([]) == []
    assert pareto_front([(2, 2, 2)]) == [0]


def test_pareto_front_agrees_with_brute_force() -> None:
    rng = random.Random(1)
    sizes = set()
    for _ in range(300):
        dimensions, largest = rng.choice((1, 2, 3)), rng.choice((2, 5, 1000))
        points = [tuple(rng.randint(0, largest) for _ in range(dimensions)) for _ in range(rng.randint(0, 30))]
        expected = [
            i
            for i, p in enumerate(points)
            if not any(all(a <= b for a, b in zip(q, p, strict=True)) and q != p for q in points)
        ]
        assert pareto_front(points) == expected
        sizes.add(len(expected))
    assert len(sizes) > 8
