"""The space that all methods search, and random ways through it.

Networks of the settings' strides and filters with at most `search.max_cells` cells in a block and no more memory than
the box allows: memory is known before training, so that no method trains a network that cannot count.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.search.methods.box import Box
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import Move, apply, edge_cuts, growths, trims

LONGEST_WALK = 8
"""Moves of a random lineage at most."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a method may propose.

    Attributes:
        seeds: The networks that memnas starts from, which every method may start from too.
        max_cells: Cells of a block at most.
        total_bytes: Measures weights and activations together.
        box: What counts; proposals are smaller than its largest network.
    """

    seeds: tuple[Architecture, ...]
    max_cells: int
    total_bytes: Callable[[Architecture], int]
    box: Box

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each block."""
        return tuple(block.stride for block in self.seeds[0].blocks)

    @property
    def filters(self) -> int:
        """Filters of every layer."""
        return self.seeds[0].filters

    def has(self, architecture: Architecture) -> bool:
        """Return whether an architecture is small enough in both respects."""
        cells = max(len(block.cells) for block in architecture.blocks)
        return cells <= self.max_cells and self.total_bytes(architecture) < self.box.largest_bytes


def random_move(space: Space, parent: Architecture, rng: random.Random) -> tuple[Architecture, Move]:
    """Return a network one valid random move away, and the move: growing and trimming have equal chances."""
    while True:
        is_grown = rng.random() < 0.5
        move = rng.choice(list(growths(parent)) if is_grown else [*trims(parent), *edge_cuts(parent)])
        child = apply(parent, move)
        if child is not None and child.arch_id != parent.arch_id and space.has(child):
            return child, move


def random_child(space: Space, parent: Architecture, rng: random.Random) -> Architecture:
    """Return a network one valid random move away."""
    return random_move(space, parent, rng)[0]


def random_lineage(space: Space, rng: random.Random) -> Architecture:
    """Return the end of a random lineage: from one of the seeds, 0 to `LONGEST_WALK` random moves, all as likely."""
    network = rng.choice(space.seeds)
    for _ in range(rng.randint(0, LONGEST_WALK)):
        network = random_child(space, network, rng)
    return network


def first_population(space: Space, size: int, rng: random.Random) -> list[Architecture]:
    """Return different networks to begin with: the seeds, then the ends of random lineages."""
    found = {network.arch_id: network for network in space.seeds[:size] if space.has(network)}
    while len(found) < size:
        network = random_lineage(space, rng)
        found[network.arch_id] = network
    return list(found.values())
