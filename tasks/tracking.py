"""MLflow: the browsable record of all searches.

One experiment holds every search; a search holds its rounds and a round its candidates, as nested runs. The
experiment carries a view of the MLflow UI that lists the candidates of all searches in one sortable table.

Everything goes through `MlflowClient` and explicit run ids: several threads log at once, and MLflow's own
"active run" belongs to one thread.
"""

import copy
import getpass
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from memnas_core.errors import InputError, MemnasError, TrackingError
from memnas_core.records import Status
from tasks.tracking_store import (
    UiServer,
    check_port,
    check_reachable,
    explained,
    is_server,
    log_ahead,
    without_password,
)

# MLflow reads these when it is imported. With few retries, a server that dies stops a search within a minute.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import click
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS, MLFLOW_PARENT_RUN_ID, MLFLOW_USER

if TYPE_CHECKING:  # torch takes seconds to import, and only a winner's module needs it
    import numpy as np
    from torch import nn

    from memnas_core.training import EpochFigures

# What MLflow has to say arrives as an exception; its log repeats that with a traceback.
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
SERVER_LOG = "mlflow-server.log"

VIEW = "candidates"
"""Name of the table of candidates among the experiment's shared views."""

METRICS_PER_BATCH = 1000  # MLflow's limit

Kind = Literal["search", "round", "candidate"]
Outcome = Literal["FINISHED", "KILLED", "FAILED"]

# The tag that holds what identifies a run among its siblings.
_KEY_TAGS: dict[Kind, str] = {"search": "search", "round": "round", "candidate": "arch_id"}

# The table of candidates: columns in order, with their widths in pixels.
_COLUMNS = {
    "metrics.`round`": 70,
    "metrics.`accuracy`": 110,
    "metrics.`param_bytes`": 125,
    "metrics.`peak_bytes`": 100,
    "metrics.`total_bytes`": 100,
    "metrics.`score`": 90,
    "metrics.`predicted_score`": 130,
    "params.`move`": 260,
    "tags.`status`": 110,
    "tags.`search`": 280,
}
_SORTED_BY = "metrics.`accuracy`"  # scores of different rounds have different bases and do not compare


# What MLflow sorts and plots of a candidate.
_FIGURES = (
    "round",
    "accuracy",
    "param_bytes",
    "peak_bytes",
    "total_bytes",
    "paper_bytes",
    "sequential_bytes",
    "minimum_bytes",
    "arena_bytes",
    "predicted_rank",
    "predicted_score",
    "predicted_accuracy",
    "training_seconds",
    "images_seen",
)


@dataclass(frozen=True, slots=True)
class CandidateLog:
    """What MLflow is told of a candidate when its training has ended.

    Attributes:
        arch_id: Id of the architecture; identifies the candidate within its round.
        name: What the table calls it.
        round: Number of the round.
        parent_id: The round's base; empty for the seed.
        move: What was done to the base.
        status: What became of it.
        param_bytes: Weights.
        paper_bytes: Peak activations under `paper`.
        sequential_bytes: Peak activations under `sequential`.
        minimum_bytes: Peak activations under `minimum`.
        arena_bytes: The arena that holds all activations; null where it is not known.
        peak_bytes: Peak activations under the convention of the search's settings.
        predicted_rank: Place in the controller's ranking from 1.
        predicted_score: Eq. 4 before training; null before the controller has learnt anything.
        predicted_accuracy: Null unless the controller predicts accuracy.
        accuracy: On the validation split, in [0, 1]; null unless trained.
        training_seconds: Wall time of the training.
        images_seen: Training images seen.
        history: One line for each epoch.
        artifacts: Folder of files to keep with it: architecture and pictures; null: none.
    """

    arch_id: str
    name: str
    round: int
    parent_id: str
    move: str
    status: Status
    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int
    arena_bytes: int | None
    peak_bytes: int
    predicted_rank: int | None
    predicted_score: float | None
    predicted_accuracy: float | None
    accuracy: float | None
    training_seconds: float
    images_seen: int
    history: "tuple[EpochFigures, ...]"
    artifacts: Path | None

    @property
    def total_bytes(self) -> int:
        """Weights and peak activations together."""
        return self.param_bytes + self.peak_bytes

    @property
    def figures(self) -> dict[str, float]:
        """The figures that are known, by the names that MLflow shows."""
        values = {name: getattr(self, name) for name in _FIGURES}
        return {name: value for name, value in values.items() if value is not None}


class Tracker:
    """The runs of one MLflow experiment. Threads may share a tracker.

    Every method raises a `TrackingError` when MLflow refuses, and a `StorageError` when the disk is full.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str) -> None:
        self.uri = uri
        self._client = client
        self._experiment_id = experiment_id
        self._rounds: dict[tuple[str, int], str] = {}  # (run of the search, number) -> run
        self._labels: dict[str, str] = {}  # run of a search or round -> name of the search
        self._open: dict[str, None] = {}  # runs in the order they were begun
        # Two locks: registering a network takes a second, for which no candidate should wait.
        self._beginning_round = threading.Lock()
        self._registering = threading.Lock()

    @classmethod
    def connect(cls, uri: str | None, store: Path, experiment: str) -> Self:
        """Reach the tracking store and find or make the experiment.

        A new SQLite file takes about two seconds, which MLflow needs to create its tables.

        Args:
            uri: MLflow tracking URI; None: an SQLite file in the store, with artifacts beside it.
            store: The store.
            experiment: Name of the experiment.

        Raises:
            TrackingError: The store does not answer within seconds, is damaged or refuses.
            StorageError: The disk is full or the store not writable.
        """
        store = store.resolve()
        is_own = uri is None
        if uri is None:
            uri = f"sqlite:///{store / DATABASE}"
        check_reachable(uri)
        # A server keeps artifacts by itself; without one MLflow would put them into the working directory.
        artifacts = None if is_server(uri) else (store / ARTIFACTS).as_uri()
        with _mlflow_errors(f"open the experiment {experiment}", uri):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = _experiment(client, experiment, artifacts)
        if is_own:
            log_ahead(store / DATABASE)
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {experiment} at {without_password(uri)} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or set another tracking.experiment"
            )
        if artifacts is not None and found.artifact_location != artifacts:
            raise TrackingError(
                f"the MLflow experiment {experiment} at {without_password(uri)} keeps its files in "
                f"{found.artifact_location}, expected {artifacts}; move the store back to where it was made, "
                "or set another tracking.experiment"
            )
        return cls(client, uri, found.experiment_id)

    @contextmanager
    def search(self, name: str, settings: Mapping[str, str], tags: Mapping[str, str]) -> Iterator[str]:
        """Give the run of a search and end it with the block; an error leaves it failed, an interrupt killed.

        Arguments and result are those of `start_search`.
        """
        run_id = self.start_search(name, settings, tags)
        try:
            yield run_id
        except BaseException as error:
            with suppress(MemnasError):  # what ended the search matters more
                self.end(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        self.end(run_id, "FINISHED")

    def start_search(self, name: str, settings: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Begin the run of a search, or go on with it.

        Args:
            name: Identifies the search in the experiment.
            settings: `section.key` and value of every setting. A search that goes on keeps its first ones.
            tags: Further labels.

        Returns:
            The run's id.
        """
        with self._errors(f"record the search {name}"):
            run = self._find("search", name) or self._create("search", name, name)
            run_id = str(run.info.run_id)
            missing = [Param(key, value) for key, value in settings.items() if key not in run.data.params]
            self._client.log_batch(run_id, params=missing, tags=[RunTag(*label) for label in tags.items()])
            self._reopen(run_id)
        return run_id

    def start_round(self, search_run: str, number: int) -> str:
        """Begin the run of a round, or go on with it; return its id."""
        with self._beginning_round, self._errors(f"record round {number}"):
            known = self._rounds.get((search_run, number))
            if known is not None:
                return known
            run = self._find("round", str(number), search_run)
            if run is None:
                label = {"search": self._search_of(search_run)}
                run = self._create("round", str(number), f"round-{number:02d}", search_run, label)
            run_id = str(run.info.run_id)
            self._reopen(run_id)
            self._rounds[search_run, number] = run_id
        return run_id

    def log_candidate(self, round_run: str, candidate: CandidateLog) -> str:
        """Record a candidate whose training has ended, once.

        A record that a killed process left half-written is replaced.

        Returns:
            The run's id.
        """
        with self._errors(f"record the candidate {candidate.name}"):
            found = self._find("candidate", candidate.arch_id, round_run)
            if found is not None and found.info.status in ("FINISHED", "FAILED"):
                return str(found.info.run_id)
            if found is not None:
                self._client.delete_run(found.info.run_id)
            # The run's own times are those of the training, so that the UI's durations mean something.
            end = _now()
            start = end - round(1000 * candidate.training_seconds)
            labels = {"search": self._search_of(round_run), "status": candidate.status.value}
            run = self._create("candidate", candidate.arch_id, candidate.name, round_run, labels, start)
            run_id = str(run.info.run_id)
            self._open[run_id] = None
            lineage = [Param("parent_id", candidate.parent_id), Param("move", candidate.move)]
            metrics = [Metric(key, value, end, 0) for key, value in candidate.figures.items()]
            metrics += _epoch_metrics(candidate.history, end)
            for first in range(0, len(metrics), METRICS_PER_BATCH):
                batch = metrics[first : first + METRICS_PER_BATCH]
                self._client.log_batch(run_id, batch, lineage if first == 0 else ())
            if candidate.artifacts is not None:
                candidate.artifacts.stat()  # MLflow says nothing of a folder that is not there
                self._client.log_artifacts(run_id, str(candidate.artifacts))
            self._end(run_id, "FINISHED" if candidate.status is Status.TRAINED else "FAILED", end)
        return run_id

    def candidate_run(self, round_run: str, arch_id: str) -> str:
        """Return the run of a candidate that was recorded.

        Raises:
            TrackingError: There is none.
        """
        with self._errors(f"find the candidate {arch_id}"):
            found = self._find("candidate", arch_id, round_run)
        if found is None:
            raise TrackingError(
                f"{without_password(self.uri)}: expected the record of candidate {arch_id}, found none; was it "
                "deleted? Search under another --name"
            )
        return str(found.info.run_id)

    def update_scores(self, candidate_run: str, score: float, rank: int) -> None:
        """Add what re-ranking says of a candidate: Eq. 4 and its place from 1."""
        self.log_figures(candidate_run, {"score": score, "rank": rank})

    def log_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Add figures to a run of any kind; a figure of the same name is replaced."""
        now = _now()
        with self._errors("record figures"):
            self._client.log_batch(run_id, [Metric(key, value, now, 0) for key, value in figures.items()])

    def log_winner(
        self,
        round_run: str,
        candidate_run: str,
        module: "nn.Module",
        example: "np.ndarray",
        model_name: str,
        files: Sequence[Path],
    ) -> str:
        """Register the trained network of a round's winner, once.

        MLflow keeps it as an exported graph (pt2), which loads without memnas and takes any batch size.

        Args:
            round_run: Run of the round; the search's for the network that the search chose.
            candidate_run: Run that holds the model: the winner's; the search's for the chosen network.
            module: The trained network; it is left as it is.
            example: Images (batch ≥ 2, C, H, W), float32.
            model_name: Name in the model registry.
            files: What lies beside the graph: the architecture's JSON and the weights.

        Returns:
            The version under that name.
        """
        with self._registering, self._errors(f"register a version of {model_name}"):
            known = self._client.search_model_versions(f"name={_quoted(model_name)} and run_id='{candidate_run}'")
            if known:
                return str(known[0].version)
            tags = self._client.get_run(candidate_run).data.tags
            labels = {key: value for key, value in tags.items() if key in ("search", "arch_id")}
            holder = self._client.create_logged_model(
                self._experiment_id, model_name, source_run_id=candidate_run, tags=labels
            )
            # The one call without a client of its own; it asks the process for the store.
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            from mlflow import pytorch

            model = pytorch.log_model(
                copy.deepcopy(module).cpu().eval(),
                model_id=holder.model_id,
                input_example=example,
                # Left to itself MLflow loads the model in another process to see what it imports: 12 s.
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "torch")],
                extra_files=[str(path) for path in files],
                run_id=candidate_run,
                # It would load the file again and run it, a third of all this takes, and only log what goes wrong.
                validate_serving_input=False,
            )
            number = self._register(model_name, candidate_run, model, labels)
            if candidate_run != round_run:
                self._client.set_tag(round_run, "winner", labels["arch_id"])
                self._client.set_tag(candidate_run, "is_winner", "true")
        return number

    def set_best(self, model_name: str, model_version: str) -> None:
        """Give a version the alias `best`, which `models:/NAME@best` loads."""
        with self._errors(f"call version {model_version} of {model_name} the best"):
            self._client.set_registered_model_alias(model_name, "best", model_version)

    def log_file(self, run_id: str, path: Path, folder: str) -> None:
        """Keep a file with a run, in a folder among the run's files."""
        with self._errors(f"keep {path.name}"):
            self._client.log_artifact(run_id, str(path), folder)

    def end(self, run_id: str, outcome: Outcome) -> None:
        """End a run; unless it finished, all that was begun and not ended goes with it as killed."""
        with self._errors("end a run"):
            if outcome != "FINISHED":
                for inner in [other for other in reversed(list(self._open)) if other != run_id]:
                    self._end(inner, "KILLED")
            self._end(run_id, outcome)

    def table_url(self, server: str | None = None) -> str:
        """Return where the table of candidates is.

        Args:
            server: Address of the server that shows the record; None: the tracking URI is one.
        """
        page = f"experiments/{self._experiment_id}/runs"
        view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
        return f"{(server or self.uri).rstrip('/')}/#/{page}?{view}"

    def _find(self, kind: Kind, key: str, parent: str | None = None) -> Run | None:
        """Return the run of a kind and key under a parent, if there is one."""
        wanted = {"kind": kind, _KEY_TAGS[kind]: key}
        if parent is not None:
            wanted[MLFLOW_PARENT_RUN_ID] = parent
        conditions = " and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in wanted.items())
        runs = self._client.search_runs([self._experiment_id], conditions, max_results=1)
        return runs[0] if runs else None

    def _search_of(self, run_id: str) -> str:
        """Return the name of the search that a search's or a round's run belongs to; it never changes."""
        if run_id not in self._labels:
            self._labels[run_id] = str(self._client.get_run(run_id).data.tags["search"])
        return self._labels[run_id]

    def _create(
        self,
        kind: Kind,
        key: str,
        name: str,
        parent: str | None = None,
        labels: Mapping[str, str] | None = None,
        start: int | None = None,
    ) -> Run:
        """Begin a run that `_find` finds."""
        tags = {**(labels or {}), "kind": kind, _KEY_TAGS[kind]: key}
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        tags[MLFLOW_USER] = _user()
        start = start or _now()
        return self._client.create_run(self._experiment_id, start_time=start, tags=tags, run_name=name)

    def _register(self, name: str, run_id: str, model: ModelInfo, labels: dict[str, str]) -> str:
        """Make a version of a logged model; MLflow's own way prints to stderr, over the search's bars."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(name, model.model_uri, run_id, labels, model_id=model.model_id)
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: link})
        return str(made.version)

    def _reopen(self, run_id: str) -> None:
        self._client.update_run(run_id, status="RUNNING")
        self._open[run_id] = None

    def _end(self, run_id: str, outcome: Outcome, time_ms: int | None = None) -> None:
        self._client.set_terminated(run_id, outcome, time_ms)
        self._open.pop(run_id, None)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        with _mlflow_errors(action, self.uri):
            yield


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> Experiment:
    """Find or make an experiment, and give it the table of candidates."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        found = client.get_experiment_by_name(name)
        assert found is not None, "it was made or found a moment ago"
    tag, view = f"mlflow.sharedViewState.{VIEW}", _view()
    if found.lifecycle_stage == "active" and found.tags.get(tag) != view:
        client.set_experiment_tag(found.experiment_id, tag, view)
    return found


def _view() -> str:
    """Return the state of the UI in which an experiment opens as a flat table of candidates.

    The keys are those of MLflow's own pages, where "share" stores the same. They are not documented.
    """
    return json.dumps(
        {
            "searchFilter": "tags.kind = 'candidate'",
            "orderByKey": _SORTED_BY,
            "orderByAsc": False,
            "selectedColumns": list(_COLUMNS),
            "columnOrder": list(_COLUMNS),
            "columnWidths": _COLUMNS,
        }
    )


def _epoch_metrics(history: "Sequence[EpochFigures]", end: int) -> list[Metric]:
    """Return the curves of a training, under names that no final figure has."""
    return [
        Metric(name, value, end, line.epoch)
        for line in history
        for name, value in (
            ("epoch_train_loss", line.train_loss),
            ("epoch_train_accuracy", line.train_accuracy),
            ("epoch_validation_accuracy", line.validation_accuracy),
            ("epoch_learning_rate", line.learning_rate),
        )
    ]


def _user() -> str:
    """Return who searches; in a container the user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _now() -> int:
    """Return the time in MLflow's milliseconds."""
    return time.time_ns() // 1_000_000


def _quoted(value: str) -> str:
    """Return a value as MLflow's filters want it; they know no escapes but two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"


@contextmanager
def _mlflow_errors(action: str, uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError, ImportError) as error:
        raise explained(error, action, uri) from error


def serve(uri: str | None, store: Path, experiment: str, port: int, host: str = "127.0.0.1") -> None:
    """Show the table of candidates in MLflow's pages until Ctrl-C or SIGTERM.

    Args:
        uri: MLflow tracking URI; None: the SQLite file in the store. Of a server only the address is shown.
        store: The store.
        experiment: Name of the experiment.
        port: Port to listen on.
        host: Address to listen on.

    Raises:
        InputError: There is no record yet, or the port is taken.
        TrackingError: The record cannot be opened, or the server does not start.
    """
    if uri is None and not (store / DATABASE).is_file():
        raise InputError(f"{store / DATABASE}: expected the record of a search, found none; run memnas search first")
    if uri is None or not is_server(uri):
        check_port(host, port)  # before seconds go into the record
    tracker = Tracker.connect(uri, store, experiment)
    if is_server(tracker.uri):
        click.echo(f"Candidates: {tracker.table_url()}")
        return
    click.echo("Starting MLflow's server ...")
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with UiServer(tracker.uri, store / SERVER_LOG, host, port) as server:
            click.echo(f"Candidates: {tracker.table_url(server.address)}\nCtrl-C ends the server.")
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
