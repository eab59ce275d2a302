"""The results of a search so far, and the training jobs that follow from them. No services are held here."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from memnas_core.controller.interface import Controller
from memnas_core.data import DatasetInfo, open_dataset
from memnas_core.data.dataset import INFO_FILE
from memnas_core.objective.floor import NOT_KNOWN, Guessing
from memnas_core.objective.score import Performance
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import guessing_accuracy
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Limits, Status, TrainingRecord
from memnas_core.search.aim import AIMS, Aim
from memnas_core.search.candidates import Base, Generation
from memnas_core.search.choice import round_winner, trained_of
from memnas_core.search.generation import first_generation
from memnas_core.search.halving import rung_images
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json
from memnas_core.space.moves import Candidate
from memnas_core.training.job import TrainingJob, WarmStart, candidate_seed


class SearchState:
    """The state of a search between two steps.

    Attributes:
        settings: Settings of the search.
        info: Facts about the images.
        workload: Images, classes and element widths of its networks.
        aim: What the search looks for.
        rounds: Summaries of the finished rounds.
        rows: All candidates of all rounds.
        chosen: The network that each round chose.
        bases: The networks that the next round is made from.
        controller: The trained controller; None before the first is trained, or with random selection.
        mark: Unix time at which the running round began.
    """

    def __init__(self, settings: Settings, dataset: Path, info: DatasetInfo, trainings: Path) -> None:
        """Begin a search without results.

        Args:
            settings: Settings of the search.
            dataset: Folder of the prepared images.
            info: Facts about the images.
            trainings: Folder that receives finished trainings, each under its key.
        """
        self.settings = settings
        self.info = info
        self.workload = info.workload(settings.objective)
        self.aim: Aim = AIMS[settings.search.aim](settings, self.workload)
        self.rounds: list[RoundSummary] = []
        self.rows: list[CandidateRow] = []
        self.chosen: list[Base] = []
        self.bases: tuple[Base, ...] = ()
        self.controller: Controller | None = None
        self.mark = time.time()
        self._dataset = dataset
        self._trainings = trainings

    @cached_property
    def first(self) -> Generation:
        """The networks that round 0 trains."""
        settings = self.settings
        return first_generation(settings.search, settings.network, self.workload, settings.objective)

    @cached_property
    def validation_images(self) -> tuple[int, ...]:
        """Number of validation images of each class; none where the images are not on disk."""
        if not (self._dataset / INFO_FILE).exists():  # as when a lost record is logged again
            return ()
        labels = open_dataset(self._dataset).validation.labels
        return tuple(np.bincount(labels, minlength=len(self.info.classes)).tolist())

    @property
    def guessing(self) -> Guessing:
        """What always guessing the largest class reaches on the validation images."""
        images = self.validation_images
        if not images:
            return NOT_KNOWN
        return Guessing(guessing_accuracy(images, self.settings.objective.accuracy), sum(images))

    @property
    def base(self) -> Base:
        """The network that the last round chose."""
        return self.chosen[-1]

    @property
    def known(self) -> set[str]:
        """Ids of the networks whose training was started."""
        return {row.arch_id for row in self.rows if row.status is not Status.GENERATED}

    @property
    def examples(self) -> Sequence[tuple[Architecture, Performance]]:
        """All networks whose training succeeded, with their figures."""
        return trained_of(self.rows, self.settings.objective)

    @property
    def trained(self) -> Sequence[Performance]:
        """Figures of all networks that were trained successfully."""
        return [performance for _, performance in self.examples]

    @property
    def images_seen(self) -> int:
        """Number of training images that all candidates together have seen."""
        return sum(summary.images_seen for summary in self.rounds)

    def rungs(self, number: int) -> tuple[int | None, ...]:
        """Return the training images of each rung of a round's trainings; None: a full training."""
        search = self.settings.search
        shares = search.rungs if number > 0 else search.seed_rungs
        return rung_images(shares, self.settings.training, self.info.train_size)

    def accept(self, rows: Sequence[CandidateRow]) -> None:
        """Add a re-ranked round: its rows, the network that it chose, and the bases of the next round.

        Raises:
            TrainingError: No network of round 0 could be trained.
        """
        self.chosen.append(round_winner(rows, self.chosen[-1] if self.chosen else None, self.settings.objective))
        self.rows += rows
        self.bases = self.aim.bases(self)

    def close_round(self, summary: RoundSummary) -> None:
        """Add the summary of the round that was accepted last, and start the clock of the next round."""
        self.rounds.append(summary)
        self.mark = time.time()

    def candidate_job(self, candidate: Candidate, images: int | None, before: TrainingRecord | None) -> TrainingJob:
        """Return the training job of one rung of a candidate.

        Args:
            candidate: The candidate.
            images: Training images of the rung; None: a full training.
            before: Record of the candidate so far; None: this is its first rung.
        """
        start = None
        if before is not None:
            start = WarmStart(candidate.architecture, before.key)
        elif self.settings.search.weights == "base" and candidate.round > 0:
            base = next(base for base in self.bases if base.arch_id == candidate.parent_id)
            start = WarmStart(base.architecture, base.training_key) if base.training_key else None
        job = self.training_job(candidate.architecture, candidate.arch_id, candidate.round)
        warm = self.settings.search.warm_learning_rate
        if candidate.round > 0 and start is not None and warm is not None:
            job = replace(job, settings=replace(job.settings, learning_rate=warm))
        return replace(job, images=images, start=start)

    def final_job(self, chosen: CandidateRow, epochs: int) -> TrainingJob:
        """Return the job that retrains the chosen network from nothing.

        Args:
            chosen: Row of the network.
            epochs: Epochs of the retraining, `final.epochs`.
        """
        return replace(
            self.training_job(from_json(chosen.architecture), chosen.arch_id, chosen.round),
            settings=replace(self.settings.training, epochs=epochs),
            seed=candidate_seed(self.settings.search.seed, chosen.round, f"final {chosen.arch_id}"),
            all_images=self.settings.final.all_images,
        )

    def training_job(self, architecture: Architecture, arch_id: str, round_number: int) -> TrainingJob:
        """Return the job that trains a candidate of a round fully and from scratch."""
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=self._dataset.absolute(),  # a worker on a cluster has a working directory of its own
            data_digest=self.info.digest,
            settings=self.settings.training,
            seed=candidate_seed(self.settings.search.seed, round_number, arch_id),
            folder=self._trainings.absolute(),
            limits=Limits.of(self.settings.execution),
            measure=self.settings.objective.accuracy,
        )
