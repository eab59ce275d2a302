"""The table of `benchmarks.search_choices`, worked by hand."""

from pathlib import Path

import pytest

from benchmarks.search_choices import DEFAULT, Trial, table
from benchmarks.search_methods.tally import Row

RANDOM = "random choice of candidates"


def rows(*hypervolumes: float) -> tuple[Row, ...]:
    return tuple(Row("digits", "", 0, 100, value, "a", 0.9, 1, 1, 2, 1.0) for value in hypervolumes)


def trial(choice: str, seed: int) -> Trial:
    return Trial("digits", choice, seed, Path("store"))


def test_differences_are_taken_seed_by_seed() -> None:
    """Both medians are equal, yet the choice is worse with each seed but one."""
    found = {
        trial(DEFAULT, 0): rows(0.1, 0.2),
        trial(DEFAULT, 1): rows(0.4),
        trial(DEFAULT, 2): rows(0.6),
        trial(RANDOM, 0): rows(0.4),
        trial(RANDOM, 1): rows(0.3),
        trial(RANDOM, 2): rows(0.5),
    }
    assert list(table(found)) == [
        "| search | digits | from the default |",
        "|---|---:|---:|",
        "| default | 0.400 (0.200 to 0.600) |  |",
        f"| {RANDOM} | 0.400 (0.300 to 0.500) | -0.100 (-0.100 to +0.200) |",
    ]


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist"])
def test_a_choice_that_is_the_default_is_searched_once(dataset: str) -> None:
    same = {
        "digits": "rungs of 0.1 and 0.4, a quarter goes on",
        "fashion-mnist": "rungs of 0.1 and 0.8, an eighth goes on",
    }
    one, other = (Trial(dataset, choice, 3, Path("store")) for choice in (DEFAULT, same[dataset]))
    assert one.path == other.path
    assert Trial(dataset, RANDOM, 3, Path("store")).path != one.path
