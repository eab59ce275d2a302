"""A candidate of a round as a row of `candidates.parquet`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.plausible import implausible
from memnas_core.records.trainings import Status

_PLAIN_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""Files are named after ids, which therefore have no dots or slashes."""


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate of a round: a row of `candidates.parquet`.

    Attributes:
        arch_id: Id of the architecture.
        architecture: Architecture as JSON.
        parent_id: The round's base; empty for the seed.
        move: Moves that turn the base into it, in words.
        round: Number of the round; 0 for the seed.
        memory: Memory figures, one column each.
        predicted_score: Predicted value that decides the rank before training: Eq. 4 or, with `search.aim: front`,
            the gain of `memnas_core.objective.front`; null while there is no trained controller.
        predicted_accuracy: Predicted accuracy; null unless the controller's target is `accuracy`.
        predicted_rank: Place in the controller's ranking from 1.
        measured_accuracy: Accuracy on the validation split, in [0, 1]; null unless trained.
        measured_score: Value as in `predicted_score`, with the measured accuracy; null unless trained.
        measured_rank: Place after re-ranking from 1, among the trained candidates.
        status: Whether it was trained, and how the training ended.
        training_seconds: Wall time of its training; null unless it was started.
        images_seen: Training images it has seen, without those behind the weights that it began with.
        is_winner: Whether it is the best of its round; with `search.aim: score` the base of the next.
        training_key: Key of its last training, under which its weights are; null unless trained.
    """

    arch_id: str
    architecture: str
    parent_id: str
    move: str
    round: int
    memory: MemoryFigures
    predicted_score: float | None
    predicted_accuracy: float | None
    predicted_rank: int | None
    measured_accuracy: float | None
    measured_score: float | None
    measured_rank: int | None
    status: Status
    training_seconds: float | None
    images_seen: int
    is_winner: bool
    training_key: str | None = None


def write_candidates(path: Path, rows: Sequence[CandidateRow]) -> None:
    """Write `candidates.parquet` as a whole.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_parquet(path, CandidateRow, rows)


def read_candidates(path: Path) -> tuple[CandidateRow, ...]:
    """Read `candidates.parquet`.

    Raises:
        RecordError: The file is missing, truncated or has other columns, or a figure in it cannot be.
    """
    remedy = "restore it with dvc checkout, or delete the folder of its round and go on with --resume"
    rows = read_parquet(path, CandidateRow, "a table of candidates", remedy)
    for row in rows:
        if (found := implausible(row) or implausible(row.memory)) is not None:
            raise RecordError(f"{path}: expected figures of {row.arch_id[:16]!a}, found {found}; {remedy}")
        for name in (row.arch_id, row.training_key or "none"):
            if not _PLAIN_NAME.fullmatch(name):
                raise RecordError(f"{path}: expected ids of letters and digits, found {name[:40]!a}; {remedy}")
    return rows
