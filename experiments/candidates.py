"""Stage `candidates`: train the candidates on which controllers are compared, each several times.

Writes `results/candidates.parquet`, one row for each candidate. The store keeps each finished training under a key of
all that decides its result, so a run that was stopped continues, and a second run only rewrites the table. During the
run, the rows so far are written to a table in the store.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from experiments.plan import RESULTS, CandidatePlan, Plan, load_plan
from experiments.stage import run_stage, stage_progress
from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.environment import machine
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.memory.figures import PeakFigures, measure
from memnas_core.records.trainings import TrainingRecord
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture_json import to_json
from memnas_core.space.lineages import Descendant, draw_lineages
from memnas_core.training import record as training_records
from memnas_core.training import worker
from memnas_core.training.job import TrainingJob, candidate_seed
from memnas_core.workers.places import training_places
from memnas_core.workers.processes import Workers

TABLE = RESULTS / "candidates.parquet"
WRITE_EVERY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class TrainedCandidate:
    """A row of `candidates.parquet`.

    Attributes:
        arch_id: Id of the architecture.
        architecture: The architecture as JSON.
        lineage: Number of its lineage; 0 for the search's seed network, which is in none.
        round: Number of the round; 0 for the first network of a lineage and for the seed network.
        parent_id: The base that it was made from; empty in round 0.
        move: What was done to the base.
        memory: Memory, a column for each figure.
        accuracies: Validation accuracy of each training, in [0, 1]; null where it failed.
        seconds: Wall time of each training.
        images_seen: Training images that each training has seen.
        machine: The machine on which the first training ran.
    """

    arch_id: str
    architecture: str
    lineage: int
    round: int
    parent_id: str
    move: str
    memory: PeakFigures
    accuracies: tuple[float | None, ...]
    seconds: tuple[float, ...]
    images_seen: tuple[int, ...]
    machine: str


def draw(settings: Settings, plan: CandidatePlan) -> tuple[Descendant, ...]:
    """Return the candidates of a plan."""
    network = settings.network
    return draw_lineages(network.strides, network.filters, plan.lineages, plan.rounds, plan.children, plan.seed)


def training_jobs(
    descendant: Descendant, settings: Settings, dataset: Path, info: DatasetInfo, plan: CandidatePlan
) -> tuple[TrainingJob, ...]:
    """Return the trainings of a candidate, which differ only in their seeds."""
    architecture, arch_id = descendant.candidate.architecture, descendant.candidate.arch_id
    return tuple(
        TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=dataset,
            data_digest=info.digest,
            settings=settings.training,
            seed=candidate_seed(plan.seed, repeat, arch_id),
            folder=Path(settings.store) / "candidates",
        )
        for repeat in range(1, plan.trainings + 1)
    )


def table_row(
    descendant: Descendant, records: Sequence[TrainingRecord], settings: Settings, info: DatasetInfo
) -> TrainedCandidate:
    """Return the row of a candidate whose trainings are finished."""
    candidate = descendant.candidate
    figures = measure(candidate.architecture, info.workload(settings.objective))
    return TrainedCandidate(
        arch_id=candidate.arch_id,
        architecture=to_json(candidate.architecture),
        lineage=descendant.lineage,
        round=candidate.round,
        parent_id=candidate.parent_id or "",
        move=candidate.words,
        memory=figures.peaks,
        accuracies=tuple(record.validation_accuracy for record in records),
        seconds=tuple(record.seconds for record in records),
        images_seen=tuple(record.images_seen for record in records),
        machine=machine(),
    )


def write_table(path: Path, rows: Sequence[TrainedCandidate]) -> None:
    """Write the table atomically.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_parquet(path, TrainedCandidate, rows)


def read_table(path: Path = TABLE) -> tuple[TrainedCandidate, ...]:
    """Read the table.

    Raises:
        RecordError: The file is missing or damaged, or has other columns.
    """
    return read_parquet(path, TrainedCandidate, "the table of trained candidates", "make it with dvc repro candidates")


def train_candidates(plan: Plan, workers: Workers, progress: Progress) -> tuple[TrainedCandidate, ...]:
    """Train the candidates that are not yet trained, and return the rows of all."""
    settings = plan.load_settings()
    store = Path(settings.store)
    dataset = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=settings.network.reduction)
    info = open_dataset(dataset).info
    descendants = draw(settings, plan.candidates)
    all_jobs = [training_jobs(descendant, settings, dataset, info, plan.candidates) for descendant in descendants]
    # The order is random, so that the table of a run that was stopped is a fair sample of the whole.
    flat = [
        job
        for of_candidate in random.Random(plan.candidates.seed).sample(all_jobs, len(all_jobs))
        for job in of_candidate
    ]
    bar = progress.add_task("trainings", total=len(flat))
    written = time.monotonic()

    def rows() -> list[TrainedCandidate]:
        found = [[training_records.finished(job) for job in of_candidate] for of_candidate in all_jobs]
        return [
            table_row(descendant, complete, settings, info)
            for descendant, records in zip(descendants, found, strict=True)
            if len(complete := [record for record in records if record is not None]) == len(records)
        ]

    with ThreadPoolExecutor(workers.count) as threads:
        running = [threads.submit(_train_once, workers, job) for job in flat]
        for done in as_completed(running):
            done.result()
            progress.advance(bar)
            if time.monotonic() - written > WRITE_EVERY_SECONDS:
                write_table(store / "candidates.parquet", rows())
                written = time.monotonic()
    return tuple(rows())


def _train_once(workers: Workers, job: TrainingJob) -> None:
    if training_records.finished(job) is None:
        workers.run(worker.run, job)


def main() -> None:
    """Train and write the table."""
    plan = load_plan()
    settings = plan.load_settings()
    places = training_places(settings.execution, settings.training.device)
    with Workers(places) as workers, stage_progress() as progress:
        rows = train_candidates(plan, workers, progress)
    write_table(TABLE, rows)
    progress.console.print(f"{len(rows)} candidates, each trained {plan.candidates.trainings} times: {TABLE}")


if __name__ == "__main__":
    run_stage(main)
