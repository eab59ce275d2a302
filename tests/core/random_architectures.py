"""Random architectures for tests, made as a search makes them: by growing and trimming, seeded."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.moves import (
    Move,
    MoveKind,
    apply,
    available_inputs,
    edge_cuts,
    growths,
    seed_architecture,
    trims,
)
from memnas_core.space.operations import OPERATIONS, Operation


def random_growth(rng: random.Random, base: Architecture, operations: Sequence[Operation]) -> Move:
    """Return a random growing move whose new cell is included in the output."""
    first, second = (Branch(rng.randrange(available_inputs(base)), rng.choice(operations)) for _ in range(2))
    return Move(MoveKind.GROW, added=Cell(first, second, rng.choice(list(Combiner)), included=True))


def random_walk(
    rng: random.Random,
    moves: int,
    strides: Sequence[int] = (1, 2, 1),
    filters: int = 4,
    operations: Sequence[Operation] = OPERATIONS.grown,
) -> Architecture:
    """Return what is left of the seed architecture after so many random moves, six in ten of them growing.

    Few `operations` make cells that are alike, which is what tests of ids want.
    """
    architecture = seed_architecture(tuple(strides), filters)
    for _ in range(moves):
        if rng.random() < 0.6:
            move = random_growth(rng, architecture, operations)
        else:
            move = rng.choice([*trims(architecture), *edge_cuts(architecture)])
        architecture = apply(architecture, move) or architecture
    return architecture


def random_walks(seed: int, count: int, moves: int = 10, widths: bool = False) -> Iterator[Architecture]:
    """Yield random architectures with one to four blocks of either stride and various filters.

    Args:
        seed: Seed of all choices.
        count: Number of architectures.
        moves: Most moves from the seed architecture.
        widths: Whether the networks are changed as `with_widths` does.
    """
    rng = random.Random(seed)
    of_widths = random.Random(f"widths {seed}")
    for _ in range(count):
        strides = rng.choices((1, 2), k=rng.randint(1, 4))
        filters = rng.choice((1, 3, 4, 8))
        walked = random_walk(rng, rng.randint(0, moves), strides, filters)
        yield with_widths(of_widths, walked) if widths else walked


def with_widths(rng: random.Random, architecture: Architecture) -> Architecture:
    """Return the architecture as only a search with widths has it.

    Half of the blocks have filters of their own, the stem has stride 1 or 2, and some depthwise convolutions are
    separable ones. Multiples of F are likely, so that a block may be as wide as a concatenation that enters it.
    """
    filters = architecture.filters
    own = (None, None, None, 2 * filters, 3 * filters, rng.randint(1, 9))
    separable = {ops.DEPTHWISE_3X3: ops.SEPARABLE_3X3, ops.DEPTHWISE_5X5: ops.SEPARABLE_5X5}

    def changed(branch: Branch | None) -> Branch | None:
        if branch is None or rng.random() < 0.5:
            return branch
        return Branch(branch.input, separable.get(branch.operation, branch.operation))

    def changed_cell(cell: Cell) -> Cell:
        return Cell(changed(cell.first), changed(cell.second), cell.combiner, cell.included).ordered()

    blocks = tuple(
        Block(tuple(map(changed_cell, block.cells)), block.stride, rng.choice(own)) for block in architecture.blocks
    )
    return Architecture(blocks, filters, rng.choice((1, 2)))


def distinct_walks(count: int, seed: int, most_cells: int = 7) -> list[Architecture]:
    """Return different architectures up to six moves from the seed, with at most so many cells in the first block."""
    rng = random.Random(seed)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = seed_architecture((1, 2, 1), filters=4)
        for _ in range(rng.randint(0, 6)):
            grow = rng.random() < 0.6 and len(architecture.blocks[0].cells) < most_cells
            moves = list(growths(architecture) if grow else (*trims(architecture), *edge_cuts(architecture)))
            architecture = apply(architecture, rng.choice(moves)) or architecture
        found[architecture.arch_id] = architecture
    return list(found.values())


def tangled(rng: random.Random, cells: int) -> Architecture:
    """Return a network whose first block has cells that read any before them and leave it only if nothing reads them.

    Where most cells are in the block's output, which `random_walks` favours, tensors live to the block's end in any
    order, and the given order can hardly be beaten.
    """
    drawn = [
        Cell(
            Branch(rng.randrange(n + 1), rng.choice(OPERATIONS.grown)),
            Branch(rng.randrange(n + 1), rng.choice(OPERATIONS.grown)),
            rng.choice(list(Combiner)),
            included=False,
        )
        for n in range(cells)
    ]
    read = {branch.input for cell in drawn for branch in cell.branches}
    block = Block(tuple(cell._replace(included=n not in read) for n, cell in enumerate(drawn, start=1)), 1)
    return Architecture(
        (block, Block((Cell(Branch(0, OPERATIONS.grown[0]), None, Combiner.SUM, included=True),), 2)), 4
    )


def shuffled_block(rng: random.Random, block: Block) -> Block:
    """Return an isomorphic block: cells in another valid order, branches swapped at random."""
    left = list(range(1, len(block.cells) + 1))
    place = {0: 0}
    cells: list[Cell] = []
    while left:
        possible = [n for n in left if all(b.input in place for b in block.cells[n - 1].branches)]
        number = rng.choice(possible)
        left.remove(number)
        cell = block.cells[number - 1]
        first, second = (b and Branch(place[b.input], b.operation) for b in (cell.first, cell.second))
        if rng.random() < 0.5:
            first, second = second, first
        cells.append(Cell(first, second, cell.combiner, cell.included))
        place[number] = len(cells)
    return Block(tuple(cells), block.stride, block.filters)


def shuffled(rng: random.Random, architecture: Architecture) -> Architecture:
    """Return an isomorphic architecture, each block shuffled."""
    blocks = tuple(shuffled_block(rng, block) for block in architecture.blocks)
    return replace(architecture, blocks=blocks)


def bare_architecture(strides: tuple[int, ...], filters: int) -> Architecture:
    """Return where all trimming ends: one identity in each block."""
    cell = Cell(Branch(0, ops.IDENTITY), None, Combiner.SUM, included=True)
    return Architecture(tuple(Block((cell,), stride) for stride in strides), filters)
