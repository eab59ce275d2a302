"""What the search benchmark writes, from made-up rows."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.page import marks
from benchmarks.search import write_rows
from benchmarks.search_methods.tally import Row
from benchmarks.search_report import Measured, costs, page_lines, search_picture

CIRCUMSTANCES: dict[str, object] = {
    "limit": 300,
    "full_images": 100,
    "accuracy_floor": 0.5,
    "smallest_bytes": 1000,
    "largest_bytes": 9000,
    "train_images": 50,
    "validation_images": 20,
    "started": "2026-11-25 10:00",
    "machine": "Abacus, 1 core",
    "load": 1.0,
    "training_version": "abc",
    "versions": {"python": "3.11", "torch": "2", "optuna": "5", "syne-tune": "0.16", "numpy": "2"},
}


def run(method: str, seed: int, hypervolumes: Sequence[float], images: int) -> Measured:
    rows = [
        Row("digits", method, seed, place * images, hypervolume, f"n{place}", 0.9, 10, 20, 30, 1.0)
        for place, hypervolume in enumerate(hypervolumes, start=1)
    ]
    return Measured(tuple(rows), CIRCUMSTANCES)


def three_seeds(method: str, shift: float, images: int = 100) -> Iterator[Measured]:
    for seed, final in enumerate((0.5, 0.6, 0.7)):
        yield run(method, seed, [0.2 + shift, 0.4 + shift, final + shift], images)


@pytest.fixture
def measured() -> list[Measured]:
    # The best peer is moasha: median 0.7 after 300 images. memnas needs 30, 30 and 20 images for 0.7.
    return [*three_seeds("random", 0), *three_seeds("moasha", 0.1), *three_seeds("memnas", 0.3, images=10)]


def test_costs(measured: list[Measured]) -> None:
    [(dataset, best, target, methods)] = costs(measured)
    assert (dataset, best, target) == ("digits", "moasha", pytest.approx(0.7))
    by_name = {cost.method: cost for cost in methods}
    assert by_name["memnas"].needed == (20, 20, 20)
    assert by_name["memnas"].share == pytest.approx(20 / 300)
    assert by_name["random"].needed == (math.inf, math.inf, 300)
    assert by_name["random"].share == math.inf
    assert by_name["moasha"].final == pytest.approx((0.6, 0.7, 0.8))


def test_page_says_first_what_was_found(measured: list[Measured]) -> None:
    lines = list(page_lines(measured, "python -m benchmarks.search"))
    assert "memnas needs 0.067 of its images (median; 3 of 3 seeds get there)" in lines[0]
    assert any(line.startswith("| random search | 3 | 0.6000 (0.5000 to 0.7000) | 1 | not reached |") for line in lines)
    assert any("Reference point: accuracy 0.5 and 9,000 bytes" in line for line in lines)


def test_page_says_so_where_memnas_loses(measured: list[Measured]) -> None:
    worse = [found for found in measured if found.rows[0].method != "memnas"] + [run("memnas", 0, [0.1, 0.2], 100)]
    assert "memnas does not get there: it does with 0 of 1 seeds" in next(page_lines(worse, ""))
    peers = [found for found in measured if found.rows[0].method != "memnas"]
    assert "memnas was not measured" in next(page_lines(peers, ""))


def test_picture(measured: list[Measured]) -> None:
    assert search_picture(measured).startswith("<svg")


def test_rows_carry_what_they_were_measured_with(measured: list[Measured], tmp_path: Path) -> None:
    path = tmp_path / "search.parquet"
    write_rows(path, measured, "python -m benchmarks.search")
    table = pq.read_table(path)
    assert table.num_rows == 27
    assert table.column_names[:5] == ["dataset", "method", "seed", "images", "hypervolume"]
    runs = json.loads(table.schema.metadata[b"runs"])
    assert [(one["method"], one["seed"], one["machine"]) for one in runs][:2] == [
        ("random", 0, "Abacus, 1 core"),
        ("random", 1, "Abacus, 1 core"),
    ]


@pytest.mark.parametrize("name", ["benchmark", "choices"])
def test_page_has_its_marks(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "search-cost.md").read_text(encoding="utf-8")
    assert all(mark in text for mark in marks(name))
