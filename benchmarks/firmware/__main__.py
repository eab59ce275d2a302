"""Networks as firmware on emulated cores: what memnas predicts before training against what the linker and QEMU say.

    python -m benchmarks.firmware kernels     measures the kernels: `memnas_core/firmware/kernels.csv`
    python -m benchmarks.firmware networks    compiles and runs networks: `benchmarks/results/firmware.parquet`

The networks are random ones of the space, at several sizes of images, and those that the committed searches found. Each
is built with random weights, calibrated on noise and quantised as an export does it; what is compared does not depend
on what a network has learnt. Each network's measurement is kept in a file and not repeated; predictions are computed
anew each time.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.firmware.kernels import measured_table
from benchmarks.firmware.networks import FOUND_SHAPE, Row, measure, rows_of, subjects
from benchmarks.firmware.report import report
from benchmarks.page import with_tables
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.firmware.tools import ARM_COMPILER, EMULATOR, run_tool

TABLE = Path("memnas_core/firmware/kernels.csv")


@click.group(help="Measure kernels or networks.")
def main() -> None:
    """Measure kernels or networks."""


@main.command("kernels")
@click.option("--table", type=click.Path(path_type=Path), default=TABLE, show_default=True)
def kernels(table: Path) -> None:
    """Measure the kernels on every core and write the table."""
    lines = [",".join(map(str, row)) for row in measured_table()]
    write_text(table, "\n".join(("core,kernel,term,value", *lines)) + "\n")


@main.command("networks")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/firmware"), show_default=True)
@click.option("--searches", type=click.Path(path_type=Path), default=Path("results/searches"), show_default=True)
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/firmware.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the table between its two marks.")
@click.option("--limit", type=click.IntRange(1), help="Take only so many networks.")
def networks(store: Path, searches: Path, rows: Path, page: Path | None, limit: int | None) -> None:
    """Measure what has not been measured yet, write the rows, and print what they show."""
    table: list[Row] = []
    for subject in subjects(searches)[:limit]:
        table += rows_of(subject, measure(subject, store))
    write_parquet(rows, Row, table)
    lines = [*_header(table), "", *report(table)]
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page, "firmware"))


def _header(rows: Sequence[Row]) -> Iterator[str]:
    """Yield command, machine, versions and n."""
    packages = ("torch", "executorch", "torchao")
    yield from circumstances("firmware", packages, "no figure here is a time")
    yield f"- tools: {'; '.join(_version(tool) for tool in (ARM_COMPILER, EMULATOR))}"
    shapes = Counter(row.input_shape for row in rows if row.core == rows[0].core)
    yield (
        f"- n: {shapes.total()} networks with random weights, {', '.join(f'{n} for {s}' for s, n in shapes.items())} "
        f"(channels, height, width); searches found those for {'x'.join(map(str, FOUND_SHAPE))}, the others are drawn"
    )
    yield "- spread: every figure is exact and repeats"


def _version(tool: str) -> str:
    return run_tool((tool, "--version"), Path()).partition("\n")[0]


if __name__ == "__main__":
    main()
