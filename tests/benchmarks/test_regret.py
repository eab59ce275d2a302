"""What choices among a pool gain: by hand, and one small pool for real."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import regret
from benchmarks.regret import PROMOTING, TRYING, Row, first_by, gain, table
from benchmarks.search.methods.trainer import Task
from memnas_core.settings.file import load_settings
from tests.benchmarks.test_memnas_method import PARAMS, SMALL


def row(number: int, first: float, second: float, place: int = 0) -> Row:
    return Row("photos", 0, 2, f"{number:04}", 1000, 0.5, first, 0.5, second, place, place, place, place, "code")


def test_gain_of_choices_by_hand() -> None:
    # Candidate 3 is the best in the end, and looks worst after the first rung.
    pool = [row(0, 0.4, 0.2), row(1, 0.3, 0.1), row(2, 0.2, 0.0), row(3, 0.1, 0.9)]
    everybody = first_by(lambda one: one.default, 4)
    assert gain(pool, everybody, PROMOTING["area at the first rung (default)"]) == 0.2
    assert gain(pool, everybody, PROMOTING["oracle"]) == 0.9
    # Two of four by chance: 0.9 in 3 of 6 pairs, 0.2 in (0, 1) and (0, 2), 0.1 in (1, 2).
    assert gain(pool, everybody, PROMOTING["chance"]) == pytest.approx((3 * 0.9 + 2 * 0.2 + 0.1) / 6, abs=0.02)
    assert gain(pool, first_by(lambda one: one.first_gain, 2), PROMOTING["oracle"]) == 0.9  # tries 3 and 2


def test_the_oracle_is_never_beaten() -> None:
    rng = random.Random(0)
    pool = [row(number, rng.random(), rng.random(), place=number) for number in range(56)]
    best = gain(pool, TRYING["oracle"], PROMOTING["oracle"])
    assert best == max(one.second_gain for one in pool)
    assert all(gain(pool, trying, how) <= best for trying in TRYING.values() for how in PROMOTING.values())


def test_table() -> None:
    pool = [row(number, number / 100, number / 100, place=number) for number in range(56)]
    lines = list(table([*pool, *(replace(one, seed=1) for one in pool)]))
    assert lines[0].startswith("photos: the best of a pool adds 0.550 (n = 2)")
    (default,) = (line for line in lines if line.startswith("| default"))
    assert default.endswith("| 0.070 (n = 2) | 0.070 (n = 2) |")  # places 0 to 7 are tried; the seventh gains most


def test_a_small_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regret, "POOL", 5)
    monkeypatch.setattr(regret, "ROUNDS", (1, 2))
    task = Task.prepare(load_settings(PARAMS, SMALL), tmp_path)
    rows = regret.measure_pools("digits", task, tmp_path / "trainings")
    assert [one.round for one in rows] == [1] * 5 + [2] * 5
    for name in ("memory", "base", "scc", "default"):
        assert sorted(getattr(one, name) for one in rows[:5]) == list(range(5))
    assert all(0 < one.first_accuracy < 1 for one in rows)
    assert rows == regret.measure_pools("digits", task, tmp_path / "trainings")
