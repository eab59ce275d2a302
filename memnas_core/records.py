"""The tables that a search leaves behind, as typed rows and as Parquet files."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.measure import MemoryFigures
from memnas_core.reading import parse_record
from memnas_core.tables import read_parquet, write_parquet

_PLAIN_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""Files are named after ids, which therefore have no dots and slashes."""


class Status(StrEnum):
    """What became of a candidate."""

    GENERATED = "generated"  # ranked, but not among the top k
    TRAINED = "trained"
    DIVERGED = "diverged"  # the loss left the finite numbers or exploded
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"  # it took longer than execution.training_seconds
    WORKER_LOST = "worker_lost"  # its worker process died, twice


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One candidate of a round: a row of `candidates.parquet`.

    Attributes:
        arch_id: Id of the architecture.
        architecture: Its JSON.
        parent_id: The round's base; empty for the seed.
        move: What was done to the base.
        round: Number of the round; 0 for the seed.
        param_bytes: Weights.
        paper_bytes: Peak activations under `paper`.
        sequential_bytes: Peak activations under `sequential`.
        minimum_bytes: Peak activations under `minimum`.
        arena_bytes: The arena that holds all activations; null in tables made before there was this column.
        predicted_score: What a round's candidates are ranked by before training: Eq. 4 or, with `search.aim: front`,
            the gain of `memnas_core.front`; null before the controller has learnt anything.
        predicted_accuracy: Null unless the controller's target is `accuracy`.
        predicted_rank: Place in the controller's ranking from 1.
        measured_accuracy: On the validation split, in [0, 1]; null unless trained.
        measured_score: The same after training.
        measured_rank: Place after re-ranking from 1, among the trained.
        status: What became of it.
        training_seconds: Wall time of its training; null unless it was started.
        images_seen: Training images it has seen, those of the weights that it began with not counted.
        is_winner: Whether it is the best of its round; with `search.aim: score` the base of the next.
        training_key: Of its (last) training, under which its weights are; null unless trained, and in older tables.
    """

    arch_id: str
    architecture: str
    parent_id: str
    move: str
    round: int
    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int
    arena_bytes: int | None
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

    @property
    def memory(self) -> MemoryFigures:
        """The memory figures in one value."""
        return MemoryFigures(
            self.param_bytes, self.paper_bytes, self.sequential_bytes, self.minimum_bytes, self.arena_bytes
        )


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """A round in one line: a row of `rounds.csv`.

    Attributes:
        round: Its number; 0 trains the seed only.
        base_id: The network it started from.
        winner_id: The network it chose.
        winner_move: What made the winner from the base.
        accuracy: The winner's, on the validation split, in [0, 1].
        param_bytes: The winner's weights.
        activation_bytes: The winner's peak under the convention of the settings.
        score: The winner's `measured_score`.
        cells: Cells of the winner's largest block.
        grown: Growing moves; Eq. 1.
        trimmed: Trimming moves; Eq. 2.
        cut: Edge cuts.
        candidates: Distinct valid candidates.
        trained: Candidates whose training succeeded.
        failed: Candidates whose training did not.
        rank_tau: Kendall's tau between predicted and measured score of the trained; null where undefined.
        images_seen: Training images seen by this round's candidates.
        wall_seconds: From the round's start to its end.
        training_wall_seconds: The part of it in which at least one training ran.
        training_cpu_seconds: Sum of the trainings' own wall times.
    """

    round: int
    base_id: str
    winner_id: str
    winner_move: str
    accuracy: float
    param_bytes: int
    activation_bytes: int
    score: float
    cells: int
    grown: int
    trimmed: int
    cut: int
    candidates: int
    trained: int
    failed: int
    rank_tau: float | None
    images_seen: int
    wall_seconds: float
    training_wall_seconds: float
    training_cpu_seconds: float

    @property
    def total_bytes(self) -> int:
        """The winner's weights and peak activations together."""
        return self.param_bytes + self.activation_bytes

    @property
    def overhead_share(self) -> float:
        """Share of the round's wall time in which nothing trained, in [0, 1]."""
        return 1 - self.training_wall_seconds / self.wall_seconds


def write_candidates(path: Path, rows: Sequence[CandidateRow]) -> None:
    """Write `candidates.parquet` as a whole.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_parquet(path, CandidateRow, rows)


def read_candidates(path: Path) -> tuple[CandidateRow, ...]:
    """Read `candidates.parquet`, also one that an older memnas wrote with fewer columns.

    Raises:
        RecordError: The file is missing, truncated or has other columns.
    """
    remedy = "restore it with dvc checkout, or delete the folder of its round and go on with --resume"
    rows = read_parquet(path, CandidateRow, "a table of candidates", remedy, later=("arena_bytes", "training_key"))
    for row in rows:
        for name in (row.arch_id, row.training_key or "none"):
            if not _PLAIN_NAME.fullmatch(name):
                raise RecordError(f"{path}: expected ids of letters and digits, found {name[:40]!a}; {remedy}")
    return rows


def to_json(row: RoundSummary) -> str:
    """Return a round's summary as JSON."""
    return json.dumps(asdict(row), indent=1)


def round_from_json(text: str, source: str) -> RoundSummary:
    """Read a round's summary.

    Raises:
        RecordError: The text is no such summary.
    """
    try:
        return parse_record(text, RoundSummary)
    except ValueError as error:
        raise RecordError(f"{source}: expected the summary of a round, found {error}") from error
