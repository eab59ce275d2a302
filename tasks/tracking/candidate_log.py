"""What the record holds of a candidate."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memnas_core.records import Status

if TYPE_CHECKING:  # torch takes seconds to import
    from memnas_core.training import EpochFigures

# What MLflow sorts and plots of a candidate.
_FIGURES = (
    "round",
    "accuracy",
    "param_bytes",
    "peak_bytes",
    "total_bytes",
    "paper_bytes",
    "sequential_bytes",
    "minimum_bytes",
    "arena_bytes",
    "predicted_rank",
    "predicted_score",
    "predicted_accuracy",
    "training_seconds",
    "images_seen",
)


@dataclass(frozen=True, slots=True)
class CandidateLog:
    """What MLflow is told of a candidate when its training has ended.

    Attributes:
        arch_id: Id of the architecture; identifies the candidate within its round.
        name: What the table calls it.
        round: Number of the round.
        parent_id: The round's base; empty for the seed.
        move: What was done to the base.
        status: What became of it.
        param_bytes: Weights.
        paper_bytes: Peak activations under `paper`.
        sequential_bytes: Peak activations under `sequential`.
        minimum_bytes: Peak activations under `minimum`.
        arena_bytes: The arena that holds all activations; null where it is not known.
        peak_bytes: Peak activations under the convention of the search's settings.
        predicted_rank: Place in the controller's ranking from 1.
        predicted_score: Eq. 4 before training; null before the controller has learnt anything.
        predicted_accuracy: Null unless the controller predicts accuracy.
        accuracy: On the validation split, in [0, 1]; null unless trained.
        training_seconds: Wall time of the training.
        images_seen: Training images seen.
        history: One line for each epoch.
        artifacts: Folder of files to keep with it: architecture and pictures; null: none.
    """

    arch_id: str
    name: str
    round: int
    parent_id: str
    move: str
    status: Status
    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int
    arena_bytes: int | None
    peak_bytes: int
    predicted_rank: int | None
    predicted_score: float | None
    predicted_accuracy: float | None
    accuracy: float | None
    training_seconds: float
    images_seen: int
    history: "tuple[EpochFigures, ...]"
    artifacts: Path | None

    @property
    def total_bytes(self) -> int:
        """Weights and peak activations together."""
        return self.param_bytes + self.peak_bytes

    @property
    def figures(self) -> dict[str, float]:
        """The figures that are known, by the names that MLflow shows."""
        values = {name: getattr(self, name) for name in _FIGURES}
        return {name: value for name, value in values.items() if value is not None}
