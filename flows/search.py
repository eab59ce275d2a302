"""The whole search as a Prefect flow: prepare, rounds, conclude."""

import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import UUID

from prefect import flow, get_client, tags
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.changes import Changes, as_overrides
from flows.interrupt import ending_on_signals
from flows.record import log_lost_search, names, shown_settings, tags_of
from flows.round import search_round, without_heartbeats
from flows.start import plan_search
from memnas_core.environment import machine, versions
from memnas_core.errors import MemnasError
from memnas_core.files.printable import printable
from memnas_core.files.writing import errors_inside
from memnas_core.objective.budget import check_budget, uses
from memnas_core.planning.timing import timed_plan
from memnas_core.records.trainings import Limits
from memnas_core.results.beginning import find_search
from memnas_core.results.code_versions import note_version
from memnas_core.results.folder import Start
from memnas_core.search.choice import chosen_row
from memnas_core.search.loop import why_it_ends
from memnas_core.settings.file import load_settings
from memnas_core.training.job import training_version
from tasks.artifacts import Artifacts
from tasks.conclude import conclude
from tasks.display import Display
from tasks.other_code import say_what_is_redone
from tasks.prepare import prepare
from tasks.recording import log_beginning, publish_versions
from tasks.round_steps import load_finished_rounds, register_winner
from tasks.session import Session
from tasks.tracking.store import is_server
from tasks.tracking.tracker import Tracker
from tasks.versioning.pushing import Pushing
from tasks.versioning.repository import Versions
from tasks.workers.pool import open_workers

MLFLOW_PAGES = "http://127.0.0.1:5000"
"""Where `memnas ui` shows the record of a store."""


def run_name() -> str:
    """Return the name of the running search and today's date, such as `digits-2026-11-29`."""
    given: dict[str, Any] = {"params": "params.yaml", "name": None, "changes": {}, **flow_run.parameters}
    name = given["name"]
    if name is None:
        with suppress(MemnasError):  # the flow itself says what is wrong
            name, _ = find_search(load_settings(Path(given["params"]), as_overrides(given["changes"])), None)
    return f"{name or 'search'}-{datetime.now(UTC):%Y-%m-%d}"


@flow(name="memnas-search", flow_run_name=run_name)
def memnas_search(
    params: str = "params.yaml",
    name: str | None = None,
    resume: bool = True,
    changes: Changes = {},  # noqa: B006 -- Prefect shows the default, and nobody changes it
) -> str:
    """Search for classifiers that are accurate and small in memory.

    Args:
        params: Settings file.
        name: Name of the search; its results go to `STORE/searches/NAME`. Default: the data set's name.
        resume: Go on with a search of that name, if there is one with the same settings.
        changes: Settings that differ from those of the file.

    Returns:
        Path of the report.

    Raises:
        MemnasError: The message says in one line what was expected, what was found and what to do.
    """
    with ExitStack() as stack:
        overrides = as_overrides(changes)
        last_words = stack.enter_context(ending_on_signals(farewell(params, name, overrides)))
        run_id = str(flow_run.id)
        last_words.append(lambda: mark_cancelled(run_id))
        plan = plan_search(Path(params), overrides, name, resume)
        settings, folder, store = plan.settings, plan.folder, Path(plan.settings.store)
        if plan.is_finished:
            log_lost_search(plan)
            return str(folder.report)
        stack.enter_context(errors_inside(store))
        stack.enter_context(folder.locked())
        tag_run(run_id, plan.name)
        stack.enter_context(tags(plan.name))
        display = stack.enter_context(Display())
        workers = stack.enter_context(open_workers(settings))
        workers.check(Limits.of(settings.execution))
        repository = Versions.open(store, settings.versioning.remote)
        dataset, info = prepare(settings, repository, plan.origin)
        workload = info.workload(settings.objective)
        check_budget(settings.network, settings.objective, workload, settings.search.widths)
        tracker = Tracker.connect(settings.tracking.uri, store, settings.tracking.experiment)
        begun_with = (*versions(), *repository.project.items())
        folder.begin(settings, Start(info, begun_with, machine(), time.time(), images=plan.images))
        if next(folder.round_numbers(), None) is None:
            display.say(str(timed_plan(settings, info, dataset, workers)))
        artifacts = Artifacts(plan.name, settings.search.rounds)
        pages = None if is_server(tracker.uri) else MLFLOW_PAGES
        artifacts.show_progress(0)
        artifacts.link("mlflow", tracker.table_url(pages), f"All candidates in MLflow{' (memnas ui)' if pages else ''}")
        session = Session(settings, folder, dataset, info, workers, tracker, repository, display, artifacts)
        label, session.model = names(plan, folder.start())
        labels = tags_of(plan, folder.start(), session.model, run_id)
        session.run = stack.enter_context(tracker.search(label, shown_settings(settings), labels))
        log_beginning(session)
        session.pushing = stack.enter_context(Pushing(repository, partial(publish_versions, session), display.say))
        session.pushing.push(dataset)
        last_words += [lambda: tracker.end(session.run, "KILLED"), workers.stop]
        display.say(without_a_network(session))
        run_rounds(session)
        conclude(session)
        chosen = chosen_row(session.state.rows, settings, session.state.guessing)
        for use in uses(chosen.memory, settings.objective):
            display.say(f"Budget: {use}.")
        display.say(f"Report: {folder.report}")
        artifacts.link("report", folder.report.resolve().as_uri(), f"The report, on {gethostname()}")
        artifacts.show_progress(None)
    return str(folder.report)


def farewell(params: str, name: str | None, overrides: Sequence[str]) -> str:
    """Return the last line of a search that is stopped, with the command that goes on with it."""
    command = ["memnas", "search", "--params", params]
    for override in overrides:
        command += ["--set", override]
    command += ["--name", name] if name else []
    return f"Stopped; nothing finished is lost. Go on with: {shlex.join([*command, '--resume'])}"


def without_a_network(session: Session) -> str:
    """Return a line that says what accuracy is measured, and what always guessing the largest class reaches."""
    images, measure = session.state.validation_images, session.settings.objective.accuracy
    largest = printable(session.info.classes[images.index(max(images))])
    told = "" if measure == "plain" else "Accuracies are balanced: the mean recall of the classes. "
    guess = f"Always guessing {largest}" if measure == "plain" else "Guessing"
    return f"{told}{guess} has {session.state.guessing.accuracy:.4f} on the {sum(images):,} validation images."


def tag_run(flow_run_id: str, name: str) -> None:
    """Give a run the search's name as a tag, as its rounds and tasks have."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run_id), tags={*flow_run.tags, name})


def mark_cancelled(flow_run_id: str) -> None:
    """Tell Prefect that a search and its round were stopped, which it cannot notice itself."""
    own = UUID(flow_run_id)
    inner = FlowRunFilter(
        parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[own]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])),
    )
    with get_client(sync_client=True) as client:
        for run_id in (own, *(run.id for run in client.read_flow_runs(flow_run_filter=inner))):
            client.set_flow_run_state(run_id, Cancelled(message="stopped by a signal"), force=True)


def run_rounds(session: Session) -> None:
    """Play the rounds that an earlier process has not finished, until a criterion is met."""
    load_finished_rounds(session)
    say_what_is_redone(session)
    note_version(session.folder.path, training_version(), time.time())
    state, display = session.state, session.display
    display.begin_search(session.settings.search.rounds, done=max(0, len(state.rounds) - 1))
    with without_heartbeats():
        if not state.rounds:
            search_round(session, number=0)
        while (reason := why_it_ends(state)) is None:
            search_round(session, number=len(state.rounds))
    register_winner(session, state.rounds[-1].round)
    display.say(f"The search ends: {reason}.")
