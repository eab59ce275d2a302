"""The area under a Pareto front of accuracy and memory: what a candidate would add to it.

======  =================  =====================================================================
symbol  here               unit or meaning
======  =================  =====================================================================
a       accuracy           in [0, 1]
m       log2 of the bytes  of weights and activations together, so that every halving counts alike
floor   accuracy_floor     accuracy that a network must exceed; the front's area begins there
======  =================  =====================================================================

A network (a, m) covers all (a', m') with floor <= a' <= a and m <= m' <= the ceiling. The *gain* of a network is the
area that it covers and the front does not; one unit is an accuracy of 1 over a factor of two in memory. If it adds
nothing, its gain is minus the accuracy that it lacks to reach the front, so that gains rank all networks.

Source: replaces Eq. 4 where a search looks for the whole front and not for one network. Hypervolume is the usual
measure of a front (Zitzler and Thiele, 1998).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memnas_core.objective.score import Performance

CHOICES = 20
"""Networks chosen together are taken from the `CHOICES` times as many networks with the largest gains."""

CEILING_FACTOR = 2.0
"""Memory at which the front's area ends, relative to the largest network."""


@dataclass(frozen=True, slots=True)
class Front:
    """The best accuracy at each memory.

    Attributes:
        points: (m, a) of the networks on the front, in rising order of both.
        accuracy_floor: Accuracy at which the front's area begins, in [0, 1).
        ceiling: m at which it ends.
    """

    points: tuple[tuple[float, float], ...]
    accuracy_floor: float
    ceiling: float

    @classmethod
    def of(cls, networks: Sequence[Performance], accuracy_floor: float) -> "Front":
        """Return the front of some networks, without those at or below the floor.

        Args:
            networks: One or more networks.
            accuracy_floor: Accuracy at which the front's area begins, in [0, 1).
        """
        ceiling = max(_memory(network) for network in networks) + math.log2(CEILING_FACTOR)
        return cls((), accuracy_floor, ceiling).plus(networks)

    def plus(self, networks: Sequence[Performance]) -> "Front":
        """Return the front with further networks and the same ceiling."""
        points = [*self.points, *((_memory(network), network.accuracy) for network in networks)]
        kept: list[tuple[float, float]] = []
        best = self.accuracy_floor
        for memory, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
            if accuracy > best:
                best = accuracy
                kept.append((memory, accuracy))
        return Front(tuple(kept), self.accuracy_floor, self.ceiling)

    @property
    def area(self) -> float:
        """The area below the front."""
        return sum(
            (accuracy - self.accuracy_floor) * max(0.0, min(end, self.ceiling) - begin)
            for begin, end, accuracy in self._steps()
        )

    def gain(self, network: Performance) -> float:
        """Return the area that a network adds, or minus the accuracy that it lacks to reach the front."""
        memory, accuracy = _memory(network), network.accuracy
        reached = self.best_accuracy(memory)
        if accuracy <= reached or memory >= self.ceiling:
            return accuracy - max(reached, accuracy) if memory < self.ceiling else -accuracy
        added = 0.0
        begin, below = memory, reached
        for next_memory, next_accuracy in (*self.points, (self.ceiling, 1.0)):
            if next_memory <= memory:
                continue
            added += (accuracy - below) * (next_memory - begin)
            begin, below = next_memory, next_accuracy
            if below >= accuracy:
                break
        return added

    def best_accuracy(self, memory: float) -> float:
        """Return the front's accuracy at a memory m; the floor if no network on the front is that small."""
        return max((a for m, a in self.points if m <= memory), default=self.accuracy_floor)

    def _steps(self) -> Iterator[tuple[float, float, float]]:
        points = (*self.points, (self.ceiling, 1.0))
        for (begin, accuracy), (end, _) in pairwise(points):
            yield begin, end, accuracy


def order_by_gain(front: Front, networks: Sequence[Performance], count: int) -> list[int]:
    """Return the indices of networks, those that add most first.

    The first `count` are chosen one after the other, each with the largest gain over the front and those chosen before
    it, so that they differ; the others follow by their gain over the front alone. Ties keep the order given.

    Args:
        front: The current front.
        networks: Predicted or measured figures of the networks.
        count: Number of networks chosen together.
    """
    alone = [front.gain(network) for network in networks]
    order = sorted(range(len(networks)), key=lambda index: -alone[index])
    left = order[: count * CHOICES]
    chosen: list[int] = []
    grown = front
    for _ in range(min(count, len(networks))):
        best = max(left, key=lambda index: grown.gain(networks[index]))
        left.remove(best)
        chosen.append(best)
        grown = grown.plus([networks[best]])
    taken = set(chosen)
    return chosen + [index for index in order if index not in taken]


def _memory(network: Performance) -> float:
    return math.log2(network.total_bytes)
