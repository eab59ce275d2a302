"""A network that a search found against MobileNetV2, trained alike: accuracy on the test images, and memory.

The search is that of benchmarks/handmade.yaml. Its candidates inherited weights, so that it does not say which of them
gets furthest from nothing. Therefore its most accurate networks with less than half of MobileNetV2's memory are each
trained once from nothing, and the most accurate on the validation images is the one that was found. This one and
MobileNetV2 of several widths are then trained from nothing with other seeds, and the same images, epochs, optimiser and
augmentation, and tested once. A finished training is kept and not repeated.

Run: python -m benchmarks.handmade --page docs/handmade.md
"""

import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import click
import torch
from torch import nn

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from experiments.small_networks import mobilenet_v2_small
from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json, to_json
from memnas_core.config import Settings, TrainingSettings
from memnas_core.data import Dataset, open_dataset, prepare_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import seed_architecture
from memnas_core.jobs import training_version
from memnas_core.memory_report import memory_report
from memnas_core.network import build_network
from memnas_core.reading import read_text
from memnas_core.records import CandidateRow
from memnas_core.result_folder import SearchFolder
from memnas_core.settings_file import load_settings
from memnas_core.storage import write_text
from memnas_core.tables import write_parquet
from memnas_core.trace import trace
from memnas_core.training import TrainingOutcome, accuracy, choose_device, prepare_process, train

PARAMS = Path("benchmarks/handmade.yaml")
SEARCH = "handmade"
WIDTHS = (1.0, 0.5, 0.25)
"""Width multipliers of MobileNetV2."""
FOUND = "found"
CONTENDERS = 6
"""Networks of the search that are trained from nothing to choose one."""
CHOOSING_SEED = 100
"""Of those trainings; those that are compared have seeds from 0."""
MEMORY_SHARE = 0.5
"""What a contender takes of MobileNetV2's memory at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training of one network.

    Attributes:
        network: Its name in the table.
        arch_id: Of a found network; empty for MobileNetV2.
        seed: Of the training.
        test_accuracy: In [0, 1]; null where the training diverged.
        param_bytes: Weights, float32.
        activation_bytes: Peak of the activations at batch 1, float32, `sequential`.
        total_bytes: Both together.
        images: Training images seen.
        seconds: Wall time.
    """

    network: str
    arch_id: str
    seed: int
    test_accuracy: float | None
    param_bytes: int
    activation_bytes: int
    total_bytes: int
    images: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """A training of a network.

    Attributes:
        network: Its name.
        width: Of MobileNetV2; None: the architecture is trained.
        architecture: As JSON; empty for MobileNetV2.
        seed: Of the training.
        dataset: Folder of the prepared data, which is named after a digest of them.
        settings: The training section.
        folder: Receives the outcome.
    """

    network: str
    width: float | None
    architecture: str
    seed: int
    dataset: Path
    settings: TrainingSettings
    folder: Path

    @property
    def path(self) -> Path:
        """Where the outcome goes; the name is a digest of all that decides it."""
        what = [self.width, self.architecture, self.seed, self.dataset.name, asdict(self.settings), training_version()]
        return self.folder / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json"

    def build(self, shape: Sequence[int], classes: int) -> nn.Module:
        """Return the network with fresh weights."""
        if self.architecture:
            return build_network(lower(from_json(self.architecture), Shape(*shape), classes), self.seed)
        torch.manual_seed(self.seed)
        return mobilenet_v2_small(shape[0], classes, self.width or 1.0)


def perform(job: Job) -> None:
    """Train a network from nothing, test it and write the outcome."""
    started = time.perf_counter()
    data = open_dataset(job.dataset)
    network = job.build(data.info.shape, len(data.info.classes))
    report = memory_report(trace(network, data.info.shape), 4, 4)
    outcome = _trained(job, network, data)
    device = choose_device(job.settings.device)
    augment = Augmentation(data.info, job.settings, device)
    row = Row(
        network=job.network,
        arch_id=from_json(job.architecture).arch_id if job.architecture else "",
        seed=job.seed,
        test_accuracy=None if outcome.diverged else accuracy(network, data.test, augment, device),
        param_bytes=report.param_bytes,
        activation_bytes=report.peaks["sequential"],
        total_bytes=report.totals["sequential"],
        images=outcome.images_seen,
        seconds=time.perf_counter() - started,
    )
    write_text(job.path, json.dumps(asdict(row)))


def validate(job: Job) -> None:
    """Train a network from nothing and write its accuracy on the validation images; 0 if it diverged."""
    data = open_dataset(job.dataset)
    outcome = _trained(job, job.build(data.info.shape, len(data.info.classes)), data)
    write_text(job.path, json.dumps(0.0 if outcome.diverged else outcome.history[-1].validation_accuracy))


def _trained(job: Job, network: nn.Module, data: Dataset) -> TrainingOutcome:
    return train(network, data, job.settings, job.seed, images=job.settings.epochs * data.info.train_size)


def search(store: Path) -> SearchFolder:
    """Run the search, or take it where it is finished; what it says goes to the terminal.

    Raises:
        ClickException: It failed.
    """
    command = [sys.executable, "-m", "flows.cli", "search", "--params", str(PARAMS), "--name", SEARCH, "--resume"]
    ended = subprocess.run([*command, "--set", f"store={store.absolute()}"], check=False)
    if ended.returncode:
        raise click.ClickException(f"{shlex.join(command)}: expected a search that ends well; its message is above")
    return SearchFolder(store.absolute() / "searches" / SEARCH)


def contenders(folder: SearchFolder, limit_bytes: float) -> list[Architecture]:
    """Return the most accurate networks that a search has trained and that need less memory than a limit."""
    rows: list[CandidateRow] = [row for _, of_round in folder.rounds() for row in of_round]
    small = [row for row in rows if row.param_bytes + row.sequential_bytes < limit_bytes]
    trained = [(row.measured_accuracy, row) for row in small if row.measured_accuracy is not None]
    trained.sort(key=lambda each: (-each[0], each[1].arch_id))
    return [from_json(row.architecture) for _, row in trained[:CONTENDERS]]


def most_accurate(jobs: Sequence[Job]) -> Job:
    """Return the job whose training gave the best accuracy on the validation images.

    Raises:
        RecordError: One was not performed.
    """
    return max(jobs, key=lambda job: float(json.loads(read_text(job.path))))


def run_missing(pool: Executor, function: Callable[[Job], None], jobs: Sequence[Job]) -> None:
    """Perform the jobs that were not performed yet, and say which are done."""
    futures = {pool.submit(function, job): job for job in jobs if not job.path.is_file()}
    for number, future in enumerate(as_completed(futures), start=1):
        future.result()
        done = futures[future]
        print(f"[{number}/{len(futures)}] {done.network}, seed {done.seed}", file=sys.stderr, flush=True)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what was found, then a line a network, in Markdown."""
    by_network: dict[str, list[Row]] = {}
    for row in rows:
        by_network.setdefault(row.network, []).append(row)
    yield f"- found: {_against(by_network[FOUND], by_network[mobilenet_name(1.0)])}"
    yield ""
    yield "| network | test accuracy: mean (each training) | weights, kB | activations, kB | together, kB |"
    yield "|---|---:|---:|---:|---:|"
    for name, of_network in by_network.items():
        one = of_network[0]
        each = ", ".join("diverged" if row.test_accuracy is None else f"{row.test_accuracy:.4f}" for row in of_network)
        sizes = (one.param_bytes, one.activation_bytes, one.total_bytes)
        mean = _mean(of_network)
        yield (
            f"| {name} | {'-' if mean is None else f'{mean:.4f}'} ({each}) | "
            f"{' | '.join(f'{size / 1000:,.1f}' for size in sizes)} |"
        )


def _against(found: Sequence[Row], handmade: Sequence[Row]) -> str:
    share = found[0].total_bytes / handmade[0].total_bytes
    ours, theirs = _mean(found), _mean(handmade)
    if ours is None or theirs is None:
        return "a training diverged"
    verdict = "at least as accurate" if ours >= theirs else "less accurate"
    return f"{verdict} ({ours:.4f} against {theirs:.4f}), with {share:.2%} of MobileNetV2's memory"


def _mean(rows: Sequence[Row]) -> float | None:
    values = [row.test_accuracy for row in rows if row.test_accuracy is not None]
    return statistics.mean(values) if values else None


def notes(rows: Sequence[Row], settings: Settings) -> Iterator[str]:
    """Yield how it was measured."""
    seeds = sorted({row.seed for row in rows})
    yield from circumstances("handmade", ("torch", "torchvision"), "no figure here is a time")
    yield (
        f"- n: {len(seeds)} trainings a network (seeds {', '.join(map(str, seeds))}), each with {rows[0].images:,} "
        f"images in {settings.training.epochs} epochs; one search, seed {settings.search.seed}"
    )


def mobilenet_name(width: float) -> str:
    """Return the name of MobileNetV2 with a width multiplier."""
    return f"MobileNetV2, width {width:g}"


@click.command(help="Search, train what was found and MobileNetV2 alike, and write the table.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/handmade"), show_default=True)
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/handmade.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the table between its two marks.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings of each network.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Trainings at the same time.")
def main(store: Path, rows: Path, page: Path | None, seeds: int, workers: int) -> None:
    """Search, train, write and print."""
    folder = search(store)
    settings = load_settings(PARAMS)
    reduction = seed_architecture(settings.network.strides, settings.network.filters).reduction
    dataset = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=reduction)
    info, choosing = open_dataset(dataset).info, store / "choosing"
    whole = memory_report(trace(mobilenet_v2_small(info.shape[0], len(info.classes), 1.0), info.shape), 4, 4)
    trials = [
        Job(architecture.arch_id, None, to_json(architecture), CHOOSING_SEED, dataset, settings.training, choosing)
        for architecture in contenders(folder, MEMORY_SHARE * whole.totals["sequential"])
    ]
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_process) as pool:
        run_missing(pool, validate, trials)
        networks: Mapping[str, tuple[float | None, str]] = {
            **{mobilenet_name(width): (width, "") for width in WIDTHS},
            FOUND: (None, most_accurate(trials).architecture),
        }
        jobs = [
            Job(name, width, architecture, seed, dataset, settings.training, store / "trainings")
            for seed in range(seeds)
            for name, (width, architecture) in networks.items()
        ]
        run_missing(pool, perform, jobs)
    measured = [replace(Row(**json.loads(read_text(job.path))), network=job.network) for job in jobs]
    measured.sort(key=lambda row: list(networks).index(row.network))
    lines = [*table(measured), "", *notes(measured, settings)]
    print("\n".join(lines))
    write_parquet(rows, Row, measured)
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
