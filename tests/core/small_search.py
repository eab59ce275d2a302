"""A small search for tests. Its accuracies are made up; networks, bytes, tables and weight files are real."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from safetensors.torch import save

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json
from memnas_core.choice import round_winner
from memnas_core.config import Settings
from memnas_core.contenders import Base, Ranking
from memnas_core.data import DatasetInfo
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import MoveCounts, seed_architecture
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.network import build_network
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.result_folder import SearchFolder, Start
from memnas_core.round_summary import summarise
from memnas_core.search import generate_round, rank_round, rerank, seed_contender
from memnas_core.settings_file import parse_settings
from memnas_core.training import EpochFigures
from memnas_core.training_records import TrainingRecord, write_record

SHAPE = Shape(1, 8, 8)
INFO = DatasetInfo(
    name="digits",
    classes=tuple("0123456789"),
    shape=(1, 8, 8),
    channel_mean=(0.3,),
    channel_std=(0.4,),
    train_size=100,
    validation_size=20,
    test_size=20,
    horizontal_flip=False,
    digest="d" * 64,
    source="made up",
)
START = Start(INFO, (("python", "3.11"), ("torch", "2.14.1")), "Abacus, 1 core, Linux", 1_700_000_000.0)


SETTINGS = """
data: {dataset: digits, folder: null, image_size: null, validation_fraction: 0.2, max_training_images: null,
       horizontal_flip: null}
network: {filters: 4, strides: [1, 2]}
search: {seed: 0, moves: grow_and_trim, selection: controller, aim: score,
         seed_cells: [[conv_3x3, conv_3x3]], seed_rungs: [1.0], weights: fresh,
         warm_learning_rate: null, rungs: [1.0], keep: 1.0, top_k: 8, rounds: 4, max_cells: 6,
         max_training_images: null, patience: 3}
objective: {accuracy_weight: 0.5, activation_convention: minimum, weight_bytes: 4, activation_bytes: 4, device: null,
            max_param_bytes: null, max_activation_bytes: null, max_total_bytes: null,
            accuracy_floor: null}
training: {epochs: 20, batch_size: 64, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005, restart_epochs: null,
           restart_factor: 1, crop_padding: 1, cutout_size: 2, device: cpu,
           precision: auto}
controller: {version: improved, target: accuracy, embedding_size: 8, hidden_size: 8, epochs: 5, learning_rate: 0.003}
final: {epochs: 60}
execution: {runner: processes, workers: null, gpu_fraction: null, memory_limit_bytes: null,
            training_seconds: null, ray_address: null, ray_cpus: 1.0}
tracking: {uri: null, experiment: memnas}
versioning: {remote: null}
"""


def small_settings(store: Path) -> Settings:
    """Return the settings of a small search with a store of its own."""
    document = yaml.safe_load(SETTINGS)
    return parse_settings({"store": str(store), **document}, "small_search.py")


def made_up_record(arch_id: str, accuracy: float | None, status: Status = Status.TRAINED) -> TrainingRecord:
    """Return the record of a training that never was; without an accuracy it failed."""
    line = EpochFigures(1, 2.0, 0.25, accuracy or 0.1, 0.05, 1.5)
    return TrainingRecord(
        arch_id=arch_id,
        status=status,
        validation_accuracy=accuracy,
        images_seen=100,
        started=START.started + 10,
        seconds=1.5,
        device="cpu",
        message="" if accuracy is not None else "it failed",
        history=(line,),
    )


class SmallSearch:
    """Goes through a search as the flows do, with the accuracies it is told."""

    def __init__(self, settings: Settings, folder: SearchFolder) -> None:
        self.settings = settings
        self.folder = folder
        self.base: Base | None = None
        self.rounds: list[RoundSummary] = []
        self.rows: list[CandidateRow] = []

    def round(self, accuracies: Sequence[float | None]) -> tuple[RoundSummary, tuple[CandidateRow, ...]]:
        """Run the next round; the top candidates get these accuracies. None: the training diverged."""
        number, objective = len(self.rounds), self.settings.objective
        if self.base is None:
            seed = seed_architecture(self.settings.network.strides, self.settings.network.filters)
            contender = seed_contender(seed, SHAPE, len(INFO.classes), objective)
            ranking = Ranking([contender], MoveCounts(0, 0, 0, 0, 0))
        else:
            known = {row.arch_id for row in self.rows if row.status is not Status.GENERATED}
            generation = generate_round(
                self.base.architecture, number, SHAPE, len(INFO.classes), objective, known, self.settings.search
            )
            ranking = rank_round(generation, None, self.base, objective, seed=number)
        top = [contender.candidate for contender in ranking.top(len(accuracies))]
        records = [
            made_up_record(candidate.arch_id, accuracy, Status.DIVERGED if accuracy is None else Status.TRAINED)
            for candidate, accuracy in zip(top, accuracies, strict=True)
        ]
        for place, (candidate, record) in enumerate(zip(top, records, strict=True)):
            job = self.job(candidate.architecture.arch_id, candidate.round, candidate.architecture)
            records[place] = replace(record, key=job.key)
            weights = None
            if record.status is Status.TRAINED:
                graph = lower(candidate.architecture, SHAPE, len(INFO.classes))
                weights = save(build_network(graph, seed=number).state_dict())
            write_record(job, record, weights)
        rows = rerank(ranking, {record.arch_id: record for record in records}, self.base, objective)
        before, self.base = self.base, round_winner(rows, self.base, objective)
        started = START.started + 100 * number
        summary = summarise(number, before, self.base, ranking.counts, rows, records, started=started, now=started + 60)
        self.rounds.append(summary)
        self.rows += rows
        return summary, rows

    def job(self, arch_id: str, number: int, architecture: Architecture | None = None) -> TrainingJob:
        """Return the training job of a candidate."""
        if architecture is None:
            architecture = from_json(next(r.architecture for r in self.rows if r.arch_id == arch_id))
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=Path("nowhere"),
            data_digest=INFO.digest,
            settings=self.settings.training,
            seed=candidate_seed(self.settings.search.seed, number, arch_id),
            folder=self.folder.trainings,
        )

    def trainings(self, rows: Sequence[CandidateRow]) -> dict[str, Path]:
        """Return where the weights of a round's trained candidates are."""
        return {row.arch_id: self.job(row.arch_id, row.round).path for row in rows if row.status is Status.TRAINED}

    def write_round(self, accuracies: Sequence[float | None]) -> None:
        """Run the next round and put it on disk."""
        summary, rows = self.round(accuracies)
        self.folder.write_round(summary, rows, self.trainings(rows))
        self.folder.write_tables(self.rounds, self.rows)
