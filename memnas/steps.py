"""The steps of a round with trainings in worker processes, and the end of a search, without any service."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from memnas.progress import Progress
from memnas_core.data import open_checked
from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.plausible import implausible
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.results.checks import remove_damaged_rounds
from memnas_core.results.conclusion import finish, hand_over
from memnas_core.results.folder import SearchFolder
from memnas_core.search import steps
from memnas_core.search.candidates import Ranking
from memnas_core.search.choice import choice_in_words, chosen_row, front_of
from memnas_core.search.loop import Candidates, Records, Rows, Steps
from memnas_core.search.state import SearchState
from memnas_core.space.architecture_json import from_json
from memnas_core.training.job import TrainingJob
from memnas_core.training.record import finished, lost, read_record, trained_weights, write_record
from memnas_core.training.worker import run, test_counts
from memnas_core.workers.processes import WorkerLostError, Workers
from memnas_core.workers.watch import LimitError

TRAINING_ATTEMPTS = 2

_log = logging.getLogger(__name__)


class ParallelSteps(Steps):
    """The steps of a round; what they find goes into the search's folder."""

    def __init__(
        self, pool: Workers, folder: SearchFolder, dataset: Path, progress: Callable[[Progress], object]
    ) -> None:
        """Take what the steps work with.

        Args:
            pool: The worker processes.
            folder: Folder of the search.
            dataset: Folder of the prepared images.
            progress: Is told of each training that has ended.
        """
        self.pool = pool
        self.folder = folder
        self.dataset = dataset
        self._progress = progress

    def load_rounds(self, search: SearchState) -> None:
        """Take the rounds that an earlier process has finished, up to a damaged one, which is made again."""
        if (removed := remove_damaged_rounds(self.folder)) is not None:
            number, error = removed
            _log.warning("%s. Round %d and those after it are made again from their trainings.", error, number)
        for summary, rows in self.folder.rounds():
            search.accept(rows)
            search.close_round(summary)
        if search.rounds:
            search.controller = steps.update_controller(search)

    def train(
        self, search: SearchState, rung: int, candidates: Candidates, before: Sequence[TrainingRecord | None]
    ) -> list[TrainingRecord]:
        """Train candidates in parallel, each in a thread that waits for a worker process."""
        images = search.rungs(len(search.rounds))[rung]
        jobs = [search.candidate_job(c.candidate, images, so_far) for c, so_far in zip(candidates, before, strict=True)]
        memory = {ranked.arch_id: ranked.memory for ranked in candidates}
        return self.trained(search, len(search.rounds), rung, jobs, memory)

    def trained(
        self,
        search: SearchState,
        number: int | None,
        rung: int,
        jobs: Sequence[TrainingJob],
        memory: dict[str, MemoryFigures],
    ) -> list[TrainingRecord]:
        """Return a record for each job, in order, and tell of each as it ends.

        Args:
            search: The search.
            number: Number of the round; None at the end of the search.
            rung: Number of the rung.
            jobs: The trainings.
            memory: Memory of each network, by id.
        """
        convention = search.settings.objective.activation_convention
        threads = ThreadPoolExecutor(self.pool.count)
        try:
            running = [threads.submit(self._train, job) for job in jobs]
            for count, done in enumerate(as_completed(running), start=1):
                record = done.result()
                figures = memory[record.arch_id]
                self._progress(
                    Progress(
                        round=number,
                        rounds=search.settings.search.rounds,
                        rung=rung,
                        trained=count,
                        of=len(jobs),
                        arch_id=record.arch_id,
                        accuracy=record.validation_accuracy,
                        param_bytes=figures.param_bytes,
                        activation_bytes=figures.activation_bytes(convention),
                        seconds=record.seconds,
                        status=str(record.status),
                    )
                )
            return [done.result() for done in running]
        except BaseException:  # Ctrl-C, or an error of the caller's: threads wait for workers, which end at once
            self.pool.stop()
            raise
        finally:
            threads.shutdown(cancel_futures=True)

    def close(self, search: SearchState, ranking: Ranking, rows: Rows, records: Records) -> RoundSummary:
        """Put the round on disk."""
        summary = super().close(search, ranking, rows, records)
        trainings = {row.arch_id: self.folder.trainings / row.training_key for row in rows if row.training_key}
        self.folder.write_round(summary, rows, trainings)
        self.folder.write_tables([*search.rounds, summary], search.rows)
        return summary

    def _train(self, job: TrainingJob) -> TrainingRecord:
        """Train in a worker process, unless that was done; a training that cannot be finished is recorded as failed."""
        record = finished(job)
        if record is not None and not implausible(record):
            return record
        started = time.time()
        for attempt in range(1, TRAINING_ATTEMPTS + 1):
            try:
                return self.pool.run(
                    run, job, limits=job.limits, is_last=lambda done: done.status is Status.OUT_OF_MEMORY
                )
            except LimitError as error:
                record = finished(job)  # it may have finished just before its worker was ended
                return record or _failed(job, lost(job, error.started, str(error), error.status))
            except WorkerLostError as error:
                _log.warning("network %s: %s", job.arch_id, error)
                if attempt == TRAINING_ATTEMPTS:
                    # An image file that becomes shorter kills workers that map it, which is no fault of the candidate.
                    open_checked(self.dataset)
                    return _failed(job, lost(job, started, str(error)))
        raise AssertionError("the last attempt returns or raises")


def conclude(search: SearchState, steps: ParallelSteps) -> None:
    """Choose a network, retrain it if the settings say so, test it once, and write the search's final results.

    Raises:
        RecordError: No trained network is within the budget, or a record is damaged.
        StorageError: The disk is full or the folder not writable.
    """
    objective, folder = search.settings.objective, steps.folder
    front = front_of(search.rows, objective)
    row = chosen_row(search.rows, search.settings, search.guessing)
    for line in choice_in_words(front, row, objective, search.guessing):
        _log.info(line)
    training, record, epochs = _final_training(search, steps, row)
    weights, data = trained_weights(training).absolute(), steps.dataset.absolute()
    counts = steps.pool.run(test_counts, from_json(row.architecture), weights, data, search.settings.training)
    finish(folder, search, row, hand_over(folder, search, front, row, training, record, epochs, counts))


def _final_training(
    search: SearchState, steps: ParallelSteps, row: CandidateRow
) -> tuple[Path, TrainingRecord, int | None]:
    """Return folder and record of the final training, and the epochs of the retraining if there was one."""
    epochs = search.settings.final.epochs
    if epochs is not None:
        job = search.final_job(row, epochs)
        (record,) = steps.trained(search, None, 0, [job], {row.arch_id: row.memory})
        if record.status is Status.TRAINED:
            return job.path, record, epochs
        _log.warning("The retraining failed (%s); the search's own weights are kept.", record.message)
    assert row.training_key is not None, "only trained networks are chosen"
    own = steps.folder.trainings / row.training_key
    return own, read_record(own), None


def _failed(job: TrainingJob, record: TrainingRecord) -> TrainingRecord:
    write_record(job, record)
    return record
