"""A round in one line: a row of `rounds.csv`, and JSON in the folder of the round."""

import json
from dataclasses import asdict, dataclass

from memnas_core.errors import RecordError
from memnas_core.files.untrusted import parse_record
from memnas_core.records.plausible import implausible


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """A round in one line: a row of `rounds.csv`.

    Attributes:
        round: Number of the round; round 0 trains only the first networks.
        base_id: Id of the network that the winner was made from.
        winner_id: Id of the network that the round chose.
        winner_move: Moves that turn the base into the winner, in words.
        accuracy: The winner's accuracy on the validation split, in [0, 1].
        param_bytes: Size of the winner's weights.
        activation_bytes: The winner's peak activations under the convention of the settings.
        score: The winner's `measured_score`.
        cells: Cells of the winner's largest block.
        grown: Growing moves; Eq. 1.
        trimmed: Trimming moves; Eq. 2.
        cut: Edge cuts.
        candidates: Distinct valid candidates.
        trained: Candidates whose training succeeded.
        failed: Candidates whose training failed.
        rank_tau: Kendall's tau between predicted and measured score of trained candidates; null where undefined.
        images_seen: Training images seen by this round's candidates.
        wall_seconds: Wall time of the round.
        training_wall_seconds: Part of `wall_seconds` in which at least one training ran.
        training_cpu_seconds: CPU time of the trainings, without those whose worker was lost or ended. Earlier versions
            wrote the sum of the trainings' wall times here.
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


def round_to_json(row: RoundSummary) -> str:
    """Return a round's summary as JSON."""
    return json.dumps(asdict(row), indent=1)


def round_from_json(text: str, source: str) -> RoundSummary:
    """Read a round's summary.

    Raises:
        RecordError: The text is not the summary of a round.
    """
    try:
        row = parse_record(text, RoundSummary)
        if (found := implausible(row)) is not None or row.wall_seconds == 0:
            raise ValueError(found or "wall_seconds = 0")
    except ValueError as error:
        raise RecordError(f"{source}: expected the summary of a round, found {error}") from error
    return row
