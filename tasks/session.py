"""A running search: what it has found so far, and the services that its tasks share."""

import time
from pathlib import Path

from memnas_core.architecture import Architecture
from memnas_core.config import Settings
from memnas_core.controller import Controller
from memnas_core.data import DatasetInfo
from memnas_core.graph import Shape
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.metric import Performance
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.result_folder import SearchFolder
from memnas_core.search import Base, next_base, trained_of
from tasks.display import Display
from tasks.tracking import Tracker
from tasks.versioning import Versions
from tasks.workers import Workers


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
        workers: Workers,
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
        self.candidate_runs: dict[str, str] = {}
        self._bases: list[Base] = []

    @property
    def base(self) -> Base:
        """The network that the next round starts from."""
        return self._bases[-1]

    @property
    def base_before(self) -> Base | None:
        """The network that the last accepted round started from; None if that was round 0."""
        return self._bases[-2] if len(self._bases) > 1 else None

    @property
    def seed(self) -> Base:
        """The network that the search began with."""
        return self._bases[0]

    @property
    def known(self) -> set[str]:
        """Ids of the networks whose training was begun."""
        return {row.arch_id for row in self.rows if row.status is not Status.GENERATED}

    @property
    def images_seen(self) -> int:
        """Training images that all candidates together have seen."""
        return sum(summary.images_seen for summary in self.rounds)

    def training_job(self, architecture: Architecture, arch_id: str, round_number: int) -> TrainingJob:
        """Return the job that trains a candidate of a round."""
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=self.dataset,
            data_digest=self.info.digest,
            settings=self.settings.training,
            seed=candidate_seed(self.settings.search.seed, round_number, arch_id),
            folder=self.folder.trainings,
        )

    def accept(self, rows: tuple[CandidateRow, ...]) -> None:
        """Take a re-ranked round into the state: its winner is the next base."""
        objective = self.settings.objective
        self._bases.append(next_base(rows, self._bases[-1] if self._bases else None, objective))
        self.rows += rows
        self.trained += trained_of(rows, objective)

    def close_round(self, summary: RoundSummary) -> None:
        """Add the summary of the round that was accepted last; the next round's time starts now."""
        self.rounds.append(summary)
        self.mark = time.time()
