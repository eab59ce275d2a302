"""The whole search as a Prefect flow: prepare, rounds, conclude."""

import shlex
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

from prefect import flow, get_client
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.interrupt import ending_on_signals
from flows.round import search_round, seed_round, without_heartbeats
from flows.start import Plan, plan_search
from memnas_core.budget import check_budget, uses
from memnas_core.choice import best_row
from memnas_core.config import Settings, flat
from memnas_core.environment import machine, versions
from memnas_core.graph import Shape
from memnas_core.halving import planned_images
from memnas_core.limits import Limits
from memnas_core.pictures.values import shown_seconds
from memnas_core.result_folder import Start
from memnas_core.round_summary import completion
from tasks.conclude import conclude
from tasks.display import Display
from tasks.prepare import prepare
from tasks.pushing import Pushing
from tasks.recording import publish_versions
from tasks.round_steps import load_finished_rounds, register_winner
from tasks.session import Search
from tasks.tracking.tracker import Tracker
from tasks.tracking_store import without_password
from tasks.versioning import Versions
from tasks.worker_pool import open_workers

LONGEST_MODEL_NAME = 200  # MLflow's column takes 256 characters
_NOT_IN_MODEL_NAMES = str.maketrans(dict.fromkeys("/:.%\"'", "-"))


@flow(name="memnas-search")
def memnas_search(
    params: str = "params.yaml", name: str | None = None, resume: bool = True, overrides: list[str] | None = None
) -> str:
    """Search for classifiers that are accurate and small in memory.

    Args:
        params: Settings file.
        name: Name of the search; its results go to `STORE/searches/NAME`. Default: the data set's name.
        resume: Go on with a search of that name, if there is one with the same settings.
        overrides: `section.key=value` strings that replace single settings.

    Returns:
        Path of the report.

    Raises:
        MemnasError: As a line that says what was expected, what was found and what to do.
    """
    plan = plan_search(Path(params), overrides or [], name, resume)
    settings, folder, store = plan.settings, plan.folder, Path(plan.settings.store)
    if plan.is_finished:
        return str(folder.report)
    with ExitStack() as stack:
        last_words = stack.enter_context(ending_on_signals(farewell(params, plan.name, overrides or [])))
        stack.enter_context(folder.locked())
        display = stack.enter_context(Display())
        workers = stack.enter_context(open_workers(settings))
        workers.check(Limits.of(settings.execution))
        repository = Versions.open(store, settings.versioning.remote)
        dataset, info = prepare(settings, repository)
        check_budget(settings.network, settings.objective, Shape(*info.shape), len(info.classes))
        tracker = Tracker.connect(settings.tracking.uri, store, settings.tracking.experiment)
        folder.begin(settings, Start(info, versions(), machine(), time.time()))
        search = Search(settings, folder, dataset, info, workers, tracker, repository, display)
        label, search.model = names(plan, folder.start())
        tags = {"folder": str(folder.path), "model": search.model}
        search.run = stack.enter_context(tracker.search(label, shown_settings(settings), tags))
        search.pushing = stack.enter_context(Pushing(repository, partial(publish_versions, search), display.say))
        search.pushing.push(dataset)
        run_id = str(flow_run.id)
        last_words += [lambda: tracker.end(search.run, "KILLED"), lambda: mark_cancelled(run_id), workers.stop]
        run_rounds(search)
        conclude(search)
        for use in uses(best_row(search.rows, settings.objective).memory, settings.objective):
            display.say(f"Budget: {use}.")
        display.say(f"Report: {folder.report}")
    return str(folder.report)


def names(plan: Plan, start: Start) -> tuple[str, str]:
    """Return what MLflow calls a search and its registered model; no other search there has these names."""
    begun = datetime.fromtimestamp(start.started, UTC)
    model = f"{plan.settings.tracking.experiment}-{plan.name}"[:LONGEST_MODEL_NAME].translate(_NOT_IN_MODEL_NAMES)
    return f"{plan.name} {begun:%Y-%m-%d %H:%M:%S} {start.id}", f"{model}-{start.id}"


def shown_settings(settings: Settings) -> dict[str, str]:
    """Return the settings as they may be shown to everybody who reads MLflow."""
    shown = flat(settings)
    if settings.tracking.uri is not None:
        shown["tracking.uri"] = without_password(settings.tracking.uri)
    return shown


def farewell(params: str, name: str, overrides: list[str]) -> str:
    """Return the last line of a search that is stopped, with the command that goes on with it."""
    command = ["memnas", "search", "--params", params]
    for override in overrides:
        command += ["--set", override]
    return f"Stopped; nothing finished is lost. Go on with: {shlex.join([*command, '--name', name, '--resume'])}"


def expected_time(search: Search) -> str:
    """Return a line that says how long the rounds may take, from the images a second of round 0."""
    settings, full = search.settings.search, search.settings.training.epochs * search.info.train_size
    images = [full if rung is None else rung for rung in search.rungs(1)]
    planned = settings.rounds * planned_images(images, settings.top_k, settings.keep)
    seconds = planned * search.rounds[0].training_cpu_seconds / search.rounds[0].images_seen / search.workers.count
    return (
        f"{settings.rounds} rounds of {settings.top_k} candidates train on about {planned:,} images, which takes "
        f"{shown_seconds(seconds)} on {search.workers.count} workers at round 0's speed; larger networks take longer."
    )


def mark_cancelled(flow_run_id: str) -> None:
    """Tell Prefect that a flow run was stopped; it cannot know."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(flow_run_id), Cancelled(message="stopped by a signal"), force=True)


def run_rounds(search: Search) -> None:
    """Go through the rounds, after those that an earlier process has finished, until a criterion is met."""
    load_finished_rounds(search)
    settings = search.settings.search
    search.display.begin_search(settings.rounds, done=max(0, len(search.rounds) - 1))
    with without_heartbeats():
        if not search.rounds:
            seed_round(search)
            search.display.say(expected_time(search))
        while (reason := completion(settings, search.base.architecture, search.rounds, search.images_seen)) is None:
            search_round(search, number=len(search.rounds))
    register_winner(search, search.rounds[-1].round)
    search.display.say(f"The search ends: {reason}.")
