"""Eq. 4, the memory-efficiency metric, and the Pareto front.

======  ================  =========================================
symbol  here              unit or meaning
======  ================  =========================================
a       accuracy          in [0, 1]
r       activation_bytes  bytes, the peak under one convention
p       param_bytes       bytes
pre     base              the network that the round started from
lambda  accuracy_weight   in [0, 1]
======  ================  =========================================
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.errors import InputError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.settings.schema import ObjectiveSettings


@dataclass(frozen=True, slots=True)
class Performance:
    """What Eq. 4 compares: accuracy in [0, 1] and two memory figures in bytes."""

    accuracy: float
    activation_bytes: int
    param_bytes: int

    @property
    def total_bytes(self) -> int:
        """Weights and activations together."""
        return self.activation_bytes + self.param_bytes


def performance_of(memory: MemoryFigures, accuracy: float, objective: ObjectiveSettings) -> Performance:
    """Return the figures that Eq. 4 compares, with the peak under the convention of the settings."""
    return Performance(accuracy, memory.activation_bytes(objective.activation_convention), memory.param_bytes)


def score(candidate: Performance, base: Performance, accuracy_weight: float) -> float:
    """Return Eq. 4's y of a candidate, relative to its base; higher is better, the base itself has 0.

    Args:
        candidate: The candidate's figures.
        base: The figures of the round's base.
        accuracy_weight: The paper's lambda.

    Raises:
        InputError: The base has zero accuracy or no memory, so that nothing can be relative to it.

    Source: Eq. 4. Memory enters with a minus sign: as printed the equation rewards memory growth, while the
    text chooses the highest y and says that lambda = 0 minimises memory.
    """
    if base.accuracy <= 0 or base.activation_bytes <= 0 or base.param_bytes <= 0:
        raise InputError(f"Eq. 4 is relative to the base: expected positive figures, found {base}")
    gain = (candidate.accuracy - base.accuracy) / base.accuracy
    return accuracy_weight * gain + memory_term(candidate, base, accuracy_weight)


def memory_term(candidate: Performance, base: Performance, accuracy_weight: float) -> float:
    """Return the part of Eq. 4 that is known before training; positive where memory shrinks."""
    activations = (candidate.activation_bytes - base.activation_bytes) / base.activation_bytes
    params = (candidate.param_bytes - base.param_bytes) / base.param_bytes
    return -(1 - accuracy_weight) * (activations + params)


def pareto_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of all points that no other point dominates, in the order given.

    A point dominates another when it is nowhere larger and somewhere smaller. Equal points do not dominate
    each other.

    Args:
        costs: Points of equal length, every coordinate to be minimised (negate what is to be maximised).
    """
    order = sorted(range(len(costs)), key=lambda i: tuple(costs[i]))
    front: list[int] = []
    for i in order:  # a dominating point sorts before the points it dominates
        point = costs[i]
        if not any(_dominates(costs[j], point) for j in front):
            front.append(i)
    return sorted(front)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))
