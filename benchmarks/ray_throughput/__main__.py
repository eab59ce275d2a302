"""Throughput of trainings by number of workers: processes of this machine against a Ray cluster on it, in the same run.

Trainings are real trainings of the default settings' first network, each with its own seed. As many threads start them
as workers are to be busy. Both kinds of workers take turns, and all are warm. Calls of an empty function show what a
call costs, and the first call in each worker shows what its start costs.

Run on an otherwise idle machine, after `make ray`: python -m benchmarks.ray_throughput --page docs/ray.md
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.ray_throughput.cluster_model import costs_of, model_findings, model_lines, overhead_rows
from benchmarks.ray_throughput.report import EMPTY, FIRST, PROCESSES, RAY, TRAININGS, Row, findings, tables
from flows.cli import ENVIRONMENT
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.settings.file import load_settings
from memnas_core.space.moves import seed_architecture
from memnas_core.training.job import TrainingJob
from memnas_core.training.worker import run
from memnas_core.workers.places import cpu_places
from memnas_core.workers.pool import WorkerPool
from memnas_core.workers.processes import Workers

WORKERS = (1, 2, 4)
SEEDS = count()


def training(store: Path, images: int) -> TrainingJob:
    """Return a training of the default settings' first network on a given number of images."""
    settings = load_settings(Path("params.yaml"))
    architecture = seed_architecture(settings.network.strides, settings.network.filters)
    data = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=architecture.reduction).absolute()
    digest = open_dataset(data).info.digest
    own, folder = replace(settings.training, device="cpu"), (store / "trainings").absolute()
    return TrainingJob(architecture, architecture.arch_id, data, digest, own, 0, folder, images)


def turn(runner: str, workers: int, what: str, repeat: int, jobs: list[Callable[[], int]]) -> Row:
    """Run jobs with a given number of busy workers and return the row; each job returns its images."""
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as threads:
        images = sum(threads.map(lambda job: job(), jobs))
    seconds = time.perf_counter() - started
    return Row(runner, what, workers, repeat, len(jobs), images, seconds, time.process_time() - cpu)


def measured(job: TrainingJob, calls: int, repeats: int) -> Iterator[Row]:
    """Yield all rows; each training has its own seed, so that none is found finished."""
    from tasks.workers.ray_workers import RayWorkers  # Prefect reads the environment when it is imported

    most, execution = max(WORKERS), load_settings(Path("params.yaml")).execution
    on_ray = replace(execution, runner="ray", workers=most, ray_address=None, ray_cpus=1.0)
    with Workers(cpu_places(most)) as processes, RayWorkers(on_ray, "cpu", job.folder.parent) as cluster:
        pools: dict[str, WorkerPool] = {PROCESSES: processes, RAY: cluster}

        def train(pool: WorkerPool) -> Callable[[], int]:
            return lambda: pool.run(run, replace(job, seed=next(SEEDS))).images_seen

        def nothing(pool: WorkerPool) -> Callable[[], int]:
            return lambda: pool.run(abs, 0)

        for name, pool in pools.items():
            yield turn(name, 1, FIRST, 1, [nothing(pool)])
            for _ in range(2):
                turn(name, most, FIRST, 0, [train(pool)] * most * 2)  # warms up all workers
        for repeat in range(1, repeats + 1):
            for name, pool in pools.items():
                yield turn(name, 1, EMPTY, repeat, [nothing(pool)] * calls)
            for workers in WORKERS:
                for name, pool in pools.items():
                    yield turn(name, workers, TRAININGS, repeat, [train(pool)] * calls)
            print(f"repeat {repeat} of {repeats}", file=sys.stderr, flush=True)


def notes(job: TrainingJob, calls: int, repeats: int, load: float) -> Iterator[str]:
    """Yield command, machine, versions, n and spread."""
    remark = f"load {load:.1f} at the start; one thread a worker"
    yield from circumstances("ray_throughput", ("torch", "prefect", "ray", "prefect-ray"), remark)
    name = open_dataset(job.dataset).info.name
    yield f"- a training: {job.images:,} images of {name} through the default's first network"
    yield f"- n: {repeats} repeats of {calls} trainings or calls; median (least to most); ratios within a repeat"


@click.command(help="Measure throughput on processes and on Ray.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/ray"))
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/ray_throughput.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put findings and tables between its marks.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--calls", type=click.IntRange(1), default=12, show_default=True, help="Trainings or calls in a turn.")
@click.option("--images", type=click.IntRange(1), default=4096, show_default=True, help="Of a training.")
def main(store: Path, rows: Path, page: Path | None, repeats: int, calls: int, images: int) -> None:
    """Measure, write and print."""
    os.environ.update(ENVIRONMENT)
    load = os.getloadavg()[0]
    job = training(store, images)
    table = list(measured(job, calls, repeats))
    write_parquet(rows, Row, table)
    costs = costs_of(table, overhead_rows())
    lines = [
        *findings(table),
        *model_findings(costs),
        "",
        *notes(job, calls, repeats, load),
        "",
        *tables(table),
    ]
    model = list(model_lines(costs))
    print("\n".join([*lines, "", *model]))
    if page is not None:
        text = with_tables(page.read_text(encoding="utf-8"), lines, page)
        write_text(page, with_tables(text, model, page, "model"))


if __name__ == "__main__":
    main()
