"""The clock and the report of the overhead benchmark, on made-up times."""

import random
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from benchmarks.overhead import clock as overhead_clock
from benchmarks.overhead.clock import Clock, Part, Row, Situation, Spent
from benchmarks.overhead.report import GOAL, MINUTE, by_part, growth_picture, page_lines, totals, varied
from benchmarks.overhead.rounds import made_up_accuracy, random_base
from memnas_core.settings.schema import NetworkSettings


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only where a test says so; CPU time passes half as fast."""
    time = [0.0]
    monkeypatch.setattr(overhead_clock.time, "perf_counter", lambda: time[0])
    monkeypatch.setattr(overhead_clock.time, "process_time", lambda: time[0] / 2)
    return time


def test_inner_parts_do_not_count_for_outer_ones(now: list[float]) -> None:
    clock = Clock()

    def wait(seconds: float) -> None:
        now[0] += seconds

    def write() -> str:
        wait(1)
        clock.timed(Part.DVC, wait)(4)
        clock.timed(Part.DVC, wait)(2)
        return "written"

    def step() -> str:
        wait(8)
        return clock.timed(Part.TABLES, write)()

    # 15 s in all: 8 of the step itself, 1 of the tables, 4 + 2 of DVC.
    assert clock.timed(Part.RANK, step)() == "written"
    assert clock.spent == {Part.RANK: Spent(8, 4), Part.TABLES: Spent(1, 0.5), Part.DVC: Spent(6, 3)}


def test_time_counts_where_a_part_fails(now: list[float]) -> None:
    clock = Clock()

    def fail() -> None:
        now[0] += 3
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 -- it is ours
        clock.timed(Part.RANK, fail)()
    assert clock.spent[Part.RANK] == Spent(3, 1.5)


def test_a_share_of_another_clock(now: list[float]) -> None:
    clock, other = Clock(), Clock()
    other.timed(Part.GENERATE, lambda: now.__setitem__(0, 8.0))()
    clock.add(other, 0.25)
    clock.add(other)
    assert clock.spent[Part.GENERATE] == Spent(10, 5)


def rows() -> Iterator[Row]:
    """Two searches of two rounds; 100 and 10,000 candidates, 1 and 16 cells, twice each."""
    # Together 1.0, 1.2, 1.4 and 1.6 s: the median is 1.3 s, 2.2 % of a minute.
    for place, (repeat, number) in enumerate(((0, 1), (0, 2), (1, 1), (1, 2))):
        for part, seconds in ((Part.RANK, 0.1 + 0.2 * place), (Part.MLFLOW, 0.6), (Part.WINNER, 0.3)):
            yield Row(Situation.ROUND, part, 500 + place, 2, 8, repeat, number, seconds, seconds)
    for repeat in range(2):
        for situation, candidates, cells, seconds in (
            (Situation.CANDIDATES, 100, 4, 0.25),
            (Situation.CANDIDATES, 10_000, 4, 5.5),
            (Situation.CELLS, 1000, 1, 0.5),
            (Situation.CELLS, 1000, 16, 4.5),
        ):
            yield Row(situation, Part.RANK, candidates, cells, 8, repeat, 7, seconds + repeat, seconds)
            yield Row(situation, Part.MLFLOW, candidates, cells, 8, repeat, 7, 0.5, 0.5)


def test_parts_and_totals() -> None:
    own = [row for row in rows() if row.situation is Situation.ROUND]
    assert list(by_part(own)) == [Part.RANK, Part.MLFLOW, Part.WINNER]
    assert by_part(own)[Part.RANK] == pytest.approx((0.1, 0.4, 0.7))
    assert totals(own) == pytest.approx((1.0, 1.3, 1.6))
    assert list(varied(list(rows()), Situation.CELLS)) == [1, 16]


def test_the_page_says_first_what_was_found() -> None:
    lines = list(page_lines(list(rows()), ["- command: `x`"]))
    assert lines[0] == (
        "- **All that is not training takes 1.30 s a round** (1.00 to 1.60), 2.2% of a round of a minute: less than "
        "3%. Most of it: mlflow 0.60 s, rank 0.40 s, winner 0.30 s."
    )
    assert "without them a round waits for 1.00 s, 1.7% of a minute" in lines[1]
    # Medians of 0.25 and 1.25, and of 5.5 and 6.5, each with 0.5 of MLflow.
    assert "From 100 to 10,000 candidates a round's overhead goes from 1.25 to 6.50 s" in lines[2]
    assert lines[2].endswith("what grows most is rank, from 0.75 to 6.00 s.")
    assert "From 1 to 16 cells a block" in lines[3]
    assert "- command: `x`" in lines
    assert "| **together** | | **1.300 (1.000 to 1.600)** | **2.17%** |" in lines
    assert "| rank | 0.750 | 6.000 |" in lines
    assert "| dvc | - | - |" in lines


def test_the_page_says_so_where_the_goal_is_missed() -> None:
    slow = [Row(Situation.ROUND, Part.RANK, 10, 1, 8, 0, 1, GOAL * MINUTE, 1.0)]
    assert "not less than 3%" in next(page_lines(slow, []))


def test_the_picture_names_every_part() -> None:
    picture = ElementTree.fromstring(growth_picture(list(rows())))
    words = {"".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"rank", "mlflow", "100", "10,000", "16", "candidates", "cells a block"} <= words


@pytest.mark.parametrize("cells", [1, 2, 8, 16])
def test_random_bases_have_their_cells(cells: int) -> None:
    settings = NetworkSettings(filters=4, strides=(1, 2))
    bases = [random_base(random.Random(seed), cells, settings) for seed in range(20)]
    assert {len(block.cells) for base in bases for block in base.blocks} == {cells}
    assert len({base.arch_id for base in bases}) > 10
    assert random_base(random.Random(3), cells, settings) == bases[3]


def test_made_up_accuracies_rise_with_size_and_repeat() -> None:
    small, large = ([made_up_accuracy(f"{n}", size, 0) for n in range(50)] for size in (1000, 100_000))
    assert sum(small) < sum(large)
    assert all(0.9 < accuracy < 1 for accuracy in (*small, *large))
    assert made_up_accuracy("a", 1000, 1) == made_up_accuracy("a", 1000, 1) != made_up_accuracy("a", 1000, 2)
