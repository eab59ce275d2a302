"""DVOLVER's idea on this space: NSGA-II over whole networks, with crossover and mutation of its own.

A generation makes as many children as there are members. Two parents win binary tournaments by non-domination rank and
crowding distance; a child takes each block from either of them, then makes one random move. The best of parents and
children live on.

Source: Michel et al., 2019 (DVOLVER). Theirs mutates and crosses cells of an image classifier and trains each network
from nothing, as here; the second objective is memory here, speed there.
"""

import random
from dataclasses import replace

from benchmarks.search.methods.evolution import Member, crowding, domination_ranks
from benchmarks.search.methods.interface import Evaluate
from benchmarks.search.methods.space import Space, first_population, random_child
from memnas_core.space.architecture import Architecture

POPULATION = 8


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Let generations follow each other until the images are spent."""
    rng = random.Random(seed)
    known: set[str] = set()

    def trained(network: Architecture) -> Member:
        known.add(network.arch_id)
        return Member(network, space.box.losses(*evaluate(network)))

    population = [trained(network) for network in first_population(space, POPULATION, rng)]
    while True:
        order = best_first(population)
        children = []
        for _ in range(POPULATION):
            first, second = (population[min(rng.sample(range(POPULATION), 2), key=order.index)] for _ in range(2))
            child = random_child(space, crossed(space, first.architecture, second.architecture, rng), rng)
            while child.arch_id in known:
                child = random_child(space, child, rng)  # further away, so that this ends
            children.append(trained(child))
        population += children
        population = [population[place] for place in best_first(population)[:POPULATION]]


def crossed(space: Space, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
    """Return a network with each block from one of two parents, the stem from the first; that if it is too large."""
    widths = zip(
        zip(first.blocks, first.widths, strict=True), zip(second.blocks, second.widths, strict=True), strict=True
    )
    blocks = (rng.choice(pair) for pair in widths)
    child = replace(first, blocks=tuple(replace(block, filters=width) for block, width in blocks))
    return child if space.has(child) else first


def best_first(members: list[Member]) -> list[int]:
    """Return the places of members by rank, then by crowding distance; below the accuracy floor the nearer first."""
    losses = [member.losses for member in members]
    ranks, distances = domination_ranks(losses), crowding(losses)

    def order(place: int) -> tuple[float, int, float]:
        loss = losses[place][0]
        return (loss, 0, 0.0) if loss >= 1 else (0.0, ranks[place], -distances[place])

    return sorted(range(len(members)), key=order)
