"""A running search: its state, and the services that its tasks share."""

from pathlib import Path

from memnas_core.data import DatasetInfo
from memnas_core.results.folder import SearchFolder
from memnas_core.search.state import SearchState
from memnas_core.settings.schema import Settings
from memnas_core.workers.pool import WorkerPool
from tasks.artifacts import Artifacts
from tasks.display import Display
from tasks.tracking.tracker import Tracker
from tasks.versioning.pushing import Pushing
from tasks.versioning.repository import Versions


class RecordedSearch:
    """A search with its record in MLflow.

    Attributes:
        state: Results so far; only the flow changes them, between tasks.
        run: Id of the search's MLflow run.
        model: Name of the search's registered model.
        candidate_runs: Ids of the candidates' MLflow runs, by candidate id.
    """

    def __init__(
        self, settings: Settings, folder: SearchFolder, dataset: Path, info: DatasetInfo, tracker: Tracker
    ) -> None:
        self.state = SearchState(settings, dataset, info, folder.trainings)
        self.settings = settings
        self.folder = folder
        self.info = info
        self.tracker = tracker
        self.run = ""
        self.model = ""
        self.candidate_runs: dict[str, str] = {}


class Session(RecordedSearch):
    """A search with all its services.

    A plain class, since Prefect would walk through every field of a dataclass that a task is given.

    Attributes:
        pushing: Copies versions to the team's remote; None: there is none.
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
        artifacts: Artifacts,
    ) -> None:
        super().__init__(settings, folder, dataset, info, tracker)
        self.dataset = dataset
        self.workers = workers
        self.versions = versions
        self.display = display
        self.artifacts = artifacts
        self.pushing: Pushing | None = None

    def keep_version(self, path: Path) -> None:
        """Put a complete folder under DVC, and have it copied to the team's remote if there is one."""
        self.versions.add(path)
        if self.pushing is not None:
            self.pushing.push(path)
