"""memnas against other ways to search the same space, at equal numbers of training images.

Each run is one method on one data set with one seed, in one process with one thread: memnas's default, the paper's
version of it, random search, regularised evolution, Optuna's NSGA-II and Syne Tune's MOASHA. What a run found is kept,
a file a run, and not measured again. All have the same data, validation split, epochs, augmentation and trainer; the
settings are in benchmarks/search.digits.yaml and benchmarks/search.fashion.yaml, and what a method gets is hypervolume
in a box of accuracy and memory that is equal for all (`benchmarks.search_methods.box`).

Run: python -m benchmarks.search --rows benchmarks/results/search.parquet --page docs/search-cost.md
"""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.circumstances import command
from benchmarks.page import with_tables
from benchmarks.search_methods.tally import Row
from benchmarks.search_report import Measured, page_lines, search_picture
from benchmarks.search_runs import DATASETS, METHODS, SEEDS, Run, perform
from memnas_core.storage import replacing, storage_errors, write_text
from memnas_core.tables import schema_of
from memnas_core.training import prepare_process


@click.command(help="Perform the runs that have not been performed yet, and write what all of them found.")
@click.option("--datasets", type=click.Choice(list(DATASETS)), multiple=True, default=list(DATASETS))
@click.option("--methods", type=click.Choice(METHODS), multiple=True, default=METHODS)
@click.option("--seeds", type=click.IntRange(0), multiple=True, default=SEEDS)
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/search"), show_default=True)
@click.option("--rows", type=click.Path(path_type=Path), help="Write the raw rows here, as Parquet.")
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the findings between its two marks.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the picture here, as SVG.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Runs at the same time.")
@click.option("--new/--no-new", "may_run", default=True, help="--no-new: take only the runs that are there.")
def main(
    datasets: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: tuple[int, ...],
    store: Path,
    rows: Path | None,
    page: Path | None,
    picture: Path | None,
    workers: int,
    may_run: bool,
) -> None:
    """Run, gather, write and print."""
    wanted = [Run(*which, store) for which in product(datasets, methods, seeds)]
    if may_run:
        perform_all([run for run in wanted if not run.is_finished], workers)
    measured = [Measured(run.rows(), run.circumstances()) for run in wanted if run.is_finished]
    if not measured:
        raise click.ClickException(f"{store}: expected finished runs, found none; leave --no-new out")
    made_by = command("search")
    lines = list(page_lines(measured, made_by))
    print("\n".join(lines))
    if rows is not None:
        write_rows(rows, measured, made_by)
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    if picture is not None:
        write_text(picture, search_picture(measured) + "\n")


def perform_all(runs: Sequence[Run], workers: int) -> None:
    """Perform runs, each in a process of its own, and say what is done."""
    if not runs:
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_process, max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, run): run for run in runs}
        for number, future in enumerate(as_completed(futures), start=1):
            run = futures[future]
            future.result()
            last = run.rows()[-1]
            found = f"hypervolume {last.hypervolume:.4f} after {last.images:,} images"
            print(
                f"[{number}/{len(runs)}] {run.dataset} {run.method} seed {run.seed}: {found}",
                file=sys.stderr,
                flush=True,
            )


def write_rows(path: Path, measured: Sequence[Measured], command: str) -> None:
    """Write all rows as Parquet; what they were measured with is in the schema's metadata, as JSON.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    runs = [
        {"dataset": run.rows[0].dataset, "method": run.rows[0].method, "seed": run.rows[0].seed, **run.circumstances}
        for run in measured
    ]
    schema = schema_of(Row).with_metadata({"command": command, "runs": json.dumps(runs)})
    columns = schema.names
    rows = [{name: getattr(row, name) for name in columns} for run in measured for row in run.rows]
    with storage_errors(path), replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")


if __name__ == "__main__":
    # One thread a run, also in the processes that runs start; workers read it when they import their libraries.
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
