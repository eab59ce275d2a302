"""What a round works on: its base, its candidates before and in the controller's order."""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.architecture import Architecture
from memnas_core.config import ObjectiveSettings
from memnas_core.grow_trim import Candidate, MoveCounts
from memnas_core.measure import MemoryFigures
from memnas_core.metric import Performance


@dataclass(frozen=True, slots=True)
class Base:
    """The network that a round grows and trims, with its measured figures (the paper's *pre*).

    Attributes:
        architecture: The network.
        arch_id: Its id.
        performance: Its figures.
        training_key: Of the training whose weights its candidates may begin with.
    """

    architecture: Architecture
    arch_id: str
    performance: Performance
    training_key: str | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate with what is known of it before training.

    Attributes:
        candidate: Architecture and lineage.
        memory: Its exact memory figures.
        predicted_rank: Place in the controller's ranking from 1.
        predicted_score: Eq. 4, or the gain, as predicted; null before the controller has learnt anything.
        predicted_accuracy: Null unless the controller predicts accuracy.
    """

    candidate: Candidate
    memory: MemoryFigures
    predicted_rank: int
    predicted_score: float | None
    predicted_accuracy: float | None


# The next two hold thousands of candidates. They are plain classes because Prefect walks through every field of
# a dataclass that a task is given, looking for futures.


class Generation:
    """All candidates of a round, measured, and the counts of the moves behind them.

    Attributes:
        candidates: Those within the budget: made by one move, then those that were trimmed on until they fitted.
        memory: Their figures, in the same order.
        counts: Of the single moves.
        over_budget: Networks made by one move that are beyond the budget.
        trimmed_on: Candidates made by more than one move.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        memory: Sequence[MemoryFigures],
        counts: MoveCounts,
        over_budget: int = 0,
        trimmed_on: int = 0,
    ) -> None:
        self.candidates = candidates
        self.memory = memory
        self.counts = counts
        self.over_budget = over_budget
        self.trimmed_on = trimmed_on


class Ranking:
    """A round's candidates in the controller's order, best first."""

    def __init__(self, contenders: Sequence[Contender], counts: MoveCounts) -> None:
        self.contenders = contenders
        self.counts = counts

    def top(self, k: int) -> Sequence[Contender]:
        """Return the k best."""
        return self.contenders[:k]


def performance_of(memory: MemoryFigures, accuracy: float, objective: ObjectiveSettings) -> Performance:
    """Return what Eq. 4 compares, with the peak under the convention of the settings."""
    return Performance(accuracy, memory.activation_bytes(objective.activation_convention), memory.param_bytes)
