"""DPP-Net's idea on this space: networks grow cell by cell, a recurrent predictor ranks them, the Pareto front goes on.

A round grows the networks on the front of the round before, ranks all children by domination over predicted accuracy
and exact memory, and trains the first ones from nothing. Nothing is ever trimmed.

Source: Dong et al., 2018 (DPP-Net). Its predictor is a recurrent network over the operations, here the paper's SCC.
"""

from benchmarks.search.methods.evolution import crowding, domination_ranks
from benchmarks.search.methods.trainer import Task
from memnas_core.objective.score import performance_of
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.front_aim import FrontAim, front_bases
from memnas_core.search.state import SearchState

OVERRIDES = (
    "search.moves=grow",
    "search.weights=fresh",
    "search.warm_learning_rate=null",
    "search.choice=measured",
    "search.keep=1.0",
    "controller.version=paper",
)


class DppNetAim(FrontAim):
    """Progressive growth along the Pareto front of the last round."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.settings, task.info.workload(task.settings.objective))

    def bases(self, search: SearchState) -> tuple[Base, ...]:
        """Return the front of the round that was trained last."""
        last = max(row.round for row in search.rows)
        rows = [row for row in search.rows if row.round == last]
        return front_bases(rows, search.settings.objective, 0.0) or (search.chosen[-1],)

    def rank(self, search: SearchState, generation: Generation, seed: int) -> Ranking:
        """Order children by domination rank, then by crowding distance."""
        assert search.controller is not None, "two networks are trained before"
        candidates, objective = generation.candidates, search.settings.objective
        if not candidates:
            return super().rank(search, generation, seed)
        predicted = search.controller.predict([candidate.architecture for candidate in candidates]).tolist()
        losses = [
            (1.0 - accuracy, float(performance_of(memory, accuracy, objective).total_bytes))
            for accuracy, memory in zip(predicted, generation.memory, strict=True)
        ]
        ranks, distances = domination_ranks(losses), crowding(losses)
        order = sorted(range(len(losses)), key=lambda place: (ranks[place], -distances[place]))
        return Ranking(
            [
                RankedCandidate(candidates[i], generation.memory[i], place, None, predicted[i])
                for place, i in enumerate(order, start=1)
            ],
            generation.counts,
        )
