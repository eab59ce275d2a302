"""The model of a cluster against rounds worked by hand, and figures of made-up measurements."""

import pytest

from benchmarks.overhead.clock import Part, Situation
from benchmarks.overhead.clock import Row as OverheadRow
from benchmarks.ray_throughput.cluster_model import Costs, Plan, costs_of, half_used, lengths, makespan, on
from benchmarks.ray_throughput.report import EMPTY, FIRST, PROCESSES, RAY, TRAININGS, Row, findings, ratio, tables

FREE = Costs(0.0, 0.0, 0.0, 0.0)
SERIAL = Costs(round=1.0, training=0.25, begin=0.0, start=0.0)
PLAN = Plan("four", 4, (1.0, 4.0), 0.25)


def test_lengths() -> None:
    assert lengths(3, 2.0) == [3.0, 2.0, 1.0]
    assert lengths(1, 2.0) == [2.0]


@pytest.mark.parametrize(
    ("gpus", "begin", "start", "expected"),
    [
        (1, 0.0, 0.0, 6.0),
        (2, 0.0, 0.0, 3.0),  # 3 on one, 2 and 1 on the other
        (3, 0.0, 0.0, 3.0),
        (3, 1.0, 0.5, 4.5),  # 1 + 0.5 + 3, 2 + 0.5 + 2, 3 + 0.5 + 1
        (1, 1.0, 0.5, 8.5),  # 1 + (0.5 + 3) + (0.5 + 2) + (0.5 + 1)
    ],
)
def test_makespan(gpus: int, begin: float, start: float, expected: float) -> None:
    assert makespan([3.0, 2.0, 1.0], gpus, begin, start) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gpus", "seconds", "full", "idle", "loss"),
    [
        # The first rung's trainings take 1.5, 1.17, 0.83 and 0.5 s, the second's one takes 4 s; serial parts take 2 s.
        (1, 10.0, 8.0, 0.0, "serial parts"),
        (2, 8.0, 4.0, 2.0, "too few candidates"),  # 2 s and 4 s: as much as serial parts, and named first
        (4, 7.5, 2.0, 3.5, "too few candidates"),  # 1.5 s and 4 s
        (100, 7.5, 0.08, 5.42, "too few candidates"),
    ],
)
def test_a_round(gpus: int, seconds: float, full: float, idle: float, loss: str) -> None:
    found = on(PLAN, gpus, SERIAL)
    assert found.seconds == pytest.approx(seconds)
    assert found[2:] == pytest.approx((full, idle, 0.0, 2.0))
    assert found.utilisation == pytest.approx(full / seconds)
    assert found.loss == loss


def test_parts_add_up() -> None:
    found = on(PLAN, 3, Costs(1.0, 0.25, 0.3, 2.0))
    assert sum(found[2:]) == pytest.approx(found.seconds)
    assert found.begun > 4.0  # both rungs wait 2 s for a process


def test_from_where_on_half_is_idle() -> None:
    """2 GPUs train 4 of 8 s, half of the time; 3 train 2.67 of 7.5 s."""
    assert half_used(PLAN, SERIAL) == 3
    assert half_used(Plan("many", 1000, (1.0,), 1.0), FREE, most=10) is None


def rows() -> list[Row]:
    made = []
    for repeat, (processes, ray) in enumerate([(1.0, 2.0), (2.0, 3.0), (4.0, 5.0)], start=1):
        for runner, seconds in ((PROCESSES, processes), (RAY, ray)):
            made.append(Row(runner, EMPTY, 1, repeat, 10, 0, seconds, seconds / 4))
            made += [Row(runner, TRAININGS, n, repeat, 10, 1200, seconds / n, 0.1) for n in (1, 2)]
    return [*made, Row(PROCESSES, FIRST, 1, 1, 1, 0, 4.0, 0.1), Row(RAY, FIRST, 1, 1, 1, 0, 7.0, 0.1)]


def test_costs_come_from_the_rows() -> None:
    overhead = [
        OverheadRow(Situation.CANDIDATES, part, candidates, 4, 8, 0, 1, seconds, seconds)
        for candidates, seconds in ((1000, 0.8), (10, 99.0))
        for part in Part
    ]
    costs = costs_of(rows(), overhead, 1000)
    # Five parts by candidates, five by each of 8 trainings, the winner's export nowhere. A call: 300 ms, 75 of CPU.
    assert costs == pytest.approx(Costs(round=4.0, training=0.5, begin=0.075, start=7.3))


def test_ray_to_processes_within_each_repeat() -> None:
    assert ratio(rows(), 1) == pytest.approx((1 / 2, 2 / 3, 4 / 5))
    words = "\n".join(findings(rows()))
    assert "0.67 with 1, 0.67 with 2 workers" in words
    assert "2.00 with 2 times what 1 does" in words
    assert "Prefect and Ray takes 300 ms, one to a process 200 ms" in words
    table = list(tables(rows()))
    assert table[2].startswith("| 1 | 5.00 (2.50 to 10.00) | 600 (300 to 1,200) | 600 | 3.33 (2.00 to 5.00) | 400 ")
    assert table[3].startswith("| 2 | 10.00 (5.00 to 20.00) | 1,200 (600 to 2,400) | 600 |")
