"""memnas against other ways to spend the same training images on networks for small memories.

What is compared and how is described in `benchmarks.search.yardstick`; the methods are in `benchmarks.search.methods`
and `benchmarks.search.families`. Rows of finished runs are in a Parquet file, which receives those of every further run
as it ends; the page is made from that file alone.

Run: python -m benchmarks.search Fashion-MNIST
     python -m benchmarks.search "CIFAR-10 (JPEG copy)" --images FOLDER
     python -m benchmarks.search --no-new
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.search.report import page_lines
from benchmarks.search.runs import METHODS, Row, Run, perform
from benchmarks.search.yardstick import DATASETS, SEEDS, check_images
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.files.writing import write_text
from memnas_core.training.loop import prepare_process


@click.command(help="Perform the runs on DATASETS that are not in the rows yet, and write the page.")
@click.argument("datasets", type=click.Choice(list(DATASETS)), nargs=-1)
@click.option("--images", type=click.Path(path_type=Path), help="Folder of CIFAR-10 as JPEG files.")
@click.option("--methods", type=click.Choice(METHODS), multiple=True, default=METHODS)
@click.option("--seeds", type=click.IntRange(0), multiple=True, default=SEEDS)
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/search"), show_default=True)
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results/yardstick.parquet"),
    show_default=True,
    help="Rows of finished runs.",
)
@click.option("--page", type=click.Path(exists=True, path_type=Path), default=Path("docs/search-cost.md"))
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Runs at the same time.")
def main(
    datasets: tuple[str, ...],
    images: Path | None,
    methods: tuple[str, ...],
    seeds: tuple[int, ...],
    store: Path,
    rows: Path,
    page: Path,
    workers: int,
) -> None:
    """Run, gather and write."""
    folders = check_images(datasets, images)
    found = read_rows(rows)
    done = {row.key for row in found}
    # A seed after the other, so that what is there at any time compares all methods.
    wanted = [Run(name, method, seed, folders[name], store) for seed, name, method in product(seeds, datasets, methods)]
    missing = [run for run in wanted if run.key not in done]
    perform_all(missing, workers, found, rows)
    lines = [*page_lines(found), *circumstances("search", ("torch", "optuna", "syne-tune"), "no figure here is a time")]
    write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    print("\n".join(lines))


def read_rows(path: Path) -> list[Row]:
    """Return the rows of finished runs; none before the first.

    Raises:
        RecordError: The file is damaged.
    """
    remedy = "restore it from git"
    return list(read_parquet(path, Row, "the rows of the yardstick", remedy)) if path.exists() else []


def perform_all(runs: Sequence[Run], workers: int, found: list[Row], path: Path) -> None:
    """Perform runs, each in its own process, and add the rows of each that ends to those found and to the file."""
    if not runs:
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_process, max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, run): run for run in runs}
        for number, future in enumerate(as_completed(futures), start=1):
            run, rows = futures[future], future.result()
            found += rows
            found.sort(key=lambda row: (row.dataset, row.method, row.seed, row.stage, row.total_bytes))
            write_parquet(path, Row, found)
            scores = ", ".join(f"{row.accuracy_test:.4f} ({row.total_bytes / 1000:.0f} kB)" for row in rows)
            print(
                f"[{number}/{len(runs)}] {run.dataset}, {run.method}, seed {run.seed}: {scores}",
                file=sys.stderr,
                flush=True,
            )


if __name__ == "__main__":
    # One thread for each run, also in the processes that runs start; workers read it when they import their libraries.
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
