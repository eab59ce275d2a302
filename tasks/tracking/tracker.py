"""The record of searches: starts and ends their runs, and adds candidates, figures and networks to them.

Everything goes through `MlflowClient` and explicit run ids: several threads log at once, and MLflow's own
"active run" belongs to one thread.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from memnas_core.data import DatasetInfo
from memnas_core.errors import MemnasError, TrackingError
from memnas_core.records.trainings import Status
from tasks.tracking.candidate_log import CandidateLog
from tasks.tracking.dataset import dataset_input
from tasks.tracking.errors import mlflow_errors
from tasks.tracking.location import ARTIFACTS, DATABASE, check_location, follow, identity, is_own, own_uri
from tasks.tracking.models import Models
from tasks.tracking.runs import Outcome, Runs, now_ms
from tasks.tracking.store import check_reachable, is_server, log_ahead, without_password
from tasks.tracking.table import experiment_with_table, table_url

if TYPE_CHECKING:  # torch takes seconds to import, and only a winner's module needs it
    import numpy as np
    from torch import nn

    from memnas_core.records.trainings import EpochFigures

METRICS_PER_BATCH = 1000  # MLflow's limit
_ENDED = ("FINISHED", "FAILED")  # of a candidate that is wholly recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the record holds of a search.

    Attributes:
        candidates: Runs of the candidates, by id of the architecture.
        rounds: Numbers of the rounds whose figures are there.
        closed: Numbers of the rounds whose winner is registered, too.
    """

    candidates: Mapping[str, str]
    rounds: frozenset[int]
    closed: frozenset[int]


class Tracker:
    """The runs of one MLflow experiment. Threads may share a tracker.

    Every method raises a `TrackingError` when MLflow refuses, and a `StorageError` when the disk is full.
    """

    # A lock of its own, as keeping a network takes a second, and no candidate should wait for it; one for all
    # trackers, as MLflow takes the store from the process then.
    _logging_model = threading.Lock()

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str) -> None:
        self.uri = uri
        self._client = client
        self._experiment_id = experiment_id
        self._runs = Runs(client, experiment_id)
        self._models = Models(client, uri, experiment_id)
        self._rounds: dict[tuple[str, int], str] = {}  # (run of the search, number) -> run
        self._file = identity(uri)
        self._beginning_round = threading.Lock()

    @classmethod
    def connect(cls, uri: str | None, store: Path, experiment: str) -> Self:
        """Connect to the tracking store and find or create the experiment.

        A new SQLite file takes about two seconds, which MLflow needs to create its tables. The paths in the store's own
        database follow a store that was moved or copied.

        Args:
            uri: MLflow tracking URI; None for an SQLite file in the store, with artifacts next to it.
            store: The store.
            experiment: Name of the experiment.

        Raises:
            TrackingError: The store does not answer within seconds, is damaged or refuses access.
            StorageError: The disk is full or the store not writable.
        """
        store = store.resolve()
        in_store = is_own(uri, store)
        uri = own_uri(store) if uri is None else uri
        check_reachable(uri)
        if in_store:
            follow(store)
        # A server keeps artifacts itself; without one MLflow would put them into the working directory.
        artifacts = None if is_server(uri) else (store / ARTIFACTS).as_uri()
        with mlflow_errors(f"open the experiment {experiment}", uri):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = experiment_with_table(client, experiment, artifacts)
        if in_store:
            log_ahead(store / DATABASE)
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {experiment} at {without_password(uri)} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or set another tracking.experiment"
            )
        if artifacts is not None:
            check_location(found.artifact_location, uri, store, experiment)
        return cls(client, uri, found.experiment_id)

    @contextmanager
    def search(self, name: str, settings: Mapping[str, str], tags: Mapping[str, str]) -> Iterator[str]:
        """Yield the run of a search and end it with the block, as failed after an error, as killed after an interrupt.

        With `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true` MLflow adds what the machine does meanwhile.
        Arguments and result are those of `start_search`.
        """
        run_id = self.start_search(name, settings, tags)
        try:
            with self._system_metrics(run_id):
                yield run_id
        except BaseException as error:
            with suppress(MemnasError):  # the error that ended the search matters more
                self.end(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        self.end(run_id, "FINISHED")

    @contextmanager
    def _system_metrics(self, run_id: str) -> Iterator[None]:
        """Let MLflow log processors, memory and GPUs during the block, where MLflow is told to."""
        if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
            yield
            return
        monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=self.uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def start_search(self, name: str, settings: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Start or resume the run of a search.

        Args:
            name: Identifies the search in the experiment.
            settings: Value of every setting by `section.key`. A resumed search keeps its first ones.
            tags: Further labels. A description that the run has is kept, as people may have changed it.

        Returns:
            The run's id.
        """
        with self._errors(f"record the search {name}"):
            run = self._runs.find("search", name) or self._runs.create("search", name, name)
            run_id = str(run.info.run_id)
            missing = [Param(key, value) for key, value in settings.items() if key not in run.data.params]
            kept = {MLFLOW_RUN_NOTE} & run.data.tags.keys()
            labels = [RunTag(key, value) for key, value in tags.items() if key not in kept]
            self._client.log_batch(run_id, params=missing, tags=labels)
            self._runs.reopen(run_id)
        return run_id

    def start_round(self, search_run: str, number: int) -> str:
        """Start or resume the run of a round, and return its id."""
        with self._beginning_round, self._errors(f"record round {number}"):
            known = self._rounds.get((search_run, number))
            if known is not None:
                return known
            run = self._runs.find("round", str(number), search_run)
            if run is None:
                label = {"search": self._runs.search_of(search_run)}
                run = self._runs.create("round", str(number), f"round-{number:02d}", search_run, label)
            run_id = str(run.info.run_id)
            self._runs.reopen(run_id)
            self._rounds[search_run, number] = run_id
        return run_id

    def log_candidate(self, round_run: str, candidate: CandidateLog) -> str:
        """Record a candidate once, after its training has ended.

        A record that a killed process left half-written is replaced.

        Returns:
            The run's id.
        """
        with self._errors(f"record the candidate {candidate.name}"):
            found = self._runs.find("candidate", candidate.arch_id, round_run)
            if found is not None and found.info.status in _ENDED:
                return str(found.info.run_id)
            if found is not None:
                self._client.delete_run(found.info.run_id)
            # The run's times are those of the training, so that the durations in the UI are meaningful.
            start = round(1000 * candidate.training_started)
            end = start + round(1000 * candidate.training_seconds)
            labels = {"search": self._runs.search_of(round_run), "status": candidate.status.value}
            run = self._runs.create("candidate", candidate.arch_id, candidate.name, round_run, labels, start)
            run_id = str(run.info.run_id)
            self._runs.open(run_id)
            lineage = [Param("parent_id", candidate.parent_id), Param("move", candidate.move)]
            metrics = [Metric(key, value, end, 0) for key, value in candidate.figures.items()]
            metrics += _epoch_metrics(candidate.history, end)
            for first in range(0, len(metrics), METRICS_PER_BATCH):
                batch = metrics[first : first + METRICS_PER_BATCH]
                self._client.log_batch(run_id, batch, lineage if first == 0 else ())
            if candidate.artifacts is not None:
                candidate.artifacts.stat()  # raises if the folder is missing, which MLflow would ignore
                self._client.log_artifacts(run_id, str(candidate.artifacts))
            self._runs.end(run_id, "FINISHED" if candidate.status is Status.TRAINED else "FAILED", end)
        return run_id

    def recorded(self, search_run: str) -> Recorded:
        """Return what the record holds of a search."""
        with self._errors("read the record of the search"):
            runs = self._runs.of_search(self._runs.search_of(search_run))
        candidates, rounds, closed = {}, set(), set()
        for run in runs:
            tags, status = run.data.tags, run.info.status
            if tags.get("kind") == "candidate" and status in _ENDED:
                candidates[tags["arch_id"]] = str(run.info.run_id)
            elif tags.get("kind") == "round" and "candidates" in run.data.metrics:
                rounds.add(int(tags["round"]))
                if status == "FINISHED":
                    closed.add(int(tags["round"]))
        return Recorded(candidates, frozenset(rounds), frozenset(closed))

    def candidate_run(self, round_run: str, arch_id: str) -> str:
        """Return the run of a candidate that was recorded.

        Raises:
            TrackingError: The candidate has no run.
        """
        with self._errors(f"find the candidate {arch_id}"):
            found = self._runs.find("candidate", arch_id, round_run)
        if found is None:
            raise TrackingError(
                f"{without_password(self.uri)}: expected the record of candidate {arch_id}, found none; go on with "
                "--resume, which logs again what is missing"
            )
        return str(found.info.run_id)

    def update_scores(self, candidate_run: str, score: float, rank: int) -> None:
        """Add the results of re-ranking to a candidate: Eq. 4 and its place from 1."""
        self.log_figures(candidate_run, {"score": score, "rank": rank})

    def log_figures(self, run_id: str, figures: Mapping[str, float], step: int = 0) -> None:
        """Add figures to a run of any kind, replacing figures of the same name; those of several steps are a curve."""
        now = now_ms()
        with self._errors("record figures"):
            self._client.log_batch(run_id, [Metric(key, value, now, step) for key, value in figures.items()])

    def log_dataset(self, run_id: str, info: DatasetInfo) -> None:
        """Add the images to a run as its input, once."""
        with self._errors(f"record the data set {info.name}"):
            self._client.log_inputs(run_id, [dataset_input(info)])

    def log_model(
        self,
        run_id: str,
        module: "nn.Module",
        example: "np.ndarray",
        facts: str,
        name: str,
        files: Sequence[Path],
    ) -> str:
        """Keep a trained network as the model of a run, once.

        Arguments and result are those of `Models.log`.
        """
        with self._logging_model, self._errors(f"keep a network as {name}"):
            return self._models.log(run_id, module, example, facts, name, files)

    def mark_winner(self, round_run: str, candidate_run: str, arch_id: str) -> None:
        """Say on the runs of a round and of its winner which candidate has won."""
        with self._errors(f"call {arch_id} the winner"):
            self._client.set_tag(round_run, "winner", arch_id)
            self._client.set_tag(candidate_run, "is_winner", "true")

    def register(self, run_id: str, model_id: str, name: str) -> None:
        """Make the model of a run a version of a registered model, once.

        Arguments are those of `Models.register`.
        """
        with self._logging_model, self._errors(f"register a version of {name}"):
            self._models.register(run_id, model_id, name)

    def log_file(self, run_id: str, path: Path, folder: str = "") -> None:
        """Keep a file with a run, in a folder among the run's files."""
        with self._errors(f"keep {path.name}"):
            self._client.log_artifact(run_id, str(path), folder)

    def log_text(self, run_id: str, name: str, text: str) -> None:
        """Keep a text with a run, under a name among the run's files."""
        with self._errors(f"keep {name}"):
            self._client.log_text(run_id, text, name)

    def end(self, run_id: str, outcome: Outcome) -> None:
        """End a run; unless it finished, all other open runs are ended as killed."""
        with self._errors("end a run"):
            if outcome != "FINISHED":
                self._runs.end_others(run_id)
            self._runs.end(run_id, outcome)

    def table_url(self, server: str | None = None) -> str:
        """Return the URL of the table of candidates.

        Args:
            server: Address of the server that shows the record; None if the tracking URI is one.
        """
        return table_url(server or self.uri, self._experiment_id)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        self._check_file(action)
        try:
            with mlflow_errors(action, self.uri):
                yield
        except MemnasError:
            self._check_file(action)
            raise

    def _check_file(self, action: str) -> None:
        """Notice that an SQLite file was removed or replaced, which SQLite itself does not do at once."""
        if identity(self.uri) != self._file:
            raise TrackingError(
                f"cannot {action} at {self.uri}: the file was removed or replaced meanwhile; go on with --resume, "
                "which logs again what is missing"
            )


def _epoch_metrics(history: "Sequence[EpochFigures]", end: int) -> list[Metric]:
    """Return the curves of a training, under names that differ from those of all final figures."""
    return [
        Metric(name, value, end, line.epoch)
        for line in history
        for name, value in (
            ("epoch_train_loss", line.train_loss),
            ("epoch_train_accuracy", line.train_accuracy),
            ("epoch_validation_accuracy", line.validation_accuracy),
            ("epoch_learning_rate", line.learning_rate),
        )
        if value is not None
    ]
