"""Grow, trim, widen and narrow: the candidates of a round, made from one base network.

Growing appends the same new cell to every block. Trimming changes one block in one place. The
enumerations yield exactly as many moves as Eq. 1 and Eq. 2 count; duplicates and invalid networks are removed later.

Source: section 3.2. Cutting a layer's input edge, the third move of the text, is not in Eq. 2 and is counted
separately. Widening and narrowing a block are not in the paper, whose layers all have F filters.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate, product
from operator import mul

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.operations import OPERATIONS, Operation

WIDTHS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Filters that widening and narrowing lead to, beside the architecture's own F. All are multiples of 4, as kernels take
four channels at a time. From 8 on a step is a factor of 1.3 to 1.5, and so about halves or doubles a block's weights; a
smaller one would change less than a trimmed layer does."""


class MoveKind(StrEnum):
    """How a candidate was made from its parent."""

    SEED = "seed"  # the first base; it has no parent
    GROW = "grow"
    TRIM_LAYER = "trim_layer"  # an operation layer becomes an identity
    TRIM_CELL = "trim_cell"
    TRIM_OUTPUT = "trim_output"  # a cell is dropped from the block's final concatenation
    CUT_EDGE = "cut_edge"  # a layer loses its input and is removed
    WIDEN = "widen"  # the layers of a block get more filters
    NARROW = "narrow"  # or fewer


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a base.

    Attributes:
        kind: Kind of change.
        block: Number of the changed block from 1; 0 for all blocks, as when growing.
        cell: Number of the changed cell from 1; 0 when growing, widening or narrowing.
        branch: The changed branch, 1 or 2; 0 where the move concerns a whole cell.
        added: The new cell when growing.
        filters: Filters of a widened or narrowed block; 0 for other moves, and where all blocks go one step.
    """

    kind: MoveKind
    block: int = 0
    cell: int = 0
    branch: int = 0
    added: Cell | None = None
    filters: int = 0

    def __str__(self) -> str:
        """Return words, such as `grow 0:conv_3x3 1:identity sum`, `trim_layer b2 c1 l2` or `widen b3 to 24`."""
        if self.added is not None:
            inputs = " ".join(f"{branch.input}:{branch.operation}" for branch in self.added.branches)
            return f"{self.kind} {inputs} {self.added.combiner}"
        if self.kind is MoveKind.SEED:
            return str(self.kind)
        block = f"b{self.block}" if self.block else "everywhere"
        if self.kind in (MoveKind.WIDEN, MoveKind.NARROW):
            return f"{self.kind} {block}" + (f" to {self.filters}" if self.filters else "")
        return f"{self.kind} {block} c{self.cell}" + (f" l{self.branch}" if self.branch else "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture and where it comes from.

    Attributes:
        architecture: The network.
        arch_id: Id of the network.
        parent_id: Id of the base that it was made from; None for a first network.
        moves: Moves that turn the base into it, in order; usually one.
        round: Number of the round that made it.
    """

    architecture: Architecture
    arch_id: str
    parent_id: str | None
    moves: tuple[Move, ...]
    round: int

    @property
    def is_grown(self) -> bool:
        """Whether it was made by growing."""
        return self.moves[0].kind is MoveKind.GROW

    @property
    def is_widened(self) -> bool:
        """Whether it was made by widening."""
        return self.moves[0].kind is MoveKind.WIDEN

    @property
    def is_single(self) -> bool:
        """Whether one growing move, or one other move in a single block, made it, as in the paper."""
        return len(self.moves) == 1 and (self.is_grown or self.moves[0].block > 0)

    @property
    def words(self) -> str:
        """The moves as tables show them."""
        return " + ".join(map(str, self.moves))


def first_network(architecture: Architecture, moves: Sequence[Move] = ()) -> Candidate:
    """Return a starting network as a candidate of round 0.

    Args:
        architecture: The network.
        moves: Moves that made it fit a budget.
    """
    return Candidate(architecture, architecture.arch_id, None, (Move(MoveKind.SEED), *moves), 0)


@dataclass(frozen=True, slots=True)
class MoveCounts:
    """How many moves a round had, and what became of them.

    Attributes:
        grown: Growing moves; Eq. 1. Where widths are searched, also those that widen a block.
        trimmed: Trimming moves; Eq. 2. Where widths are searched, also those that narrow a block.
        cut: Edge cuts, which Eq. 2 does not count.
        invalid: Moves that leave a block without output, or a new cell that nothing can read.
        duplicates: Moves that lead to a network seen before, in this round or an earlier one.
    """

    grown: int
    trimmed: int
    cut: int
    invalid: int
    duplicates: int

    @property
    def unique(self) -> int:
        """Number of candidates without invalid ones and duplicates."""
        return self.grown + self.trimmed + self.cut - self.invalid - self.duplicates


def seed_architecture(
    strides: Collection[int],
    filters: int,
    operations: tuple[Operation, Operation] = (ops.CONV_3X3, ops.CONV_3X3),
    stem_stride: int = 1,
) -> Architecture:
    """Return the first base: one cell in each block, the sum of two layers that read the block's input.

    The paper does not state what its first round starts from.
    """
    first, second = (Branch(0, operation) for operation in operations)
    cell = Cell(first, second, Combiner.SUM, included=True).ordered()
    return Architecture(tuple(Block((cell,), stride) for stride in strides), filters, stem_stride)


def scaled_seed(
    strides: Collection[int], filters: float, operations: tuple[Operation, Operation], stem_stride: int
) -> Architecture:
    """Return a first base whose blocks have more filters the smaller the image has become.

    Args:
        strides: Stride of each block.
        filters: Filters of the stem, rounded up. A block has as many times more as the image's side has been divided
            by at its output, rounded down.
        operations: Operations of each cell.
        stem_stride: Stride of the stem.
    """
    plain = seed_architecture(strides, math.ceil(filters), operations, stem_stride)
    reductions = list(accumulate(strides, mul, initial=stem_stride))[1:]
    blocks = (
        replace(block, filters=max(1, int(filters * reduction)))
        for block, reduction in zip(plain.blocks, reductions, strict=True)
    )
    return replace(plain, blocks=tuple(blocks))


def available_inputs(base: Architecture) -> int:
    """Return |I|: the inputs that a new cell finds in *all* blocks."""
    return 1 + min(len(block.cells) for block in base.blocks)


def grown_operations(base: Architecture) -> tuple[Operation, ...]:
    """Return the operations of new cells; optional ones only if the base has them."""
    used = base.operations
    return (*OPERATIONS.grown, *(one for one in OPERATIONS if one.is_optional and one in used))


def growths(base: Architecture) -> Iterator[Move]:
    """Yield the growing moves, exactly as many as Eq. 1 counts (ordered pairs of branches)."""
    operations = grown_operations(base)
    branches = [Branch(number, operation) for number in range(available_inputs(base)) for operation in operations]
    for first, second, combiner, included in product(branches, branches, Combiner, (True, False)):
        yield Move(MoveKind.GROW, added=Cell(first, second, combiner, included))


def trims(base: Architecture) -> Iterator[Move]:
    """Yield the trimming moves, exactly as many as Eq. 2 counts."""
    for number, block in enumerate(base.blocks, start=1):
        for position, cell in enumerate(block.cells, start=1):
            for side, branch in enumerate((cell.first, cell.second), start=1):
                if branch is not None:
                    yield Move(MoveKind.TRIM_LAYER, number, position, side)
            yield Move(MoveKind.TRIM_CELL, number, position)
            if cell.included:
                yield Move(MoveKind.TRIM_OUTPUT, number, position)


def edge_cuts(base: Architecture) -> Iterator[Move]:
    """Yield the moves that cut one layer's input edge."""
    for move in trims(base):
        if move.kind is MoveKind.TRIM_LAYER:
            yield Move(MoveKind.CUT_EDGE, move.block, move.cell, move.branch)


def widenings(base: Architecture) -> Iterator[Move]:
    """Yield the moves that give one block the next larger number of filters of `WIDTHS` and F."""
    for number, width in enumerate(base.widths, start=1):
        above = [step for step in (*WIDTHS, base.filters) if step > width]
        if above:
            yield Move(MoveKind.WIDEN, number, filters=min(above))


def narrowings(base: Architecture) -> Iterator[Move]:
    """Yield the moves that give one block the next smaller number of filters of `WIDTHS` and F."""
    for number, width in enumerate(base.widths, start=1):
        below = [step for step in (*WIDTHS, base.filters) if step < width]
        if below:
            yield Move(MoveKind.NARROW, number, filters=max(below))


def reductions(base: Architecture, widths: bool) -> Iterator[Move]:
    """Yield the moves that make a network smaller: trims, cuts, and narrowings if widths are searched."""
    yield from trims(base)
    yield from edge_cuts(base)
    if widths:
        yield from narrowings(base)


def resized_everywhere(base: Architecture) -> Iterator[tuple[Architecture, Move]]:
    """Yield the networks with every block widened, and narrowed, by one step, with the move."""
    steps: tuple[Callable[[Architecture], Iterator[Move]], ...] = (widenings, narrowings)
    for moves in steps:
        network, made = base, list(moves(base))
        for move in made:
            network = _resized(network, move)
        if len(made) > 1:
            yield network, Move(made[0].kind)


def everywhere(base: Architecture) -> Iterator[tuple[Architecture, Move]]:
    """Yield the networks that result from making the same trim or cut in every block, with the move.

    Blocks in which a move is not possible stay as they are. Not in the paper, whose trims change one block.
    """
    places = dict.fromkeys((move.kind, move.cell, move.branch) for move in (*trims(base), *edge_cuts(base)))
    for kind, cell, branch in places:
        network, made = base, 0
        for number in range(1, len(base.blocks) + 1):
            here = [m for m in (*trims(network), *edge_cuts(network)) if m.block == number]
            move = Move(kind, number, cell, branch)
            trimmed = apply(network, move) if move in here else None
            if trimmed is not None and trimmed != network:
                network, made = trimmed, made + 1
        if made > 1:
            yield network, Move(kind, 0, cell, branch)


def apply(base: Architecture, move: Move) -> Architecture | None:
    """Return the base after a move, or None where the move leaves no valid network.

    Layers without input, cells without layers and cells whose output nothing reads are removed as well, and
    so on through the block.
    """
    if move.added is not None:
        if not move.added.included:
            return None  # nothing can read the newest cell yet
        added = move.added.ordered()
        grown = tuple(Block((*block.cells, added), block.stride, block.filters) for block in base.blocks)
        return replace(base, blocks=grown)
    if move.filters:
        return _resized(base, move)
    block = base.blocks[move.block - 1]
    changed: list[Cell | None] = list(block.cells)
    cell = block.cells[move.cell - 1]
    match move.kind:
        case MoveKind.TRIM_LAYER:
            changed[move.cell - 1] = _with_branch(cell, move.branch, _identity_of(cell, move.branch))
        case MoveKind.CUT_EDGE:
            changed[move.cell - 1] = _with_branch(cell, move.branch, None)
        case MoveKind.TRIM_CELL:
            changed[move.cell - 1] = None
        case MoveKind.TRIM_OUTPUT:
            changed[move.cell - 1] = cell._replace(included=False)
        case _:
            raise AssertionError(f"{move.kind} is no trim")
    cells = _cascade(changed)
    if not any(cell.included for cell in cells):
        return None
    blocks = list(base.blocks)
    blocks[move.block - 1] = Block(cells, block.stride, block.filters)
    return replace(base, blocks=tuple(blocks))


def _resized(base: Architecture, move: Move) -> Architecture:
    blocks = list(base.blocks)
    blocks[move.block - 1] = replace(blocks[move.block - 1], filters=move.filters)
    return replace(base, blocks=tuple(blocks))


def generate(
    base: Architecture, round_number: int, known: Collection[str] = (), widths: bool = False
) -> tuple[tuple[Candidate, ...], MoveCounts]:
    """Return the candidates of a round, each network once, and the counts of the moves behind them.

    Args:
        base: The network to grow and trim.
        round_number: Number of the round, recorded in each candidate.
        known: Ids of networks to leave out, such as those trained before; the base is always left out.
        widths: Whether blocks are widened and narrowed too.

    Returns:
        Candidates in order of enumeration, and the counts.
    """
    base_id = base.arch_id
    seen = {base_id, *known}
    grown, trimmed, cut = list(growths(base)), list(trims(base)), list(edge_cuts(base))
    if widths:
        grown += widenings(base)
        trimmed += narrowings(base)
    candidates: list[Candidate] = []
    invalid = duplicates = 0
    for move in (*grown, *trimmed, *cut):
        architecture = apply(base, move)
        if architecture is None:
            invalid += 1
            continue
        arch_id = architecture.arch_id
        if arch_id in seen:
            duplicates += 1
            continue
        seen.add(arch_id)
        candidates.append(Candidate(architecture, arch_id, base_id, (move,), round_number))
    return tuple(candidates), MoveCounts(len(grown), len(trimmed), len(cut), invalid, duplicates)


def _identity_of(cell: Cell, side: int) -> Branch:
    branch = cell.first if side == 1 else cell.second
    assert branch is not None, "moves name branches that exist"
    return Branch(branch.input, ops.IDENTITY)


def _with_branch(cell: Cell, side: int, branch: Branch | None) -> Cell | None:
    first, second = (branch, cell.second) if side == 1 else (cell.first, branch)
    return Cell(first, second, cell.combiner, cell.included) if first or second else None


def _cascade(cells: list[Cell | None]) -> tuple[Cell, ...]:
    """Remove layers without input and cells that nothing reads, and renumber the remaining cells."""
    # Downstream first: inputs always point backwards, so one pass is enough.
    for position, cell in enumerate(cells):
        if cell is not None:
            first, second = (
                branch if branch and (branch.input == 0 or cells[branch.input - 1]) else None
                for branch in (cell.first, cell.second)
            )
            kept = Cell(first, second, cell.combiner, cell.included)
            cells[position] = kept if kept.branches else None
    # Then upstream: readers always come later, so one backward pass is enough.
    read: set[int] = set()
    for position in range(len(cells) - 1, -1, -1):
        cell = cells[position]
        if cell is None:
            continue
        if cell.included or position + 1 in read:
            read.update(branch.input for branch in cell.branches)
        else:
            cells[position] = None
    number_of = {0: 0}
    left: list[Cell] = []
    for position, cell in enumerate(cells, start=1):
        if cell is not None:
            number_of[position] = len(left) + 1
            first, second = (
                branch and Branch(number_of[branch.input], branch.operation) for branch in (cell.first, cell.second)
            )
            left.append(Cell(first, second, cell.combiner, cell.included).ordered())
    return tuple(left)
