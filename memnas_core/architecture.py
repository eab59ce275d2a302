"""The search space: operations, cells, blocks and architectures as plain immutable values.

Source: section 3.1. A network is a sequence of blocks, a block a sequence of cells, and a cell the tuple
(I1, I2, L1, L2, O): two inputs, two operation layers and a combiner. A cell's inputs are numbered within its
block: 0 is the block's input and j the output of the block's j-th cell.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from memnas_core.errors import ArchitectureError

FORMAT_VERSION = 1


class Operation(StrEnum):
    """The operation layers, in the paper's bit order: the first is the lowest bit of L.

    IDENTITY is the eighth: trimming puts it in, growing never proposes it.
    """

    CONV_3X3 = "conv_3x3"
    DEPTHWISE_3X3 = "depthwise_3x3"
    DEPTHWISE_5X5 = "depthwise_5x5"
    FACTORIZED_7X7 = "factorized_7x7"
    AVERAGE_POOL_3X3 = "average_pool_3x3"
    MAX_POOL_3X3 = "max_pool_3x3"
    DILATED_3X3 = "dilated_3x3"
    IDENTITY = "identity"


OPERATIONS = tuple(Operation)
GROWABLE_OPERATIONS = OPERATIONS[:-1]
_RANK = {operation: rank for rank, operation in enumerate(OPERATIONS)}


class Combiner(StrEnum):
    """How a cell joins the outputs of its two layers."""

    SUM = "sum"
    CONCAT = "concat"


class Branch(NamedTuple):
    """One half of a cell: the input that is read (I) and the layer that reads it (L)."""

    input: int
    operation: Operation


class Cell(NamedTuple):
    """Two branches, how they are joined, and whether the block's output includes the result.

    A branch that trimming cut away is None; a cell keeps at least one.
    """

    first: Branch | None
    second: Branch | None
    combiner: Combiner
    included: bool

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that are still there."""
        return tuple(branch for branch in (self.first, self.second) if branch is not None)

    def ordered(self) -> "Cell":
        """Return the same cell with its branches in canonical order.

        Swapping (I1, L1) with (I2, L2) does not change the network, and one branch alone leaves nothing to
        combine, so that both combiners mean the same.
        """
        branches = sorted(self.branches, key=_branch_rank)
        if len(branches) == 1:
            return Cell(branches[0], None, Combiner.SUM, self.included)
        return Cell(branches[0], branches[1], self.combiner, self.included)


class CellTuple(NamedTuple):
    """A cell as the paper's five binary vectors, written as strings of 0 and 1, highest bit first."""

    i1: str
    i2: str
    l1: str
    l2: str
    o: str


def _branch_rank(branch: Branch) -> tuple[int, int]:
    return branch.input, _RANK[branch.operation]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells in the order in which they were added, and the stride of the layers that read the block's input.

    Raises:
        ArchitectureError: A cell reads what does not exist yet, has no branch, or feeds nothing; or no cell
            is included in the output.
    """

    cells: tuple[Cell, ...]
    stride: int

    def __post_init__(self) -> None:
        if self.stride not in (1, 2):
            raise ArchitectureError(f"stride: expected 1 or 2, found {self.stride}")
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
                    f"cell {number}: expected to be read by a cell or included in the block's output; it is neither"
                )
        if not any(cell.included for cell in self.cells):
            raise ArchitectureError("block: expected at least one cell included in its output, found none")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A sequence of blocks in which every operation layer has `filters` filters (the paper's F)."""

    blocks: tuple[Block, ...]
    filters: int

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ArchitectureError("architecture: expected at least one block, found none")
        if self.filters < 1:
            raise ArchitectureError(f"filters: expected a positive number, found {self.filters}")

    @property
    def arch_id(self) -> str:
        """Sixteen hexadecimal digits that isomorphic architectures share and others do not.

        Neither weights nor the order in which branches or cells were added enter.
        """
        code = f"{self.filters};" + ";".join(_block_code(block) for block in self.blocks)
        return hashlib.sha256(code.encode()).hexdigest()[:16]

    @property
    def reduction(self) -> int:
        """The factor by which all strides together shrink the side of an image."""
        factor = 1
        for block in self.blocks:
            factor *= block.stride
        return factor


def canonical(architecture: Architecture) -> Architecture:
    """Return the representative of all architectures that are the same network.

    Branches are ordered within a cell and cells within a block.
    """
    return Architecture(tuple(_canonical_block(block) for block in architecture.blocks), architecture.filters)


@lru_cache(maxsize=1 << 16)
def _block_code(block: Block) -> str:
    cells = _canonical_block(block).cells
    return f"{block.stride}:" + "".join(map(str, map(_cell_rank, cells)))


@lru_cache(maxsize=1 << 16)
def _canonical_block(block: Block) -> Block:
    cells = tuple(cell.ordered() for cell in block.cells)
    return Block(_least_order(cells), block.stride)


_Rank = tuple[tuple[int, int], tuple[int, int], str, bool]


def _cell_rank(cell: Cell) -> _Rank:
    first = _branch_rank(cell.first) if cell.first else (-1, -1)
    second = _branch_rank(cell.second) if cell.second else (-1, -1)
    return first, second, cell.combiner.value, cell.included


def _least_order(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Renumber cells by always placing the least of those whose inputs are placed.

    Two cells tie only if they are twins (same inputs, layers, combiner, inclusion); their readers may still
    differ, so each order of twins is followed and the least result taken.
    """
    count = len(cells)
    best: tuple[list[_Rank], list[Cell]] | None = None
    pending: list[tuple[dict[int, int], list[Cell]]] = [({0: 0}, [])]
    while pending:
        number_of, placed = pending.pop()
        if len(placed) == count:
            ranks = [_cell_rank(cell) for cell in placed]
            if best is None or ranks < best[0]:
                best = ranks, placed
            continue
        ready: list[tuple[_Rank, int, Cell]] = []
        for number, cell in enumerate(cells, start=1):
            if number in number_of or any(branch.input not in number_of for branch in cell.branches):
                continue
            renumbered = _renumbered(cell, number_of)
            ready.append((_cell_rank(renumbered), number, renumbered))
        least = min(rank for rank, _, _ in ready)
        for rank, number, cell in ready:
            if rank == least:
                pending.append(({**number_of, number: len(placed) + 1}, [*placed, cell]))
    assert best is not None, "cells of a checked block can always be ordered"
    return tuple(best[1])


def _renumbered(cell: Cell, number_of: Mapping[int, int]) -> Cell:
    first = cell.first and Branch(number_of[cell.first.input], cell.first.operation)
    second = cell.second and Branch(number_of[cell.second.input], cell.second.operation)
    return Cell(first, second, cell.combiner, cell.included).ordered()


def encode_cell(cell: Cell, inputs: int) -> CellTuple:
    """Return a cell's five binary vectors.

    Args:
        cell: The cell.
        inputs: Width of I1 and I2: the block's input and its cells' outputs.

    Returns:
        I one-hot over `inputs`, L one-hot over the eight operations, O as concat, included, sum. A branch
        that was cut away is all zeros in its I and its L.

    Source: section 3.1, with an eighth bit of L for the identity.
    """
    i1, l1 = _encode_branch(cell.first, inputs)
    i2, l2 = _encode_branch(cell.second, inputs)
    is_concat = cell.combiner is Combiner.CONCAT
    return CellTuple(i1, i2, l1, l2, f"{is_concat:d}{cell.included:d}{not is_concat:d}")


def _encode_branch(branch: Branch | None, inputs: int) -> tuple[str, str]:
    if branch is None:
        return "0" * inputs, "0" * len(OPERATIONS)
    if branch.input >= inputs:
        raise ArchitectureError(f"input {branch.input}: expected less than {inputs}, the width of I")
    return f"{1 << branch.input:0{inputs}b}", f"{1 << _RANK[branch.operation]:0{len(OPERATIONS)}b}"


def decode_cell(vectors: CellTuple) -> Cell:
    """Return the cell that five binary vectors stand for; the inverse of `encode_cell`.

    Raises:
        ArchitectureError: A vector is not one-hot (or all zeros together with its partner), or O is none of
            the four that occur: 001, 011, 100, 110.
    """
    meanings = {
        f"{combiner is Combiner.CONCAT:d}{included:d}{combiner is Combiner.SUM:d}": (combiner, included)
        for combiner in Combiner
        for included in (False, True)
    }
    if vectors.o not in meanings:
        raise ArchitectureError(f"O: expected one of {', '.join(sorted(meanings))}, found {vectors.o!r}")
    first = _decode_branch(vectors.i1, vectors.l1, "1")
    second = _decode_branch(vectors.i2, vectors.l2, "2")
    return Cell(first, second, *meanings[vectors.o])


def _decode_branch(input_bits: str, operation_bits: str, which: str) -> Branch | None:
    for name, bits in (("I", input_bits), ("L", operation_bits)):
        if set(bits) - {"0", "1"} or bits.count("1") > 1:
            raise ArchitectureError(f"{name}{which}: expected at most one 1 among zeros, found {bits!r}")
    if len(operation_bits) != len(OPERATIONS):
        raise ArchitectureError(f"L{which}: expected {len(OPERATIONS)} bits, found {operation_bits!r}")
    if ("1" in input_bits) != ("1" in operation_bits):
        raise ArchitectureError(f"I{which}, L{which}: expected both or neither to be all zeros")
    if "1" not in input_bits:
        return None
    return Branch(input_bits[::-1].index("1"), OPERATIONS[operation_bits[::-1].index("1")])


def to_json(architecture: Architecture) -> str:
    """Return an architecture as one line of JSON that `from_json` reads back to an equal value."""
    blocks = [
        {"stride": block.stride, "cells": [_cell_document(cell) for cell in block.cells]}
        for block in architecture.blocks
    ]
    document = {"memnas_architecture": FORMAT_VERSION, "filters": architecture.filters, "blocks": blocks}
    return json.dumps(document, separators=(",", ":"))


def _cell_document(cell: Cell) -> dict[str, object]:
    return {
        "first": list(cell.first) if cell.first else None,
        "second": list(cell.second) if cell.second else None,
        "combiner": cell.combiner.value,
        "included": cell.included,
    }


def from_json(text: str, source: str = "architecture") -> Architecture:
    """Read an architecture from JSON.

    Args:
        text: What `to_json` wrote.
        source: Where the text came from, for messages.

    Raises:
        ArchitectureError: The text is no JSON, no architecture, of another version, or breaks a rule of the
            search space; the message names the place.
    """
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ArchitectureError(f"{source}: expected JSON, found {error}") from None
    found = document.get("memnas_architecture") if isinstance(document, dict) else None
    if found != FORMAT_VERSION:
        raise ArchitectureError(
            f'{source}: expected an object with "memnas_architecture": {FORMAT_VERSION}, found {found!r}'
        )
    blocks = []
    for number, entry in enumerate(_field(document, "blocks", list, source), start=1):
        place = f"{source}, block {number}"
        try:
            cells = tuple(
                _read_cell(cell, f"{place}, cell {position}")
                for position, cell in enumerate(_field(entry, "cells", list, place), start=1)
            )
            blocks.append(Block(cells, _field(entry, "stride", int, place)))
        except ArchitectureError as error:
            message = str(error)
            raise ArchitectureError(message if message.startswith(source) else f"{place}: {message}") from None
    try:
        return Architecture(tuple(blocks), _field(document, "filters", int, source))
    except ArchitectureError as error:
        message = str(error)
        raise ArchitectureError(message if message.startswith(source) else f"{source}: {message}") from None


def _read_cell(entry: object, place: str) -> Cell:
    combiner = _field(entry, "combiner", str, place)
    if combiner not in set(Combiner):
        raise ArchitectureError(f"{place}: combiner: expected sum or concat, found {combiner!r}")
    first, second = _read_branch(entry, "first", place), _read_branch(entry, "second", place)
    return Cell(first, second, Combiner(combiner), _field(entry, "included", bool, place))


def _read_branch(entry: object, name: str, place: str) -> Branch | None:
    if not isinstance(entry, dict) or name not in entry:
        raise ArchitectureError(f"{place}: expected {name!r}, found none")
    value = entry[name]
    if value is None:
        return None
    match value:
        case [int() as number, str() as operation] if not isinstance(number, bool) and operation in set(Operation):
            return Branch(number, Operation(operation))
    raise ArchitectureError(f"{place}: {name}: expected [input, operation] or null, found {value!r}")


_T = TypeVar("_T")


def _field(entry: object, name: str, kind: type[_T], place: str) -> _T:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ArchitectureError(f"{place}: {name}: expected {kind.__name__}, found {value!r}")
    return value
