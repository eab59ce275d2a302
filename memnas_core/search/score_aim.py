"""`search.aim: score`: the best network by Eq. 4, as in the paper. Each round starts from the winner of the last.

Source: Figure 1(a) and sections 3.2 to 3.4.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from memnas_core.controller.interface import Controller, predicted_scores
from memnas_core.objective.score import Performance, score
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.generation import generate_round
from memnas_core.search.state import SearchState
from memnas_core.settings.schema import ObjectiveSettings, Settings
from memnas_core.space.layers import Workload


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """Comparison by Eq. 4 relative to a base.

    Attributes:
        base: The round's base; None in round 0, whose one network is its own base.
        accuracy_weight: The paper's lambda.
    """

    base: Performance | None
    accuracy_weight: float

    def value(self, measured: Performance) -> float:
        """Return Eq. 4's y."""
        return score(measured, self.base or measured, self.accuracy_weight)

    def best_possible(self, measured: Performance) -> float:
        """Return the y of a network with the same memory and an accuracy of 1."""
        return self.value(replace(measured, accuracy=1.0))


class ScoreAim:
    """The aim of finding one network by Eq. 4; the only base is the winner of the last round."""

    def __init__(self, settings: Settings, workload: Workload) -> None:
        self._settings = settings
        self._workload = workload

    @staticmethod
    def check(settings: Settings) -> None:
        """Refuse more than one first network, since the search follows a single base.

        Raises:
            ValueError: `search.seed_cells` has more than one pair.
        """
        cells = len(settings.search.seed_cells)
        if cells > 1:
            raise ValueError(f"search.seed_cells: expected one pair with search.aim: score, found {cells}")

    def generate(self, search: SearchState, number: int) -> Generation:
        """Return the candidates made by growing and trimming the base."""
        settings, base = self._settings, search.chosen[-1].architecture
        return generate_round(base, number, self._workload, settings.objective, search.known, settings.search)

    def rank(self, search: SearchState, generation: Generation, seed: int) -> Ranking:
        """Order candidates by predicted Eq. 4."""
        return rank_by_score(generation, search.controller, search.chosen[-1], self._settings.objective, seed)

    def comparison(self, search: SearchState) -> ScoreComparison:
        """Return Eq. 4 relative to the round's base."""
        base = search.chosen[-1].performance if search.chosen else None
        return ScoreComparison(base, self._settings.objective.accuracy_weight)

    def bases(self, search: SearchState) -> tuple[Base, ...]:
        """Return the winner of the last round."""
        return (search.chosen[-1],)

    def completion(self, search: SearchState) -> str | None:
        """Return why the search ends once the base has `search.max_cells` cells in a block, or None."""
        cells = max(len(block.cells) for block in search.chosen[-1].architecture.blocks)
        if cells < self._settings.search.max_cells:
            return None
        return f"the base has {cells} cells in a block (search.max_cells)"


def rank_by_score(
    generation: Generation, controller: Controller | None, base: Base, objective: ObjectiveSettings, seed: int
) -> Ranking:
    """Order a round's candidates by predicted score, best first.

    Args:
        generation: The candidates.
        controller: The trained controller; None: the order is random.
        base: The round's base.
        objective: Weights of Eq. 4.
        seed: Seed of the random order.
    """
    count = len(generation.candidates)
    scores: Sequence[float | None] = [None] * count
    accuracies: Sequence[float | None] = [None] * count
    if controller is None or not count:
        order = random.Random(seed).sample(range(count), count)
    else:
        architectures = [candidate.architecture for candidate in generation.candidates]
        predicted = predicted_scores(controller, architectures, generation.memory, base.performance, objective)
        order = np.argsort(-predicted.score, kind="stable").tolist()
        scores = predicted.score.tolist()
        accuracies = accuracies if predicted.accuracy is None else predicted.accuracy.tolist()
    return Ranking(
        [
            RankedCandidate(generation.candidates[i], generation.memory[i], rank, scores[i], accuracies[i])
            for rank, i in enumerate(order, start=1)
        ],
        generation.counts,
    )
