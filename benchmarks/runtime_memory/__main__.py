"""Memory conventions against what two real runtimes need, over random networks and networks that searches found.

Three quantities are compared for each network. First, what ExecuTorch plans for activations (portable operators, batch
norm folded): as it ships, with the layers in plain order, and with `memnas_core.export.executorch_plan` as its planner.
Second, what ONNX Runtime allocates, with default settings except for its arena, and at its basic optimisation level.
Third, what memnas predicts under each convention.

Measuring takes seconds of CPU for each network. Each network's measurement is kept in a file and not repeated;
predictions are computed anew each time. Weights are random, as no figure here depends on them.

Run: python -m benchmarks.runtime_memory --page docs/runtime-memory.md
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.circumstances import command
from benchmarks.page import with_tables
from benchmarks.runtime_memory.networks import CHILDREN, LINEAGES, ROUNDS, SEED, measure_all, subjects
from benchmarks.runtime_memory.predictions import Row, rows_of
from benchmarks.runtime_memory.report import ratio_picture, tables
from memnas_core.environment import machine, processor_flags, versions
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.memory.onnxruntime_plan import channel_block


@click.command(help="Measure what has not been measured yet, write the raw rows, and print the tables.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/runtime_memory"))
@click.option("--searches", type=click.Path(path_type=Path), default=Path("results/searches"))
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/runtime_memory.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the tables between its two marks.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the picture here, as SVG.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Take only so many networks.")
def main(
    store: Path, searches: Path, rows: Path, page: Path | None, picture: Path | None, workers: int, limit: int | None
) -> None:
    """Measure, predict, write and print."""
    wanted = subjects(searches)[:limit]
    found: dict[str, list[Row]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("networks", total=len(wanted))
        for measured in measure_all(wanted, store, workers, lambda: progress.advance(task)):
            found[measured.subject.architecture.arch_id] = list(rows_of(measured))
    table = [row for subject in wanted for row in found[subject.architecture.arch_id]]
    write_parquet(rows, Row, table)
    lines = [*header(table), "", *tables(table)]
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    if picture is not None:
        write_text(picture, ratio_picture(table) + "\n")


def header(rows: Sequence[Row]) -> Iterator[str]:
    """Yield command, machine, versions and n."""
    networks = {row.arch_id: row for row in rows}
    random = sum(row.source == "random" for row in networks.values())
    used = dict(versions()) | {row.runtime.split()[0]: row.runtime_version for row in rows}
    names = ("python", "torch", "executorch", "onnxruntime")
    yield f"- command: `{command('runtime_memory')}`"
    yield f"- date: {datetime.now(UTC):%Y-%m-%d}"
    yield (
        f"- machine: {machine()}, load {os.getloadavg()[0]:.1f}, "
        f"channels in blocks of {channel_block(processor_flags())} in ONNX Runtime; no figure here is a time"
    )
    yield f"- versions: {', '.join(f'{name} {used[name]}' for name in names)}"
    yield (
        f"- n: {len(networks)} networks, {random} of them random ({LINEAGES} lineages, {ROUNDS} rounds, {CHILDREN} "
        f"children a round, seed {SEED}), the others found by searches"
    )
    yield "- spread: 5 % and 95 % quantiles over networks; every single figure is exact and repeats"


if __name__ == "__main__":
    main()
