"""The yardstick's page: hand-worked tables, and the committed page against the committed rows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.search.__main__ import read_rows
from benchmarks.search.report import at_limit, hypervolumes, page_lines, within
from benchmarks.search.runs import Row
from benchmarks.search.yardstick import box_of
from benchmarks.spread import Mean

FASHION = "Fashion-MNIST"


def row(method: str, seed: int, total_bytes: int, test: float, validation: float = 0.9, **changed: object) -> Row:
    fields: dict[str, object] = {
        "dataset": FASHION,
        "method": method,
        "seed": seed,
        "images": 1,
        "stage": "final",
        "arch_id": f"{total_bytes}",
        "total_bytes": total_bytes,
        "param_bytes": 1,
        "accuracy_validation": validation,
        "accuracy_test": test,
        "from_nothing": True,
        "key": f"{method}-{seed}",
        "code": "c",
        "trainings": 1,
    }
    return Row(**(fields | changed))  # type: ignore[arg-type]


def test_the_network_within_a_limit_is_chosen_by_validation_alone() -> None:
    rows = [row("memnas", 0, 20_000, test=0.99, validation=0.8), row("memnas", 0, 30_000, test=0.7, validation=0.9)]
    chosen = within(rows, 32_000)
    assert chosen is not None
    assert chosen.accuracy_test == 0.7
    smaller = within(rows, 29_999)
    assert smaller is not None
    assert smaller.accuracy_test == 0.99
    assert within(rows, 19_999) is None


def test_a_limit_that_one_seed_misses_has_no_mean() -> None:
    handed = {0: [row("memnas", 0, 20_000, 0.8)], 1: [row("memnas", 1, 40_000, 0.9)]}
    assert at_limit(handed, 32_000) is None
    mean = at_limit(handed, 64_000)
    assert mean is not None
    assert mean.value == pytest.approx(0.85)


def test_t_interval() -> None:
    # t(0.975, 2) = 4.3027; standard deviation 1, so 4.3027 / sqrt(3) = 2.4841
    mean = Mean.of([1.0, 2.0, 3.0])
    assert (mean.value, mean.half) == (2.0, pytest.approx(2.4841, abs=1e-4))
    assert Mean.of([1.0, 2.0]).half is None


def test_hypervolume_of_one_network() -> None:
    # Accuracy 0.85 is halfway up the box, which begins at 0.7; 64 kB halfway from 16 to 256 kB on a logarithmic scale.
    assert box_of(FASHION).accuracy_floor == 0.7
    assert hypervolumes({0: [row("memnas", 0, 64_000, 0.85)]}, FASHION) == {0: pytest.approx(0.25)}


def _line(lines: Sequence[str], start: str, number: int) -> str:
    return [line for line in lines if line.startswith(start)][number]


def test_tables() -> None:
    rows = [row("memnas", seed, 64_000, 0.9 + seed / 100) for seed in range(3)]
    rows += [row("random search", seed, 32_000, 0.8 + seed / 100) for seed in range(2)]
    lines = list(page_lines(rows))
    assert _line(lines, "| memnas |", 0) == "| memnas | – | **0.910 ± 0.025** | **0.910 ± 0.025** | **0.910 ± 0.025** |"
    assert "**0.805 (n = 2)**" in _line(lines, "| random search |", 0)
    # Seed 0: 2/3 * 1/2 - 1/3 * 3/4 = 0.0833; seed 1: 0.7 * 1/2 - 0.3667 * 3/4 = 0.075; mean 0.079
    assert "+0.079 (n = 2)" in _line(lines, "| random search |", 1)


def test_the_page_is_that_of_the_committed_rows() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "search-cost.md").read_text(encoding="utf-8")
    for line in page_lines(read_rows(root / "benchmarks" / "results" / "yardstick.parquet")):
        assert line in page
