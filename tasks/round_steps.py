"""The steps of a search round as Prefect tasks, in the order of the paper's Figure 1(a)."""

import time
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from memnas_core import search as steps
from memnas_core.contenders import Contender, Generation, Ranking
from memnas_core.controller import Controller, examples_for
from memnas_core.data import open_checked
from memnas_core.front_search import rank_for_front
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.result_checks import remove_damaged_rounds
from memnas_core.round_summary import summarise
from memnas_core.trainer import read_progress, run
from memnas_core.training_records import TrainingRecord, finished, lost, write_record
from tasks.recording import log_candidate, log_round, log_winner, show_candidate
from tasks.session import Search
from tasks.watch import LimitError
from tasks.workers import WorkerLostError

TRAINING_ATTEMPTS = 2


class RoundRows:
    """A re-ranked round's table. A plain class for the reason that `memnas_core.search.Ranking` is one."""

    def __init__(self, rows: tuple[CandidateRow, ...]) -> None:
        self.rows = rows


@task(cache_policy=NO_CACHE)
def generate(search: Search, number: int) -> Generation:
    """Grow and trim the bases, measure every candidate, and keep those within the budget."""
    settings = search.settings
    if settings.search.aim == "front":
        generation = search.neighbourhoods.generate(search.bases, number, search.known)
    else:
        base = search.base.architecture
        generation = steps.generate_round(
            base, number, search.input_shape, search.classes, settings.objective, search.known, settings.search
        )
    if generation.over_budget:
        more = f"; {generation.trimmed_on} were trimmed on until they fitted" if generation.trimmed_on else ""
        search.display.say(f"round {number}: {generation.over_budget} networks are beyond the budget{more}.")
    return generation


@task(cache_policy=NO_CACHE)
def rank(search: Search, generation: Generation, number: int) -> Ranking:
    """Order the candidates by what the controller predicts of them."""
    settings, front = search.settings, search.front
    seed = candidate_seed(settings.search.seed, number, search.base.arch_id)
    if front is None:
        return steps.rank_round(generation, search.controller, search.base, settings.objective, seed)
    return rank_for_front(
        generation, search.controller, search.bases, front, settings.objective, settings.search.top_k, seed
    )


@task(cache_policy=NO_CACHE, retries=TRAINING_ATTEMPTS - 1, task_run_name="train-{contender.candidate.arch_id}")
def train(search: Search, contender: Contender, images: int | None, before: TrainingRecord | None) -> TrainingRecord:
    """Train one rung of a candidate in a worker process, unless it was finished before."""
    job = search.candidate_job(contender.candidate, images, before)
    record = finished(job)
    if record is None:
        started = time.time()
        try:
            record = run_training(search, job)
        except WorkerLostError as error:
            if task_run.run_count < TRAINING_ATTEMPTS:
                raise
            # An image file that becomes shorter kills who has it mapped: not the candidate's fault.
            open_checked(search.dataset)
            record = lost(job, started, str(error))
            write_record(job, record)
    show_candidate(search, contender, record)
    return record


@task(cache_policy=NO_CACHE)
def select(
    search: Search, contenders: Sequence[Contender], records: Sequence[TrainingRecord], number: int
) -> list[Contender]:
    """Return the candidates of a rung that go on to the next."""
    settings, by_id = search.settings, {record.arch_id: record for record in records}
    base = search.base if number > 0 else None
    return steps.promising(contenders, by_id, base, settings.objective, search.front, settings.search.keep)


@task(cache_policy=NO_CACHE)
def log(search: Search, contender: Contender, record: TrainingRecord) -> None:
    """Put a candidate that trains no further into MLflow."""
    log_candidate(search, contender, record)


@task(cache_policy=NO_CACHE)
def rerank(search: Search, ranking: Ranking, records: Sequence[TrainingRecord], number: int) -> RoundRows:
    """Score the trained candidates with their measured accuracy, the best first."""
    base = search.base if number > 0 else None
    by_id = {record.arch_id: record for record in records}
    return RoundRows(steps.rerank(ranking, by_id, base, search.settings.objective, search.front))


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
    reranked: RoundRows,
    records: Sequence[TrainingRecord],
) -> RoundSummary:
    """Put the round into MLflow, its table and weights on disk, and those under DVC."""
    rows = reranked.rows
    log_round(search, number, rows)
    summary = summarise(
        number, search.base_before, search.base, ranking.counts, rows, records, search.mark, time.time()
    )
    trainings = {row.arch_id: search.folder.trainings / row.training_key for row in rows if row.training_key}
    search.folder.write_round(summary, rows, trainings)
    search.folder.write_tables([*search.rounds, summary], search.rows)
    search.keep_version(search.folder.round_folder(number))
    return summary


@task(cache_policy=NO_CACHE)
def register_winner(search: Search, number: int) -> None:
    """Put the network of a finished round's winner into the model registry."""
    log_winner(search, number)


@task(cache_policy=NO_CACHE)
def load_finished_rounds(search: Search) -> None:
    """Take the rounds that an earlier process has finished into the state of the search, up to a damaged one."""
    if (removed := remove_damaged_rounds(search.folder)) is not None:
        number, error = removed
        search.display.say(f"{error}. Round {number} and those after it are made again from their trainings.")
    for summary, rows in search.folder.rounds():
        search.accept(rows)
        search.close_round(summary)
        search.keep_version(search.folder.round_folder(summary.round))  # it may have died just before this
    if search.rounds:
        search.display.say(f"Going on after round {search.rounds[-1].round}.")
        search.controller = update_controller.fn(search)


def run_training(search: Search, job: TrainingJob) -> TrainingRecord:
    """Train in a worker process while the display follows; what exceeds its limits is recorded as failed.

    Raises:
        WorkerLostError: The worker died.
    """
    show = search.display.training
    show(job.arch_id, None)
    try:
        return search.workers.run(
            run,
            job,
            limits=job.limits,
            is_last=lambda record: record.status is Status.OUT_OF_MEMORY,
            while_waiting=lambda: show(job.arch_id, read_progress(job)),
        )
    except LimitError as error:
        record = finished(job)  # it may have finished just before its worker was ended
        if record is None:
            record = lost(job, error.started, str(error), error.status)
            write_record(job, record)
        return record
