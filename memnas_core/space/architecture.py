"""The search space: operations, cells, blocks and architectures as plain immutable values.

Source: section 3.1. A network is a sequence of blocks, a block a sequence of cells, and a cell the tuple
(I1, I2, L1, L2, O): two inputs, two operation layers and a combiner. A cell's inputs are numbered within its
block: 0 is the block's input and j the output of the block's j-th cell.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from memnas_core.errors import ArchitectureError
from memnas_core.space.operations import PAPERS_OPERATIONS, Operation


class Combiner(StrEnum):
    """How a cell joins the outputs of its two layers."""

    __hash__ = str.__hash__  # Enum's own hash is ten times slower, and a round computes a million

    SUM = "sum"
    CONCAT = "concat"


class Branch(NamedTuple):
    """One half of a cell: the input that is read (I) and the layer that reads it (L)."""

    input: int
    operation: Operation


class Cell(NamedTuple):
    """Two branches, how they are joined, and whether the block's output includes the result.

    A branch that trimming removed is None; at least one branch remains.
    """

    first: Branch | None
    second: Branch | None
    combiner: Combiner
    included: bool

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that trimming has not removed."""
        if self.first is None:
            return () if self.second is None else (self.second,)
        return (self.first,) if self.second is None else (self.first, self.second)

    def ordered(self) -> "Cell":
        """Return the same cell with its branches in canonical order.

        Swapping (I1, L1) with (I2, L2) does not change the network, and with a single branch there is
        nothing to combine, so both combiners are equivalent.
        """
        branches = sorted(self.branches, key=_branch_rank)
        if len(branches) == 1:
            return Cell(branches[0], None, Combiner.SUM, self.included)
        return Cell(branches[0], branches[1], self.combiner, self.included)


def _branch_rank(branch: Branch) -> tuple[int, int]:
    return branch.input, branch.operation.rank


@dataclass(frozen=True, slots=True)
class Block:
    """Cells in the order in which they were added, and the stride of the layers that read the block's input.

    Attributes:
        cells: The cells.
        stride: The stride, 1 or 2.
        filters: Filters of every operation layer of the block; None: the architecture's (the paper's F).

    Raises:
        ArchitectureError: A cell reads an output that does not exist yet, has no branch, or is neither read nor
            included; no cell is included in the block's output; or the filters are no positive number.
    """

    cells: tuple[Cell, ...]
    stride: int
    filters: int | None = None

    def __post_init__(self) -> None:
        if self.stride not in (1, 2):
            raise ArchitectureError(f"stride: expected 1 or 2, found {self.stride}")
        if self.filters is not None and self.filters < 1:
            raise ArchitectureError(f"filters: expected a positive number, found {self.filters}")
        read = {branch.input for cell in self.cells for branch in cell.branches}
        for number, cell in enumerate(self.cells, start=1):
            if not cell.branches:
                raise ArchitectureError(f"cell {number}: expected one or two branches, found none")
            for branch in cell.branches:
                if not 0 <= branch.input < number:
                    raise ArchitectureError(
                        f"cell {number}: expected an input from 0 to {number - 1}, found {branch.input}"
                    )
            if not cell.included and number not in read:
                raise ArchitectureError(
                    f"cell {number}: expected to be read or included in the block's output; it is neither"
                )
        if not any(cell.included for cell in self.cells):
            raise ArchitectureError("cells: expected at least one that is included in the block's output, found none")

    def width(self, filters: int) -> int:
        """Return the filters of every operation layer of the block.

        Args:
            filters: The architecture's (the paper's F).
        """
        return filters if self.filters is None else self.filters


@dataclass(frozen=True, slots=True)
class Architecture:
    """A sequence of blocks in which every operation layer has `filters` filters (the paper's F).

    A block may have a number of its own, which goes beyond the paper; the stem has `filters` in any case. A block
    whose own number is `filters` is stored without it, so that equal networks are equal values.

    Attributes:
        blocks: The blocks.
        filters: Filters of the stem, and of every block without a number of its own.
        stem_stride: Stride of the stem; 1 in the paper.
    """

    blocks: tuple[Block, ...]
    filters: int
    stem_stride: int = 1

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ArchitectureError("blocks: expected at least one, found none")
        if self.filters < 1:
            raise ArchitectureError(f"filters: expected a positive number, found {self.filters}")
        if self.stem_stride not in (1, 2):
            raise ArchitectureError(f"stem_stride: expected 1 or 2, found {self.stem_stride}")
        if any(block.filters == self.filters for block in self.blocks):
            plain = [replace(block, filters=None) if block.filters == self.filters else block for block in self.blocks]
            object.__setattr__(self, "blocks", tuple(plain))

    @property
    def arch_id(self) -> str:
        """Sixteen hexadecimal digits that isomorphic architectures share and others do not.

        They depend neither on weights nor on the order in which branches or cells were added.
        """
        stem = "" if self.stem_stride == 1 else f"s{self.stem_stride}"
        code = f"{self.filters}{stem};" + ";".join(_block_code(block) for block in self.blocks)
        return hashlib.sha256(code.encode()).hexdigest()[:16]

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of the operation layers of each block."""
        return tuple(block.width(self.filters) for block in self.blocks)

    @property
    def operations(self) -> set[Operation]:
        """The operations of all layers."""
        return {branch.operation for block in self.blocks for cell in block.cells for branch in cell.branches}

    @property
    def strides(self) -> list[int]:
        """Strides of the blocks, after that of the stem if it is not 1."""
        return [*([] if self.stem_stride == 1 else [self.stem_stride]), *(block.stride for block in self.blocks)]

    @property
    def reduction(self) -> int:
        """The factor by which all strides together shrink the side of an image."""
        return math.prod(self.strides)


def canonical(architecture: Architecture) -> Architecture:
    """Return the canonical form that all isomorphic architectures share.

    Branches are ordered within a cell and cells within a block.
    """
    return replace(architecture, blocks=tuple(_canonical_block(block) for block in architecture.blocks))


@lru_cache(maxsize=1 << 16)
def _block_code(block: Block) -> str:
    _, keys = _least_order(block.cells)
    own = "" if block.filters is None else f"w{block.filters}"
    return f"{block.stride}{own}:{keys}"


@lru_cache(maxsize=1 << 16)
def _canonical_block(block: Block) -> Block:
    order, _ = _least_order(block.cells)
    number_of = {0: 0} | {number: place for place, number in enumerate(order, start=1)}
    cells = tuple(_renumbered(block.cells[number - 1], number_of) for number in order)
    return Block(cells, block.stride, block.filters)


_Key = tuple[int, int, int]
"""A cell as three numbers: a code for each branch (-1 for none), and one for combiner and inclusion."""


def _branch_code(branch: Branch, place: int) -> int:
    """Return a number that is unique to the branch, whatever other operations there are.

    Args:
        branch: The branch, of which only the operation is used.
        place: Canonical number of the input that it reads.
    """
    rank = branch.operation.rank
    if rank < PAPERS_OPERATIONS:
        return place * PAPERS_OPERATIONS + rank
    return (rank << 32) + place  # above all codes of the paper's operations: inputs are far fewer than 2^29


def _cell_key(cell: Cell, number_of: Mapping[int, int]) -> _Key:
    codes = [_branch_code(branch, number_of[branch.input]) for branch in cell.branches]
    if len(codes) == 1:  # nothing to combine, so the combiner does not count
        return codes[0], -1, int(cell.included)
    first, second = codes
    flags = 2 * (cell.combiner is Combiner.SUM) + cell.included
    return (first, second, flags) if first <= second else (second, first, flags)


def _least_order(cells: tuple[Cell, ...]) -> tuple[tuple[int, ...], tuple[_Key, ...]]:
    """Return the numbers of cells in canonical order, and their keys.

    Of all orders in which each cell follows its inputs, the canonical one has the least sequence of keys, so the
    least cell that can be placed is always placed next. Two cells tie only if they are twins (same inputs, layers,
    combiner, inclusion). Their readers may still differ, so each order of twins with readers is tried; a twin
    without readers can always come later.
    """
    readers: dict[int, list[int]] = {number: [] for number in range(len(cells) + 1)}
    for number, cell in enumerate(cells, start=1):
        for branch in cell.branches:
            readers[branch.input].append(number)
    best_keys: tuple[_Key, ...] = ()
    best_order: tuple[int, ...] = ()
    pending: list[tuple[dict[int, int], tuple[_Key, ...], dict[int, _Key]]] = [({}, (), {0: (0, 0, 0)})]
    while pending:
        number_of, keys, ready = pending.pop()
        if not ready and (not best_order or keys < best_keys):
            best_keys, best_order = keys, tuple(number_of)
        if not ready or (best_order and keys > best_keys[: len(keys)]):
            continue
        least = min(ready.values())
        tied = [number for number, key in ready.items() if key == least]
        for number in [number for number in tied if readers[number]] or tied[:1]:
            placed = {**number_of, number: len(number_of)}
            left = {other: key for other, key in ready.items() if other != number}
            for other in readers[number]:
                if all(branch.input in placed for branch in cells[other - 1].branches):
                    left[other] = _cell_key(cells[other - 1], placed)
            pending.append((placed, (*keys, least), left))
    return best_order[1:], best_keys[1:]


def _renumbered(cell: Cell, number_of: Mapping[int, int]) -> Cell:
    first = cell.first and Branch(number_of[cell.first.input], cell.first.operation)
    second = cell.second and Branch(number_of[cell.second.input], cell.second.operation)
    return Cell(first, second, cell.combiner, cell.included).ordered()
