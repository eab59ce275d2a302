"""What a round works on: its bases, and its candidates before and after they are ranked."""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import Performance
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import Candidate, MoveCounts


@dataclass(frozen=True, slots=True)
class Base:
    """A network that a round grows and trims, with its measured figures (the paper's *pre*).

    Attributes:
        architecture: The network.
        arch_id: Id of the network.
        performance: Accuracy and memory of the network.
        training_key: Key of the training whose weights its candidates may begin with.
    """

    architecture: Architecture
    arch_id: str
    performance: Performance
    training_key: str | None = None


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A candidate with what is known of it before training.

    Attributes:
        candidate: Architecture and lineage.
        memory: Exact memory figures.
        predicted_rank: Place in the ranking from 1.
        predicted_score: Predicted value under the aim of the search: Eq. 4, or the gain over the front; null while
            there is no trained controller.
        predicted_accuracy: Predicted accuracy; null unless the controller predicts accuracies.
    """

    candidate: Candidate
    memory: MemoryFigures
    predicted_rank: int
    predicted_score: float | None
    predicted_accuracy: float | None

    @property
    def arch_id(self) -> str:
        """Id of the architecture."""
        return self.candidate.arch_id


# The next two hold thousands of candidates. They are plain classes because Prefect walks through every field of
# a dataclass that a task is given, looking for futures.


class Generation:
    """All candidates of a round, measured, and the counts of the moves behind them.

    Attributes:
        candidates: Candidates within the budget: those made by one move, then those trimmed until they fitted.
        memory: Memory figures of the candidates, in the same order.
        counts: Numbers of single moves, by kind and outcome.
        over_budget: Number of networks made by one move that are beyond the budget.
        trimmed_on: Number of candidates made by more than one move.
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
    """A round's candidates in order of expected value, best first."""

    def __init__(self, candidates: Sequence[RankedCandidate], counts: MoveCounts) -> None:
        self.candidates = candidates
        self.counts = counts

    def top(self, k: int) -> Sequence[RankedCandidate]:
        """Return the k best."""
        return self.candidates[:k]
