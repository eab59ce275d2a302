"""A small search for tests. Its accuracies are made up; networks, bytes, tables and weight files are real."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from safetensors.torch import save

from memnas_core.data import DatasetInfo
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import EpochFigures, Status, TrainingRecord
from memnas_core.results.folder import SearchFolder, Start
from memnas_core.search.candidates import Base, Generation, Ranking
from memnas_core.search.loop import Candidates, Records, Rows, Steps, play_round
from memnas_core.search.score_aim import rank_by_score
from memnas_core.search.state import SearchState
from memnas_core.search.summary import summarise
from memnas_core.settings.file import parse_settings
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from memnas_core.training.job import TrainingJob
from memnas_core.training.network import build_network
from memnas_core.training.record import write_record

SHAPE = Shape(1, 8, 8)
WORKLOAD = Workload(SHAPE, 10, 4, 4)
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
            accuracy_floor: null, accuracy: plain}
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
        cpu_seconds=1.5,
    )


class MadeUpSteps(Steps):
    """The steps of a round with accuracies that are told. Nothing is learnt from them."""

    def __init__(self, accuracies: Sequence[float | None]) -> None:
        self.accuracies = accuracies
        self.rows: Sequence[CandidateRow] = []

    def rank(self, search: SearchState, generation: Generation, number: int) -> Ranking:
        if number == 0:
            return super().rank(search, generation, number)
        return rank_by_score(generation, None, search.base, search.settings.objective, seed=number)

    def train(
        self,
        search: SearchState,
        rung: int,  # noqa: ARG002 -- the only one
        candidates: Candidates,
        before: Sequence[TrainingRecord | None],  # noqa: ARG002
    ) -> list[TrainingRecord]:
        records = []
        for ranked, accuracy in zip(candidates, self.accuracies, strict=True):
            candidate, status = ranked.candidate, Status.DIVERGED if accuracy is None else Status.TRAINED
            job = search.training_job(candidate.architecture, candidate.arch_id, candidate.round)
            record = replace(made_up_record(candidate.arch_id, accuracy, status), key=job.key)
            weights = None
            if status is Status.TRAINED:
                graph = lower(candidate.architecture, SHAPE, len(INFO.classes))
                weights = save(build_network(graph, seed=candidate.round).state_dict())
            write_record(job, record, weights)
            records.append(record)
        return records

    def update_controller(self, search: SearchState) -> None:  # noqa: ARG002
        return None

    def close(self, search: SearchState, ranking: Ranking, rows: Rows, records: Records) -> RoundSummary:
        self.rows, number = rows, len(search.rounds)
        before, started = search.chosen[-2] if number else None, START.started + 100 * number
        return summarise(number, before, search.base, ranking.counts, rows, records, started, now=started + 60)


class SmallSearch:
    """Goes through a search as the flows do, with the accuracies it is told."""

    def __init__(self, settings: Settings, folder: SearchFolder) -> None:
        self.settings = settings
        self.folder = folder
        self.state = SearchState(settings, Path("nowhere"), INFO, folder.trainings)

    @property
    def rounds(self) -> list[RoundSummary]:
        return self.state.rounds

    @property
    def rows(self) -> list[CandidateRow]:
        return self.state.rows

    @property
    def base(self) -> Base:
        return self.state.base

    def round(self, accuracies: Sequence[float | None]) -> tuple[RoundSummary, tuple[CandidateRow, ...]]:
        """Run the next round; the top candidates get these accuracies. None: the training diverged."""
        search = replace(self.settings.search, top_k=len(accuracies))
        self.state.settings = replace(self.settings, search=search)
        steps = MadeUpSteps(accuracies)
        return play_round(self.state, steps), tuple(steps.rows)

    def job(self, arch_id: str, number: int) -> TrainingJob:
        """Return the training job of a candidate."""
        architecture = from_json(next(r.architecture for r in self.rows if r.arch_id == arch_id))
        return self.state.training_job(architecture, arch_id, number)

    def trainings(self, rows: Sequence[CandidateRow]) -> dict[str, Path]:
        """Return where the weights of a round's trained candidates are."""
        return {row.arch_id: self.job(row.arch_id, row.round).path for row in rows if row.status is Status.TRAINED}

    def write_round(self, accuracies: Sequence[float | None]) -> None:
        """Run the next round and put it on disk."""
        summary, rows = self.round(accuracies)
        self.folder.write_round(summary, rows, self.trainings(rows))
        self.folder.write_tables(self.rounds, self.rows)
