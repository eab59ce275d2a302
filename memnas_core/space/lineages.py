"""Random lineages of grow and trim: candidates like those of a search, drawn without training any.

The candidates of a search depend on what it has trained so far. Those of a benchmark for controllers must not, and
should come from several rounds and many bases. Each lineage starts at a network with the same random cell in every
block. In each round a few children of its base are drawn, half of them grown and half trimmed, and one of them, drawn
at random, is the next base. The less accuracy weighs in a search (the paper's lambda), the more often it trims, down
to networks that hardly learn. So lineages differ in how often their next base is a trimmed child: from
`LEAST_TRIMMING` in the first lineage to always in the last.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.moves import Candidate, apply, first_network, generate, growths, seed_architecture
from memnas_core.space.operations import OPERATIONS

LEAST_TRIMMING = 0.4
"""Probability that the next base of the first lineage is a trimmed child; with rounds of growth alone, networks would
become too large to train many."""


@dataclass(frozen=True, slots=True)
class Descendant:
    """A candidate and the number of the lineage that it belongs to, from 1; 0 for the search's seed network."""

    lineage: int
    candidate: Candidate


def draw_lineages(
    strides: Sequence[int], filters: int, lineages: int, rounds: int, children: int, seed: int
) -> tuple[Descendant, ...]:
    """Return the seed network, the first network of each lineage, and lineages x rounds x children candidates.

    No network occurs twice.

    Args:
        strides: Stride of each block.
        filters: Filters of every operation layer.
        lineages: Number of lineages.
        rounds: Number of rounds in each lineage.
        children: Number of candidates drawn in each round; if there are too few trimmed ones, more are grown.
        seed: Seed of all draws.
    """
    rng = random.Random(seed)
    found = [Descendant(0, first_network(seed_architecture(strides, filters)))]
    known = {found[0].candidate.arch_id}
    for lineage in range(1, lineages + 1):
        while (root := first_network(_one_cell(rng, strides, filters))).arch_id in known:
            pass
        known.add(root.arch_id)
        found.append(Descendant(lineage, root))
        base = root.architecture
        trimming = LEAST_TRIMMING + (1 - LEAST_TRIMMING) * (lineage - 1) / max(1, lineages - 1)
        for number in range(1, rounds + 1):
            grown, trimmed = _draw(rng, base, number, children, known)
            drawn = grown + trimmed
            known.update(candidate.arch_id for candidate in drawn)
            found += [Descendant(lineage, candidate) for candidate in drawn]
            base = rng.choice(trimmed if trimmed and rng.random() < trimming else grown).architecture
    return tuple(found)


def draw_growth(seed_network: Architecture, cells: int, seed: int) -> Architecture:
    """Return the seed network grown by random cells until each block has at least `cells` cells."""
    rng = random.Random(seed)
    grown = seed_network
    while min(len(block.cells) for block in grown.blocks) < cells:
        after = apply(grown, rng.choice(list(growths(grown))))
        grown = after or grown  # a move that leaves no valid network is drawn again
    return grown


def _one_cell(rng: random.Random, strides: Sequence[int], filters: int) -> Architecture:
    first, second = (Branch(0, rng.choice(OPERATIONS.grown)) for _ in range(2))
    cell = Cell(first, second, rng.choice(list(Combiner)), included=True).ordered()
    return Architecture(tuple(Block((cell,), stride) for stride in strides), filters)


def _draw(
    rng: random.Random, base: Architecture, number: int, children: int, known: set[str]
) -> tuple[list[Candidate], list[Candidate]]:
    """Draw a round's children and return the grown and the trimmed ones."""
    candidates, _ = generate(base, number, known)
    grown = [candidate for candidate in candidates if candidate.is_grown]
    trimmed = [candidate for candidate in candidates if not candidate.is_grown]
    from_trims = min(len(trimmed), children // 2)
    return rng.sample(grown, children - from_trims), rng.sample(trimmed, from_trims)
