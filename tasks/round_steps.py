"""The steps of a search round as Prefect tasks, in the order of the paper's Figure 1(a)."""

import time
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from memnas_core.controller.interface import Controller
from memnas_core.data import open_checked
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.plausible import implausible
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.results.checks import remove_damaged_rounds
from memnas_core.search import steps
from memnas_core.search.candidates import Generation, RankedCandidate, Ranking
from memnas_core.training.job import TrainingJob
from memnas_core.training.record import finished, lost, write_record
from memnas_core.training.worker import read_progress, run
from memnas_core.workers.processes import WorkerLostError
from memnas_core.workers.watch import LimitError
from tasks.missing_records import MissingRecords
from tasks.recording import log_candidate, log_round, log_winner, show_candidate
from tasks.session import Session

TRAINING_ATTEMPTS = 2


class RoundRows:
    """The table of a re-ranked round; a plain class for the same reason as `memnas_core.search.candidates.Ranking`."""

    def __init__(self, rows: Sequence[CandidateRow]) -> None:
        self.rows = rows


@task(cache_policy=NO_CACHE)
def generate(session: Session, number: int) -> Generation:
    """Make and measure the round's candidates, and keep those within the budget."""
    generation = steps.generate(session.state, number)
    if generation.over_budget:
        more = f"; {generation.trimmed_on} were trimmed on until they fitted" if generation.trimmed_on else ""
        session.display.say(f"round {number}: {generation.over_budget} networks are beyond the budget{more}.")
    return generation


@task(cache_policy=NO_CACHE)
def rank(session: Session, generation: Generation, number: int) -> Ranking:
    """Order the candidates by expected value."""
    return steps.rank(session.state, generation, number)


@task(cache_policy=NO_CACHE, retries=TRAINING_ATTEMPTS - 1, task_run_name="rung-{rung}-{ranked.candidate.arch_id}")
def train(
    session: Session,
    ranked: RankedCandidate,
    rung: int,  # noqa: ARG001 -- part of the run's name
    images: int | None,
    before: TrainingRecord | None,
) -> TrainingRecord:
    """Train one rung of a candidate, numbered from 1, in a worker process, unless it was finished before."""
    job = session.state.candidate_job(ranked.candidate, images, before)
    record = finished(job)
    if record is None or implausible(record):
        started = time.time()
        try:
            record = run_training(session, job)
        except WorkerLostError as error:
            if task_run.run_count < TRAINING_ATTEMPTS:
                raise
            # An image file that becomes shorter kills workers that map it, which is no fault of the candidate.
            open_checked(session.dataset)
            record = lost(job, started, str(error))
            write_record(job, record)
    show_candidate(session, ranked, record)
    return record


@task(cache_policy=NO_CACHE)
def select(
    session: Session, candidates: Sequence[RankedCandidate], records: Sequence[TrainingRecord]
) -> list[RankedCandidate]:
    """Return the candidates of a rung that go on to the next."""
    return steps.select(session.state, candidates, records)


@task(cache_policy=NO_CACHE)
def log(session: Session, ranked: RankedCandidate, record: TrainingRecord) -> None:
    """Log a candidate that trains no further to MLflow."""
    log_candidate(session, ranked, record, ranked.candidate.words)


@task(cache_policy=NO_CACHE)
def rerank(session: Session, ranking: Ranking, records: Sequence[TrainingRecord]) -> RoundRows:
    """Score the trained candidates with their measured accuracy, the best first."""
    return RoundRows(steps.rerank(session.state, ranking, records))


@task(cache_policy=NO_CACHE)
def update_controller(session: Session) -> Controller | None:
    """Return a controller trained on all results so far, or None without one."""
    return steps.update_controller(session.state)


@task(cache_policy=NO_CACHE)
def record(session: Session, summary: RoundSummary, reranked: RoundRows) -> None:
    """Log the round to MLflow, write its table and weights to disk, and put those under DVC."""
    rows, folder, number = reranked.rows, session.folder, summary.round
    log_round(session, number, rows)
    trainings = {row.arch_id: folder.trainings / row.training_key for row in rows if row.training_key}
    folder.write_round(summary, rows, trainings)
    folder.write_tables([*session.state.rounds, summary], session.state.rows)
    session.keep_version(folder.round_folder(number))


@task(cache_policy=NO_CACHE)
def register_winner(session: Session, number: int) -> None:
    """Put the network of a finished round's winner into the model registry."""
    log_winner(session, number)


@task(cache_policy=NO_CACHE)
def load_finished_rounds(session: Session) -> None:
    """Load the rounds that an earlier process has finished into the search's state, up to a damaged one."""
    folder, state = session.folder, session.state
    if (removed := remove_damaged_rounds(folder)) is not None:
        number, error = removed
        session.display.say(f"{error}. Round {number} and those after it are made again from their trainings.")
    missing = MissingRecords(session)
    for summary, rows in folder.rounds():
        missing.accept(summary, rows)
        session.keep_version(folder.round_folder(summary.round))  # the earlier process may have died just before this
    if missing.candidates:
        session.display.say(f"MLflow lacked {missing.candidates} finished candidates; they are logged again.")
    if state.rounds:
        session.display.say(f"Going on after round {state.rounds[-1].round}.")
        state.controller = steps.update_controller(state)


def run_training(session: Session, job: TrainingJob) -> TrainingRecord:
    """Train in a worker process and show its progress; a training beyond its limits is recorded as failed.

    Raises:
        WorkerLostError: The worker died.
    """
    show = session.display.training
    show(job.arch_id, None)
    try:
        return session.workers.run(
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
