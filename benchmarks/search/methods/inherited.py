"""Searches by random moves whose candidates inherit weights and climb memnas's rungs: peers with memnas's own means.

A round trains `search.top_k` children. What differs is the parents that they come from, and which children are taken:

    regularised evolution     parents win tournaments among the last networks trained
    random search             parents are any network trained before
    LEMONADE's idea           parents and children are drawn where the front holds few networks of their memory

Source of the third: Elsken et al., 2019: children inherit weights; the cheap objective, memory, is sampled before
anything is trained. Its moves keep the function; here they are memnas's moves and its inheritance.
"""

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import gaussian_kde

from benchmarks.search.methods.evolution import POPULATION, Member, tournament
from benchmarks.search.methods.space import random_move
from benchmarks.search.methods.trainer import Task
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.choice import base_of
from memnas_core.search.front_aim import FrontAim, front_bases
from memnas_core.search.state import SearchState
from memnas_core.space.moves import Candidate, MoveCounts

PROPOSED = 10
"""LEMONADE proposes so many children for each one that it trains."""


class RandomAim(FrontAim):
    """Random search: children one random move away from any network trained before.

    Which of them go on to the next rung is decided as in memnas, by the area that they add to the front.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task.settings, task.info.workload(task.settings.objective))
        self._task = task
        self._space = task.space

    def bases(self, search: SearchState) -> tuple[Base, ...]:
        """Return all networks that were trained, in the order of their rounds."""
        objective = search.settings.objective
        return tuple(base_of(row, objective) for row in search.rows if row.measured_accuracy is not None)

    def generate(self, search: SearchState, number: int) -> Generation:
        """Return the children that this round trains."""
        rng = random.Random(f"{search.settings.search.seed} {number}")
        known, children = search.known, []
        for child in self.children(search, number, rng):
            if child.arch_id not in known:
                known.add(child.arch_id)
                children.append(child)
            if len(children) == search.settings.search.top_k:
                break
        memory = [self._task.measure(child.architecture) for child in children]
        return Generation(children, memory, MoveCounts(0, 0, 0, 0, 0))

    def rank(self, search: SearchState, generation: Generation, seed: int) -> Ranking:  # noqa: ARG002
        """Return the children as they were made; all of them are trained."""
        pairs = enumerate(zip(generation.candidates, generation.memory, strict=True), start=1)
        return Ranking([RankedCandidate(*pair, place, None, None) for place, pair in pairs], generation.counts)

    def children(self, search: SearchState, number: int, rng: random.Random) -> Iterator[Candidate]:
        """Yield children without end."""
        while True:
            parent = self.parent(search, rng)
            network, move = random_move(self._space, parent.architecture, rng)
            yield Candidate(network, network.arch_id, parent.arch_id, (move,), number)

    def parent(self, search: SearchState, rng: random.Random) -> Base:
        """Return the parent of the next child."""
        return rng.choice(search.bases)


class EvolutionAim(RandomAim):
    """Regularised evolution: parents win a tournament among the networks that were trained last."""

    def parent(self, search: SearchState, rng: random.Random) -> Base:
        """Return the winner of a tournament."""
        last = search.bases[-POPULATION:]
        box, by_id = self._space.box, {base.arch_id: base for base in last}
        members = [
            Member(base.architecture, box.losses(base.performance.accuracy, base.performance.total_bytes))
            for base in last
        ]
        return by_id[tournament(deque(members), rng).architecture.arch_id]


class LemonadeAim(RandomAim):
    """LEMONADE's idea: where the front holds few networks of their memory, parents and children are likelier."""

    def children(self, search: SearchState, number: int, rng: random.Random) -> Iterator[Candidate]:
        """Yield children without end; of those proposed, the ones of rare memory are likelier."""
        front = front_bases(search.rows, search.settings.objective, 0.0)
        rarity = Rarity([base.performance.total_bytes for base in front])
        parents = rarity([base.performance.total_bytes for base in front])
        while True:
            proposed = []
            for parent in rng.choices(front, parents, k=PROPOSED * search.settings.search.top_k):
                network, move = random_move(self._space, parent.architecture, rng)
                proposed.append(Candidate(network, network.arch_id, parent.arch_id, (move,), number))
            weights = rarity([self._task.total_bytes(child.architecture) for child in proposed])
            yield from rng.choices(proposed, weights, k=search.settings.search.top_k)


class Rarity:
    """How rare a memory is among the networks of a front: the inverse of a kernel density over its logarithm."""

    def __init__(self, of_front: Sequence[int]) -> None:
        logs = [math.log(total) for total in of_front]
        self._density = gaussian_kde(logs) if len(set(logs)) > 1 else None

    def __call__(self, total_bytes: Sequence[int]) -> list[float]:
        """Return the rarity of each; all are equal if the front is a single network."""
        if self._density is None:
            return [1.0] * len(total_bytes)
        density = self._density(np.log(total_bytes))
        return list((1 / np.maximum(density, density.max() / 1000)).tolist())
