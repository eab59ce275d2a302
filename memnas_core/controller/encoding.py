"""Architectures as sequences of cell tokens, and the tree of prefixes that many architectures share.

A token is a cell as the controller sees it: its five binary vectors side by side, then its block.

    part       bits              meaning
    I1, I2     inputs each       one-hot, highest bit first; all zeros where trimming cut the branch away
    L1, L2     operations each   one-hot over the operations, eight in the paper's space; all zeros as above
    O          3                 concat, included, sum
    block      number of blocks  one-hot: the block that holds the cell
    stride     1                 1 where that block has stride 2

The block is encoded because trimming leaves blocks with different numbers of cells, so that a token's place in
the sequence does not tell its block. The filters are not encoded: all architectures of the paper's space share them.
Where blocks have their own numbers of filters, which goes beyond the paper, this encoding does not see them.

A sequence is cell-major: the first cell of every block, then the second cell of every block that has one,
and so on. Growing appends one cell to every block, so that (while blocks are equally long) a grown
candidate is its base's sequence with one token per block added, and a round's thousands of grown candidates
share one long prefix. The tree holds each distinct prefix once.

Source: section 3.1 (the tuple) and section 3.3 (the encoding layer). The paper states no order of the cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memnas_core.errors import ArchitectureError
from memnas_core.space.architecture import Architecture, Cell
from memnas_core.space.cell_vectors import encode_cell
from memnas_core.space.operations import OPERATIONS, Operation

_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """The widths of a token's parts.

    Attributes:
        inputs: Width of I1 and of I2.
        blocks: Number of blocks of every architecture.
        operations: Operations that have a bit.
    """

    inputs: int
    blocks: int
    operations: tuple[Operation, ...] = field(default_factory=lambda: OPERATIONS.basic)

    @property
    def width(self) -> int:
        """Bits of a token."""
        return 2 * self.inputs + 2 * len(self.operations) + 3 + self.blocks + 1

    def input_columns(self, first: int) -> list[int]:
        """Return the columns of the bits of I1 and I2 that stand for input `first` and all later ones."""
        later = self.inputs - first  # later inputs come first, since the highest bit does
        return [*range(later), *range(self.inputs, self.inputs + later)]

    @property
    def swapped_columns(self) -> list[int]:
        """The columns of a token in an order that swaps I1 with I2 and L1 with L2."""
        operations = 2 * self.inputs
        bits = len(self.operations)
        combiner = operations + 2 * bits
        i1, i2 = range(self.inputs), range(self.inputs, operations)
        l1, l2 = range(operations, combiner - bits), range(combiner - bits, combiner)
        return [*i2, *i1, *l2, *l1, *range(combiner, self.width)]


class Token(NamedTuple):
    """A cell and its block.

    Attributes:
        block: Index of its block, from 0.
        stride: Stride of its block.
        cell: The cell.
    """

    block: int
    stride: int
    cell: Cell

    def ordered(self) -> "Token":
        """Return the token with its branches in canonical order, so that swapped branches give one token."""
        return Token(self.block, self.stride, self.cell.ordered())

    def bits(self, layout: TokenLayout) -> npt.NDArray[np.float32]:
        """Return the token's bits as zeros and ones, shape (layout.width,)."""
        block = "".join("01"[number == self.block] for number in range(layout.blocks))
        text = "".join(encode_cell(self.cell, layout.inputs, layout.operations)) + block + "01"[self.stride == 2]
        return (np.frombuffer(text.encode(), dtype=np.uint8) - ord("0")).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """All distinct prefixes of one length, the nodes of one depth of the tree.

    Attributes:
        token: The last token of each prefix, an index into `PrefixTree.tokens`; shape (m,).
        parent: The prefix without that token, an index into the previous level; zeros on the first level; shape (m,).
    """

    token: _Indices
    parent: _Indices


@dataclass(frozen=True, slots=True, eq=False)
class PrefixTree:
    """The prefixes of n architectures' sequences, each distinct one once.

    Attributes:
        tokens: Bits of each distinct token; shape (distinct tokens, layout.width).
        levels: Prefixes by length, from 1.
        ends: The node of each architecture's whole sequence, numbered through all levels; shape (n,).
    """

    tokens: npt.NDArray[np.float32]
    levels: tuple[Level, ...]
    ends: _Indices

    @property
    def nodes(self) -> int:
        """Number of distinct prefixes, and so of the steps that an encoder takes."""
        return sum(len(level.token) for level in self.levels)


def layout_of(architectures: Sequence[Architecture]) -> TokenLayout:
    """Return the narrowest layout that holds all the architectures.

    Raises:
        ArchitectureError: There is no architecture, or their numbers of blocks differ.
    """
    numbers = {len(architecture.blocks) for architecture in architectures}
    if len(numbers) != 1:
        raise ArchitectureError(f"expected architectures with one number of blocks, found {sorted(numbers)}")
    most_cells = max(len(block.cells) for architecture in architectures for block in architecture.blocks)
    # Cells can read the block's input and all cells but the last.
    used = set().union(*(architecture.operations for architecture in architectures))
    operations = tuple(operation for operation in OPERATIONS if operation in used or not operation.is_optional)
    return TokenLayout(inputs=most_cells, blocks=numbers.pop(), operations=operations)


def cell_major(architecture: Architecture) -> Iterator[Token]:
    """Yield an architecture's cells: the first of every block, the second of every block that has one, ..."""
    for place in range(max(len(block.cells) for block in architecture.blocks)):
        for number, block in enumerate(architecture.blocks):
            if place < len(block.cells):
                yield Token(number, block.stride, block.cells[place])


def prefix_tree(architectures: Sequence[Architecture], layout: TokenLayout) -> PrefixTree:
    """Return the tree of all prefixes of the architectures' sequences.

    Args:
        architectures: n architectures in any order; equal ones end at the same node.
        layout: Token layout that fits all of them.

    Raises:
        ArchitectureError: An architecture has another number of blocks than the layout, or an input beyond it.
    """
    tokens, rows = _token_rows(architectures, layout)
    lengths = (rows >= 0).sum(axis=1)
    levels: list[Level] = []
    ends = np.zeros(len(rows), dtype=np.int64)
    node = np.zeros(len(rows), dtype=np.int64)  # node of each architecture in the previous level
    before = 0  # number of nodes in all previous levels
    for depth in range(rows.shape[1]):
        reaching = np.flatnonzero(lengths > depth)
        # A prefix is a shorter prefix and one more token: equal pairs are equal prefixes.
        pairs = node[reaching] * len(tokens) + rows[reaching, depth]
        distinct, which = np.unique(pairs, return_inverse=True)
        levels.append(Level(token=distinct % len(tokens), parent=distinct // len(tokens)))
        node[reaching] = which
        ending = lengths == depth + 1
        ends[ending] = before + node[ending]
        before += len(distinct)
    return PrefixTree(tokens, tuple(levels), ends)


def _token_rows(architectures: Sequence[Architecture], layout: TokenLayout) -> tuple[npt.NDArray[np.float32], _Indices]:
    """Return the bits of all distinct tokens, and each architecture's tokens as numbers, padded with -1."""
    distinct: dict[Token, int] = {}
    number_of: dict[Token, int] = {}  # keyed by tokens as given: putting 300,000 cells in order takes long
    rows: list[list[int]] = []
    for architecture in architectures:
        if len(architecture.blocks) != layout.blocks:
            raise ArchitectureError(
                f"{architecture.arch_id}: expected {layout.blocks} blocks, found {len(architecture.blocks)}"
            )
        row = []
        for token in cell_major(architecture):
            number = number_of.get(token)
            if number is None:
                number = number_of[token] = distinct.setdefault(token.ordered(), len(distinct))
            row.append(number)
        rows.append(row)
    padded = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    bits = np.zeros((len(distinct), layout.width), dtype=np.float32)
    for token, number in distinct.items():
        bits[number] = token.bits(layout)
    return bits, padded
