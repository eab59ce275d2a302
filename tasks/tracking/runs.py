"""Runs of an experiment: found by what identifies them, started, resumed and ended."""

import getpass
import os
import time
from collections.abc import Mapping
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_USER

Kind = Literal["search", "round", "candidate"]
Outcome = Literal["FINISHED", "KILLED", "FAILED"]

# The tag that identifies a run among its siblings.
_KEY_TAGS: dict[Kind, str] = {"search": "search", "round": "round", "candidate": "arch_id"}


RUNS_PER_PAGE = 1000


class Runs:
    """The runs of one experiment; methods raise MLflow's exceptions."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._labels: dict[str, str] = {}  # run of a search or round -> name of the search
        self._open: dict[str, None] = {}  # runs in the order they were started

    def find(self, kind: Kind, key: str, parent: str | None = None) -> Run | None:
        """Return the run of a given kind and key under a parent, or None."""
        wanted = {"kind": kind, _KEY_TAGS[kind]: key}
        if parent is not None:
            wanted[MLFLOW_PARENT_RUN_ID] = parent
        conditions = " and ".join(f"tags.`{name}` = {quoted(value)}" for name, value in wanted.items())
        runs = self._client.search_runs([self._experiment_id], conditions, max_results=1)
        return runs[0] if runs else None

    def of_search(self, name: str) -> list[Run]:
        """Return all runs of a search: its own, its rounds' and its candidates'."""
        runs: list[Run] = []
        where, condition = [self._experiment_id], f"tags.search = {quoted(name)}"
        token: str | None = None
        while True:
            page = self._client.search_runs(where, condition, max_results=RUNS_PER_PAGE, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def search_of(self, run_id: str) -> str:
        """Return the name of the search that a search's or a round's run belongs to; the name never changes."""
        if run_id not in self._labels:
            self._labels[run_id] = str(self._client.get_run(run_id).data.tags["search"])
        return self._labels[run_id]

    def create(
        self,
        kind: Kind,
        key: str,
        name: str,
        parent: str | None = None,
        labels: Mapping[str, str] | None = None,
        start: int | None = None,
    ) -> Run:
        """Start a run that `find` finds; it is not counted among the open runs.

        Args:
            kind: Kind of run.
            key: Identifies the run among its siblings.
            name: Name of the run in MLflow.
            parent: Run that contains it; None for none.
            labels: Further tags.
            start: Start time in MLflow's milliseconds; None for now.
        """
        tags = {**(labels or {}), "kind": kind, _KEY_TAGS[kind]: key}
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        tags[MLFLOW_USER] = _user()
        start = start or now_ms()
        return self._client.create_run(self._experiment_id, start_time=start, tags=tags, run_name=name)

    def open(self, run_id: str) -> None:
        """Count a run among those that were started and not ended."""
        self._open[run_id] = None

    def reopen(self, run_id: str) -> None:
        """Mark a run as running again."""
        self._client.update_run(run_id, status="RUNNING")
        self.open(run_id)

    def end(self, run_id: str, outcome: Outcome, time_ms: int | None = None) -> None:
        """End a run, now or at a time in MLflow's milliseconds."""
        self._client.set_terminated(run_id, outcome, time_ms)
        self._open.pop(run_id, None)

    def end_others(self, run_id: str) -> None:
        """End all open runs except one as killed, the last started first."""
        for inner in [other for other in reversed(list(self._open)) if other != run_id]:
            self.end(inner, "KILLED")


def now_ms() -> int:
    """Return the time in MLflow's milliseconds."""
    return time.time_ns() // 1_000_000


def quoted(value: str) -> str:
    """Return a value as MLflow's filters need it; they know no escapes but two kinds of quotes."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _user() -> str:
    """Return the user's name; in a container the user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
