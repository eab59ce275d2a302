"""Regularised evolution over grow-and-trim moves: the oldest member dies, whatever it is worth.

Source: Real et al., 2019. Theirs has one objective; here the tournament goes by non-domination rank, then by crowding
distance (Deb et al., 2002), and networks below the accuracy floor come after all others, the nearer the better.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.search.methods.interface import Evaluate
from benchmarks.search.methods.space import Space, first_population, random_child
from memnas_core.objective.score import pareto_front
from memnas_core.space.architecture import Architecture

POPULATION = 10
TOURNAMENT = 4
"""Theirs are 100 and 25 of 20,000 trainings; these are for a few dozen."""


@dataclass(frozen=True, slots=True)
class Member:
    """A trained network and its place in the box."""

    architecture: Architecture
    losses: tuple[float, float]


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Let a population evolve until the images are spent."""
    rng = random.Random(seed)
    known: set[str] = set()
    population: deque[Member] = deque()

    def train(network: Architecture) -> None:
        known.add(network.arch_id)
        population.append(Member(network, space.box.losses(*evaluate(network))))

    for network in first_population(space, POPULATION, rng):
        train(network)
    while True:
        parent = tournament(population, rng)
        child = random_child(space, parent.architecture, rng)
        while child.arch_id in known:
            child = random_child(space, child, rng)  # further away, so that this ends
        train(child)
        population.popleft()


def tournament(population: Sequence[Member], rng: random.Random) -> Member:
    """Return the best of a few members drawn at random."""
    useful = [place for place, member in enumerate(population) if member.losses[0] < 1]
    losses = [population[place].losses for place in useful]
    standing = dict(zip(useful, zip(domination_ranks(losses), crowding(losses), strict=True), strict=True))

    def order(place: int) -> tuple[float, int, float]:
        if place not in standing:
            return population[place].losses[0], 0, 0.0  # at least 1: after all that are useful
        rank, distance = standing[place]
        return 0.0, rank, -distance

    return population[min(rng.sample(range(len(population)), min(TOURNAMENT, len(population))), key=order)]


def domination_ranks(losses: Sequence[tuple[float, float]]) -> list[int]:
    """Return for each point how many fronts lie before its own."""
    ranks = [0] * len(losses)
    left, rank = list(range(len(losses))), 0
    while left:
        front = {left[place] for place in pareto_front([losses[index] for index in left])}
        for index in front:
            ranks[index] = rank
        left, rank = [index for index in left if index not in front], rank + 1
    return ranks


def crowding(losses: Sequence[tuple[float, float]]) -> list[float]:
    """Return each point's crowding distance within its own front; at a front's ends it is infinite."""
    ranks = domination_ranks(losses)
    distances = [0.0] * len(losses)
    for rank in set(ranks):
        front = [index for index, other in enumerate(ranks) if other == rank]
        for axis in range(2):
            front.sort(key=lambda index: losses[index][axis])
            width = (losses[front[-1]][axis] - losses[front[0]][axis]) or 1.0
            distances[front[0]] = distances[front[-1]] = float("inf")
            for before, index, after in zip(front, front[1:], front[2:], strict=False):
                distances[index] += (losses[after][axis] - losses[before][axis]) / width
    return distances
