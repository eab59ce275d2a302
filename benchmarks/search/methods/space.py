"""The space that all methods search, and random ways through it.

Networks of the settings' strides with at most `search.max_cells` cells in a block, any filters for each block, and no
more memory than the box allows: memory is known before training, so that no method trains a network that cannot count.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from benchmarks.search.methods.box import Box
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import WIDTHS, Move, apply, edge_cuts, growths, narrowings, trims, widenings

LONGEST_WALK = 8
"""Moves of a random lineage at most."""


@dataclass(frozen=True)
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

    @cached_property
    def filters(self) -> tuple[int, ...]:
        """Filters that the stem and blocks may have: those of the seeds, and the steps up to twice their most."""
        found = {width for seed in self.seeds for width in (seed.filters, *seed.widths)}
        return tuple(sorted(found | {width for width in WIDTHS if width <= 2 * max(found)}))

    def has(self, architecture: Architecture) -> bool:
        """Return whether an architecture is small enough in every respect."""
        cells = max(len(block.cells) for block in architecture.blocks)
        is_known = {architecture.filters, *architecture.widths} <= set(self.filters)
        return is_known and cells <= self.max_cells and self.total_bytes(architecture) < self.box.largest_bytes


def random_move(space: Space, parent: Architecture, rng: random.Random) -> tuple[Architecture, Move]:
    """Return a network one valid random move away, and the move.

    Growing, trimming, widening and narrowing have equal chances.
    """
    while True:
        kinds = (growths(parent), chain(trims(parent), edge_cuts(parent)), widenings(parent), narrowings(parent))
        moves = list(kinds[rng.randrange(len(kinds))])
        if not moves:  # the narrowest network
            continue
        move = rng.choice(moves)
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
