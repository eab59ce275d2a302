"""What the record holds about a candidate."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.trainings import Status

if TYPE_CHECKING:  # torch takes seconds to import
    from memnas_core.records.trainings import EpochFigures

# The figures of a candidate that MLflow sorts and plots.
_FIGURES = (
    "round",
    "accuracy",
    "peak_bytes",
    "total_bytes",
    "predicted_rank",
    "predicted_score",
    "predicted_accuracy",
    "training_seconds",
    "images_seen",
)


@dataclass(frozen=True, slots=True)
class CandidateLog:
    """What is sent to MLflow about a candidate when its training has ended.

    Attributes:
        arch_id: Id of the architecture; identifies the candidate within its round.
        name: Name of the candidate in the table.
        round: Number of the round.
        parent_id: The round's base; empty for the seed.
        move: What was done to the base.
        status: What became of it.
        memory: Memory under each convention.
        peak_bytes: Peak activations under the convention of the search's settings.
        predicted_rank: Place in the controller's ranking from 1.
        predicted_score: Eq. 4 before training; null before the controller has learnt anything.
        predicted_accuracy: Null unless the controller predicts accuracy.
        accuracy: On the validation split, in [0, 1]; null unless trained.
        training_started: Unix time at which the training began.
        training_seconds: Wall time of the training.
        images_seen: Training images seen.
        history: Figures of each epoch.
        artifacts: Folder of files to keep with it (architecture and pictures); null for none.
    """

    arch_id: str
    name: str
    round: int
    parent_id: str
    move: str
    status: Status
    memory: MemoryFigures
    peak_bytes: int
    predicted_rank: int | None
    predicted_score: float | None
    predicted_accuracy: float | None
    accuracy: float | None
    training_started: float
    training_seconds: float
    images_seen: int
    history: "tuple[EpochFigures, ...]"
    artifacts: Path | None

    @property
    def total_bytes(self) -> int:
        """Weights and peak activations together."""
        return self.memory.param_bytes + self.peak_bytes

    @property
    def figures(self) -> dict[str, float]:
        """The figures that are known, by the names that MLflow shows."""
        values = {name: getattr(self, name) for name in _FIGURES} | asdict(self.memory)
        return {name: value for name, value in values.items() if value is not None}
