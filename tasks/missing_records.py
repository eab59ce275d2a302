"""What MLflow lacks of a search: it is logged again from the folder of the search, which holds all of it."""

import time
from collections.abc import Sequence

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status, TrainingRecord, joined
from memnas_core.search.candidates import RankedCandidate
from memnas_core.space.architecture_json import from_json
from memnas_core.space.moves import Candidate
from memnas_core.training.record import finished, read_record
from tasks.recording import log_candidate, log_round, log_winner
from tasks.session import RecordedSearch


class MissingRecords:
    """Takes the finished rounds of a search into its state, in order, and logs again what MLflow lacks of them."""

    def __init__(self, session: RecordedSearch) -> None:
        self._session = session
        self._recorded = session.tracker.recorded(session.run)
        self._open: int | None = None  # a round whose winner may have to be registered
        self.candidates = 0  # how many were logged again

    def accept(self, summary: RoundSummary, rows: Sequence[CandidateRow]) -> None:
        """Take the next round; the winner of the last one is left to the search, which registers it."""
        session, state, number = self._session, self._session.state, summary.round
        self.close()
        missing = self.candidates
        for row in rows:
            if row.status is not Status.GENERATED:
                self._log_candidate(row)
        state.accept(rows)
        state.close_round(summary)
        if number not in self._recorded.rounds or self.candidates > missing:
            log_round(session, number, rows)
        self._open = None if number in self._recorded.closed and self.candidates == missing else number

    def close(self) -> None:
        """Register the winner of the last round, where no search goes on that does it."""
        if self._open is not None:
            log_winner(self._session, self._open)

    def _log_candidate(self, row: CandidateRow) -> None:
        known = self._recorded.candidates.get(row.arch_id)
        if known is not None:
            self._session.candidate_runs[row.arch_id] = known
            return
        candidate = Candidate(from_json(row.architecture), row.arch_id, row.parent_id or None, (), row.round)
        rank, score, accuracy = row.predicted_rank, row.predicted_score, row.predicted_accuracy
        ranked = RankedCandidate(candidate, row.memory, rank or 0, score, accuracy)
        log_candidate(self._session, ranked, _record(self._session, candidate, row), row.move)
        self.candidates += 1


def _record(session: RecordedSearch, candidate: Candidate, row: CandidateRow) -> TrainingRecord:
    """Return the record of a candidate of the round that comes next: of all its rungs, or of what is left of them."""
    state = session.state
    rungs: list[TrainingRecord] = []
    if row.round == 0 or any(base.arch_id == row.parent_id for base in state.bases):
        for images in state.rungs(row.round):
            record = finished(state.candidate_job(candidate, images, joined(rungs) if rungs else None))
            if record is None:  # it went no further, or other code trained it
                break
            rungs.append(record)
    if not rungs and row.training_key:
        rungs.append(read_record(session.folder.trainings / row.training_key))
    seconds = row.training_seconds or 0.0
    return TrainingRecord(
        arch_id=row.arch_id,
        status=row.status,
        validation_accuracy=row.measured_accuracy,
        images_seen=row.images_seen,
        started=rungs[0].started if rungs else time.time() - seconds,
        seconds=seconds,
        device="",
        message="",
        history=joined(rungs).history if rungs else (),
    )
