"""Inherited weights against training from scratch: what a candidate costs, and whether candidates rank the same.

A few bases are trained from scratch, as a round's base would be. Their children, half of them grown and half trimmed,
are trained twice from scratch with independent seeds, and from their base's weights for several lengths of training.
Two questions:

1. Cost. How many images does a child with its base's weights need to be as accurate as when trained from scratch?
2. Order. Within a round, does the order of inherited accuracies agree with that of accuracies from scratch (Kendall's
   tau with their mean)? The ceiling is how well one training from scratch predicts the other.

Every training is kept under a key of all that decides it, so a run that was stopped continues.

Run: python -m benchmarks.inheritance --page docs/inheritance.md
"""

import os
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.stats import kendalltau

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from memnas_core.data import prepare_dataset
from memnas_core.data.dataset import DatasetInfo, open_dataset
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.records.trainings import TrainingRecord
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import apply, edge_cuts, generate, growths, seed_architecture, trims
from memnas_core.training.job import TrainingJob, WarmStart, candidate_seed
from memnas_core.training.record import finished
from memnas_core.training.worker import run

SEED = 0
BASES, CHILDREN = 5, 12
WALK = 4
"""The most random moves between the seed network and a base; base number n is min(n, WALK) moves away."""

EPOCHS = 2
"""Epochs of a training from scratch."""

SHARES = (0.03, 0.0625, 0.125, 0.25, 0.5)
"""Lengths of trainings from the base's weights, as shares of a training from scratch."""

WARM_LEARNING_RATE = 0.02
TRAININGS = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One training of a child.

    Attributes:
        dataset: Name of the data set.
        base_id: Id of the base.
        arch_id: Id of the child.
        way: How the child was made, `grown` or `trimmed`.
        start: Where its weights come from, `base` or `nothing`.
        training: Number of the independent training, from 1.
        images: Training images seen.
        accuracy: Validation accuracy in [0, 1]; null where the training diverged.
        base_accuracy: Validation accuracy of the base in [0, 1].
    """

    dataset: str
    base_id: str
    arch_id: str
    way: str
    start: str
    training: int
    images: int
    accuracy: float | None
    base_accuracy: float


@dataclass(frozen=True, slots=True)
class Child:
    """One training of a child, with the job of its base."""

    way: str
    base: TrainingJob
    job: TrainingJob


def bases(settings: Settings) -> Iterator[Architecture]:
    """Yield the bases: the seed network and others made from it by random moves."""
    rng = random.Random(SEED)
    root = seed_architecture(settings.network.strides, settings.network.filters)
    for moves in range(BASES):
        network = root
        for _ in range(min(moves, WALK)):
            move = rng.choice(list(growths(network)) if rng.random() < 0.5 else [*trims(network), *edge_cuts(network)])
            network = apply(network, move) or network
        yield network


def children(settings: Settings, dataset: Path, info: DatasetInfo, store: Path) -> Iterator[Child]:
    """Yield all trainings of all children, each with its base's own job."""
    training = replace(settings.training, epochs=EPOCHS)
    full = EPOCHS * info.train_size

    def job(network: Architecture, number: int) -> TrainingJob:
        arch_id = network.arch_id
        seed = candidate_seed(SEED, number, arch_id)
        return TrainingJob(network, arch_id, dataset, info.digest, training, seed, store)

    for network in bases(settings):
        base = job(network, 0)
        candidates, _ = generate(network, 1)
        rng = random.Random(f"{SEED} {network.arch_id}")
        for way in ("grown", "trimmed"):
            made = [c for c in candidates if c.is_grown is (way == "grown")]
            for candidate in rng.sample(made, min(CHILDREN // 2, len(made))):
                for number in range(1, TRAININGS + 1):
                    yield Child(way, base, job(candidate.architecture, number))
                warm = replace(training, learning_rate=WARM_LEARNING_RATE)
                for share in SHARES:
                    cold = job(candidate.architecture, 1)
                    start = WarmStart(network, base.key)
                    yield Child(way, base, replace(cold, settings=warm, images=round(share * full), start=start))


def train_all(jobs: Sequence[TrainingJob], workers: int, progress: Progress, what: str) -> list[TrainingRecord]:
    """Return the records of jobs, training those that are not yet finished."""
    task = progress.add_task(what, total=len(jobs))
    found: list[TrainingRecord] = []
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for record in pool.map(train_once, jobs):
            progress.advance(task)
            found.append(record)
    return found


def train_once(job: TrainingJob) -> TrainingRecord:
    """Return the record of a job, after training unless it is finished."""
    return finished(job) or run(job)


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables of the page in Markdown."""
    yield "### Accuracy from the base's weights less accuracy from nothing (mean of two), in points"
    yield ""
    yield "| images, share of a training from nothing | grown: mean (5 % to 95 %) | trimmed: mean (5 % to 95 %) |"
    yield "|---:|---:|---:|"
    target = _from_nothing(rows)
    full = max(row.images for row in rows)
    for images in sorted({row.images for row in rows if row.start == "base"}):
        cells = []
        for way in ("grown", "trimmed"):
            found = [
                100 * (row.accuracy - target[row.base_id, row.arch_id])
                for row in rows
                if (row.start, row.images, row.way) == ("base", images, way) and row.accuracy is not None
            ]
            low, high = np.quantile(found, (0.05, 0.95))
            cells.append(f"{statistics.mean(found):+.1f} ({low:+.1f} to {high:+.1f})")
        yield f"| {images / full:.3f} | {' | '.join(cells)} |"
    yield ""
    yield "### Images needed to be as accurate as from nothing, as a share of a training from nothing"
    yield ""
    yield "| children | n | reached within half of it | median share of those |"
    yield "|---|---:|---:|---:|"
    for way in ("grown", "trimmed"):
        needed = _needed(rows, way, target)
        reached = [images / full for images in needed if images is not None]
        share = f"{statistics.median(reached):.3f}" if reached else "-"
        yield f"| {way} | {len(needed)} | {len(reached) / len(needed):.0%} | {share} |"
    yield ""
    yield "### Order within a round: Kendall's tau, mean over the bases (least to largest)"
    yield ""
    yield "| accuracy from the base's weights after | with the mean of two trainings from nothing |"
    yield "|---|---:|"
    for images in sorted({row.images for row in rows if row.start == "base"}):
        yield f"| {images / full:.3f} of a training from nothing | {_taus(rows, images, target)} |"
    yield f"| one training from nothing with the other: the ceiling | {_ceiling(rows)} |"


def _from_nothing(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.start == "nothing":
            found[row.base_id, row.arch_id].append(row.accuracy or 0.0)
    return {key: statistics.mean(values) for key, values in found.items()}


def _needed(rows: Sequence[Row], way: str, target: dict[tuple[str, str], float]) -> list[int | None]:
    least: dict[tuple[str, str], int | None] = {(r.base_id, r.arch_id): None for r in rows if r.way == way}
    for row in sorted(rows, key=lambda row: -row.images):
        key = row.base_id, row.arch_id
        if row.way == way and row.start == "base" and (row.accuracy or 0.0) >= target[key]:
            least[key] = row.images
    return list(least.values())


def _taus(rows: Sequence[Row], images: int, target: dict[tuple[str, str], float]) -> str:
    found = []
    for base_id in dict.fromkeys(row.base_id for row in rows):
        own = [row for row in rows if (row.base_id, row.start, row.images) == (base_id, "base", images)]
        found.append(_tau([row.accuracy or 0.0 for row in own], [target[base_id, row.arch_id] for row in own]))
    return _spread(found)


def _ceiling(rows: Sequence[Row]) -> str:
    found = []
    for base_id in dict.fromkeys(row.base_id for row in rows):
        first, second = (
            {row.arch_id: row.accuracy or 0.0 for row in rows if (row.base_id, row.start, row.training) == key}
            for key in ((base_id, "nothing", 1), (base_id, "nothing", 2))
        )
        found.append(_tau([first[arch_id] for arch_id in first], [second[arch_id] for arch_id in first]))
    return _spread(found)


def _tau(first: Sequence[float], second: Sequence[float]) -> float:
    return float(kendalltau(first, second).statistic)


def _spread(found: Sequence[float]) -> str:
    return f"{statistics.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def header(rows: Sequence[Row], settings: Settings, info: DatasetInfo) -> Iterator[str]:
    """Yield command, machine, versions and n."""
    networks = {(row.base_id, row.arch_id) for row in rows}
    load = f"load {os.getloadavg()[0]:.1f}; no figure here is a time"
    yield from circumstances("inheritance", ("torch", "numpy"), load)
    yield (
        f"- data: {info.name}, {info.train_size:,} training images of {info.shape[1]}x{info.shape[2]} pixels, "
        f"{info.validation_size:,} to validate; F = {settings.network.filters}, strides "
        f"{list(settings.network.strides)}; a training from nothing is {EPOCHS} epochs"
    )
    yield (
        f"- n: {len({row.base_id for row in rows})} bases, {len(networks)} children, {TRAININGS} trainings from "
        f"nothing and {len(SHARES)} from the base's weights of each, seed {SEED}"
    )


@click.command(help="Compare inherited weights with training from nothing.")
@click.option("--params", type=click.Path(exists=True, path_type=Path), default=Path("params.results.yaml"))
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/inheritance"))
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/inheritance.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the tables between its two marks.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
def main(params: Path, store: Path, rows: Path, page: Path | None, workers: int) -> None:
    """Train, write and print."""
    settings = load_settings(params)
    reduction = seed_architecture(settings.network.strides, 1).reduction
    dataset = prepare_dataset(settings.data, SEED, Path(settings.store), divisible_by=reduction)
    info = open_dataset(dataset).info
    wanted = list(children(settings, dataset, info, store))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        base_jobs = list({child.base.key: child.base for child in wanted}.values())
        of_base = {record.key: record for record in train_all(base_jobs, workers, progress, "bases")}
        records = train_all([child.job for child in wanted], workers, progress, "children")
    numbers: dict[tuple[str, str], int] = defaultdict(int)
    table = []
    for child, record in zip(wanted, records, strict=True):
        start = "base" if child.job.start else "nothing"
        key = child.base.arch_id, record.arch_id
        numbers[key] += start == "nothing"
        table.append(
            Row(
                dataset=info.name,
                base_id=child.base.arch_id,
                arch_id=record.arch_id,
                way=child.way,
                start=start,
                training=numbers[key] if start == "nothing" else 1,
                images=record.images_seen if start == "nothing" else child.job.images or 0,
                accuracy=record.validation_accuracy,
                base_accuracy=of_base[child.base.key].validation_accuracy or 0.0,
            )
        )
    write_parquet(rows, Row, table)
    lines = [*header(table, settings, info), "", *tables(table)]
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))


if __name__ == "__main__":
    main()
