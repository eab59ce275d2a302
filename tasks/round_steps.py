"""The steps of a search round as Prefect tasks, in the order of the paper's Figure 1(a)."""

import time
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from memnas_core import search as steps
from memnas_core.architecture import from_json
from memnas_core.controller import Controller, examples_for
from memnas_core.jobs import (
    TrainingJob,
    TrainingRecord,
    candidate_seed,
    finished,
    lost,
    read_progress,
    run,
    write_record,
)
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.search import Contender, Generation, Ranking
from tasks.recording import log_candidate, log_round, log_winner, show_candidate
from tasks.session import Search
from tasks.workers import WorkerLostError

TRAINING_ATTEMPTS = 2


@task(cache_policy=NO_CACHE)
def generate(search: Search, number: int) -> Generation:
    """Grow and trim the base, or only grow it, measure every candidate, and keep those within the budget."""
    base, settings = search.base.architecture, search.settings
    generation = steps.generate_round(
        base, number, search.input_shape, search.classes, settings.objective, search.known, settings.search
    )
    if generation.over_budget:
        more = f"; {generation.trimmed_on} were trimmed on until they fitted" if generation.trimmed_on else ""
        search.display.say(f"round {number}: {generation.over_budget} networks are beyond the budget{more}.")
    return generation


@task(cache_policy=NO_CACHE)
def rank(search: Search, generation: Generation, number: int) -> Ranking:
    """Order the candidates by the controller's prediction, or at random where there is no controller."""
    seed = candidate_seed(search.settings.search.seed, number, search.base.arch_id)
    return steps.rank_round(generation, search.controller, search.base, search.settings.objective, seed)


@task(cache_policy=NO_CACHE, retries=TRAINING_ATTEMPTS - 1, task_run_name="train-{contender.candidate.arch_id}")
def train(search: Search, contender: Contender) -> TrainingRecord:
    """Train one candidate in a worker process, unless it was finished before, and record it."""
    candidate = contender.candidate
    job = search.training_job(candidate.architecture, candidate.arch_id, candidate.round)
    record = finished(job)
    if record is None:
        started = time.time()
        try:
            record = run_training(search, job)
        except WorkerLostError as error:
            if task_run.run_count < TRAINING_ATTEMPTS:
                raise
            record = lost(job, started, str(error))
            write_record(job, record)
    show_candidate(search, contender, record)
    log_candidate(search, contender, record)
    return record


@task(cache_policy=NO_CACHE)
def rerank(
    search: Search, ranking: Ranking, records: Sequence[TrainingRecord], number: int
) -> tuple[CandidateRow, ...]:
    """Score the trained candidates with their measured accuracy, the best first."""
    base = search.base if number > 0 else None
    by_id = {record.arch_id: record for record in records}
    return steps.rerank(ranking, by_id, base, search.settings.objective)


@task(cache_policy=NO_CACHE)
def update_controller(search: Search) -> Controller | None:
    """Train the controller on all candidates seen so far, relative to the next round's base; None: rank at random."""
    settings = search.settings
    # One network says nothing about others.
    if settings.search.selection == "random" or len(search.trained) < 2:
        return None
    examples = examples_for(
        settings.controller.target, search.trained, search.base.performance, settings.objective.accuracy_weight
    )
    return Controller.train(settings.controller, examples, settings.search.seed)


@task(cache_policy=NO_CACHE)
def record(
    search: Search,
    number: int,
    ranking: Ranking,
    rows: Sequence[CandidateRow],
    records: Sequence[TrainingRecord],
) -> RoundSummary:
    """Put the round into MLflow, its table and weights on disk, and those under DVC."""
    log_round(search, number, rows)
    summary = steps.summarise(
        number, search.base_before, search.base, ranking.counts, rows, records, search.mark, time.time()
    )
    trainings = {
        row.arch_id: search.training_job(from_json(row.architecture), row.arch_id, row.round).path
        for row in rows
        if row.status is Status.TRAINED
    }
    search.folder.write_round(summary, rows, trainings)
    search.folder.write_tables([*search.rounds, summary], search.rows)
    search.versions.add(search.folder.round_folder(number))
    return summary


@task(cache_policy=NO_CACHE)
def register_winner(search: Search, number: int) -> None:
    """Put the network of a finished round's winner into the model registry."""
    log_winner(search, number)


@task(cache_policy=NO_CACHE)
def load_finished_rounds(search: Search) -> None:
    """Take the rounds that an earlier process has finished into the state of the search."""
    for summary, rows in search.folder.rounds():
        search.accept(rows)
        search.close_round(summary)
        search.versions.add(search.folder.round_folder(summary.round))  # it may have died just before this
    if search.rounds:
        search.display.say(f"Going on after round {search.rounds[-1].round}.")
        search.controller = update_controller.fn(search)


def run_training(search: Search, job: TrainingJob) -> TrainingRecord:
    """Train in a worker process while the display follows.

    Raises:
        WorkerLostError: The worker died.
    """
    show = search.display.training
    show(job.arch_id, None)
    return search.workers.run(run, job, while_waiting=lambda: show(job.arch_id, read_progress(job)))
