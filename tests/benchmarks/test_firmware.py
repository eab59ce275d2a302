"""The committed rows of the firmware benchmark against what is predicted today, and the table that is made of them."""

import random
from pathlib import Path

import pytest

from benchmarks.firmware.kernels import NETWORKS, SEED, drawn_graph
from benchmarks.firmware.networks import Measured, Row, rows_of, subjects
from benchmarks.firmware.report import report
from memnas_core.files.parquet import read_parquet
from memnas_core.firmware.boards import BOARDS
from memnas_core.firmware.calls import KERNELS, calls
from memnas_core.firmware.layout import lay_out

ROWS = Path("benchmarks/results/firmware.parquet")


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    return read_parquet(ROWS, Row, "the rows of the benchmark", "run python -m benchmarks.firmware networks")


def test_every_image_is_equal_and_every_arena_exact(rows: tuple[Row, ...]) -> None:
    assert {row.core for row in rows} == set(BOARDS)
    assert all(row.equal == row.images > 0 for row in rows)
    assert all(row.arena_predicted == row.ram_static for row in rows)


def test_predictions_are_near_and_those_of_today(rows: tuple[Row, ...]) -> None:
    known = {
        (one.architecture.arch_id, "x".join(map(str, one.shape))): one for one in subjects(Path("results/searches"))
    }
    for row in rows:
        found = Measured(
            row.core,
            row.ram_static,
            row.stack,
            row.flash,
            row.instructions,
            row.images,
            row.equal,
            row.reference_images,
            row.same_class,
        )
        (again,) = rows_of(known[row.arch_id, row.input_shape], [found])
        assert again == row
        assert row.flash_predicted == pytest.approx(row.flash, rel=0.02)
        assert row.instructions_predicted == pytest.approx(row.instructions, rel=0.05)


def test_the_report() -> None:
    """Predictions of 99 and 104 bytes for 100 differ by 1 % and 4 %; half of that is the median of the two."""
    rows = [
        Row("a", "1x8x8", "cortex-m7", 64, 64, 200, flash, 100, 50, 50, 8, 8, 4, same)
        for flash, same in ((99, 4), (104, 3))
    ]
    heads, _, line = report(rows)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert heads.count("|") == line.count("|") == 10
    assert cells == [
        *("cortex-m7", "2", "16 of 16", "7 of 8", "2 of 2", "200 to 200", "100 to 100"),
        *("2.50%, 4.00%", "0.00%, 0.00%"),
    ]


def test_the_kernels_are_measured_on_networks_that_have_them_all() -> None:
    rng = random.Random(SEED)
    graphs = [drawn_graph(rng) for _ in range(NETWORKS)]
    counted = [call.kernel for graph in graphs for call in calls(graph, lay_out(graph))]
    assert all(counted.count(kernel) > 15 for kernel in KERNELS)
