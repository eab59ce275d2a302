"""A running search: what it has found so far, and the services that its tasks share."""

import time
from dataclasses import replace
from pathlib import Path

from memnas_core.architecture import Architecture
from memnas_core.choice import round_winner, trained_of
from memnas_core.config import Settings
from memnas_core.contenders import Base, Contender
from memnas_core.controller import Controller
from memnas_core.data import DatasetInfo
from memnas_core.front import Front
from memnas_core.front_search import Neighbourhoods, accuracy_floor, first_front, front_bases
from memnas_core.graph import Shape
from memnas_core.grow_trim import Candidate
from memnas_core.halving import rung_images
from memnas_core.jobs import Start, TrainingJob, candidate_seed
from memnas_core.limits import Limits
from memnas_core.metric import Performance
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.result_folder import SearchFolder
from memnas_core.search import seed_contenders
from memnas_core.training_records import TrainingRecord
from tasks.display import Display
from tasks.pushing import Pushing
from tasks.tracking.tracker import Tracker
from tasks.versioning import Versions
from tasks.worker_pool import WorkerPool


class Search:
    """State and services of one search.

    A plain class, since Prefect would walk through every field of a dataclass that a task is given. Only the flow
    changes it, between tasks.
    """

    def __init__(
        self,
        settings: Settings,
        folder: SearchFolder,
        dataset: Path,
        info: DatasetInfo,
        workers: WorkerPool,
        tracker: Tracker,
        versions: Versions,
        display: Display,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.dataset = dataset
        self.info = info
        self.workers = workers
        self.tracker = tracker
        self.versions = versions
        self.display = display
        self.input_shape = Shape(*info.shape)
        self.classes = len(info.classes)
        self.rounds: list[RoundSummary] = []
        self.rows: list[CandidateRow] = []
        self.trained: list[tuple[Architecture, Performance]] = []
        self.controller: Controller | None = None
        self.mark = time.time()
        self.run = ""
        self.model = ""
        self.pushing: Pushing | None = None
        self.candidate_runs: dict[str, str] = {}
        self.neighbourhoods = Neighbourhoods(settings.search, settings.objective, self.input_shape, self.classes)
        self.bases: tuple[Base, ...] = ()
        self._chosen: list[Base] = []

    def keep_version(self, path: Path) -> None:
        """Make a version of a folder that is complete, and have it copied to the team's remote if there is one."""
        self.versions.add(path)
        if self.pushing is not None:
            self.pushing.push(path)

    @property
    def base(self) -> Base:
        """The network that the last round chose."""
        return self._chosen[-1]

    @property
    def base_before(self) -> Base | None:
        """The network that the round before the last chose; None if the last was round 0."""
        return self._chosen[-2] if len(self._chosen) > 1 else None

    @property
    def seeds(self) -> tuple[Contender, ...]:
        """The networks that round 0 trains."""
        settings = self.settings
        return seed_contenders(settings.search, settings.network, self.input_shape, self.classes, settings.objective)

    @property
    def known(self) -> set[str]:
        """Ids of the networks whose training was begun."""
        return {row.arch_id for row in self.rows if row.status is not Status.GENERATED}

    @property
    def images_seen(self) -> int:
        """Training images that all candidates together have seen."""
        return sum(summary.images_seen for summary in self.rounds)

    @property
    def front(self) -> Front | None:
        """The front of all that was trained, if the search aims at it."""
        if self.settings.search.aim == "score":
            return None
        if not self._chosen:
            return first_front(self.seeds, self.settings.objective, self.classes)
        return Front.of([performance for _, performance in self.trained], self._floor)

    def rungs(self, number: int) -> tuple[int | None, ...]:
        """Return the training images of each rung of a round's trainings; None: a full training."""
        search = self.settings.search
        shares = search.rungs if number > 0 else search.seed_rungs
        return rung_images(shares, self.settings.training, self.info.train_size)

    @property
    def _floor(self) -> float:
        first, best = self._chosen[0].performance.accuracy, max(network.accuracy for _, network in self.trained)
        return accuracy_floor(self.settings.objective, first, best, self.classes)

    def candidate_job(self, candidate: Candidate, images: int | None, before: TrainingRecord | None) -> TrainingJob:
        """Return the job of a candidate's rung.

        Args:
            candidate: The candidate.
            images: Training images of the rung; None: a full training.
            before: The rung before; None: it is the first.
        """
        start = None
        if before is not None:
            start = Start(candidate.architecture, before.key)
        elif self.settings.search.weights == "base" and candidate.round > 0:
            base = next(base for base in self.bases if base.arch_id == candidate.parent_id)
            start = Start(base.architecture, base.training_key) if base.training_key else None
        job = self.training_job(candidate.architecture, candidate.arch_id, candidate.round)
        warm = self.settings.search.warm_learning_rate
        if candidate.round > 0 and start is not None and warm is not None:
            job = replace(job, settings=replace(job.settings, learning_rate=warm))
        return replace(job, images=images, start=start)

    def training_job(self, architecture: Architecture, arch_id: str, round_number: int) -> TrainingJob:
        """Return the job that trains a candidate of a round fully and from nothing."""
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=self.dataset.absolute(),  # a worker on a cluster has a working directory of its own
            data_digest=self.info.digest,
            settings=self.settings.training,
            seed=candidate_seed(self.settings.search.seed, round_number, arch_id),
            folder=self.folder.trainings.absolute(),
            limits=Limits.of(self.settings.execution),
        )

    def accept(self, rows: tuple[CandidateRow, ...]) -> None:
        """Take a re-ranked round into the state: its winner, or the front that it leads to, are the next bases."""
        objective = self.settings.objective
        self._chosen.append(round_winner(rows, self._chosen[-1] if self._chosen else None, objective))
        self.rows += rows
        self.trained += trained_of(rows, objective)
        self.bases = (self.base,)
        if self.settings.search.aim == "front":
            self.bases = front_bases(self.rows, objective, self._floor) or self.bases

    def close_round(self, summary: RoundSummary) -> None:
        """Add the summary of the round that was accepted last; the next round's time starts now."""
        self.rounds.append(summary)
        self.mark = time.time()
