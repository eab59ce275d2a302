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
MAX_FILTERS = 2**20  # the paper's largest is 64; bytes of more than that could not be shown as a number


class Operation(StrEnum):
    """The operation layers, in the paper's bit order: the first is the lowest bit of L.

    IDENTITY is the eighth: trimming puts it in, growing never proposes it.
    """

    __hash__ = str.__hash__  # an enum's own is ten times slower, and a round hashes a million

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

    __hash__ = str.__hash__

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
        if self.first is None:
            return () if self.second is None else (self.second,)
        return (self.first,) if self.second is None else (self.first, self.second)

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
                    f"cell {number}: expected to be read or included in the block's output; it is neither"
                )
        if not any(cell.included for cell in self.cells):
            raise ArchitectureError("cells: expected at least one that is included in the block's output, found none")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A sequence of blocks in which every operation layer has `filters` filters (the paper's F)."""

    blocks: tuple[Block, ...]
    filters: int

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ArchitectureError("blocks: expected at least one, found none")
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
    _, keys = _least_order(block.cells)
    return f"{block.stride}:{keys}"


@lru_cache(maxsize=1 << 16)
def _canonical_block(block: Block) -> Block:
    order, _ = _least_order(block.cells)
    number_of = {0: 0} | {number: place for place, number in enumerate(order, start=1)}
    return Block(tuple(_renumbered(block.cells[number - 1], number_of) for number in order), block.stride)


_Key = tuple[int, int, int]
"""A cell as three numbers: each branch as 8 * input + operation (-1 for none), and combiner and inclusion."""


def _cell_key(cell: Cell, number_of: Mapping[int, int]) -> _Key:
    codes = [number_of[branch.input] * len(OPERATIONS) + _RANK[branch.operation] for branch in cell.branches]
    if len(codes) == 1:  # nothing to combine, so the combiner does not count
        return codes[0], -1, int(cell.included)
    first, second = codes
    flags = 2 * (cell.combiner is Combiner.SUM) + cell.included
    return (first, second, flags) if first <= second else (second, first, flags)


def _least_order(cells: tuple[Cell, ...]) -> tuple[tuple[int, ...], tuple[_Key, ...]]:
    """Return the numbers of cells in canonical order, and their keys.

    The canonical order has the least sequence of keys of all orders in which inputs come first, so the least
    cell that can be placed is always placed next. Two cells tie only if they are twins (same inputs, layers,
    combiner, inclusion). Their readers may still differ, so each order of twins that are read is followed;
    a twin that nothing reads can always wait for them.
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
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"{source}: expected JSON, found none: {error}") from None
    if _field(document, "memnas_architecture", int, source) != FORMAT_VERSION:
        found = document["memnas_architecture"]
        raise ArchitectureError(f"{source}: expected version {FORMAT_VERSION} of the format, found {found}")
    blocks = []
    for number, entry in enumerate(_field(document, "blocks", list, source), start=1):
        place = f"{source}, block {number}"
        cells = tuple(
            _read_cell(cell, f"{place}, cell {position}")
            for position, cell in enumerate(_field(entry, "cells", list, place), start=1)
        )
        stride = _field(entry, "stride", int, place)
        try:
            blocks.append(Block(cells, stride))
        except ArchitectureError as error:
            raise ArchitectureError(f"{place}: {error}") from None
    filters = _field(document, "filters", int, source)
    if filters > MAX_FILTERS:
        raise ArchitectureError(f"{source}: filters: expected at most {MAX_FILTERS:,}, found more")
    try:
        return Architecture(tuple(blocks), filters)
    except ArchitectureError as error:
        raise ArchitectureError(f"{source}: {error}") from None


def _read_cell(entry: object, place: str) -> Cell:
    combiner = _field(entry, "combiner", str, place)
    if combiner not in set(Combiner):
        raise ArchitectureError(f"{place}: combiner: expected sum or concat, found {_shown(combiner)}")
    first, second = _read_branch(entry, "first", place), _read_branch(entry, "second", place)
    return Cell(first, second, Combiner(combiner), _field(entry, "included", bool, place))


def _read_branch(entry: object, name: str, place: str) -> Branch | None:
    if not isinstance(entry, dict) or name not in entry:
        raise ArchitectureError(f"{place}: {name}: expected [input, operation] or null, found nothing")
    value = entry[name]
    if value is None:
        return None
    match value:
        case [int() as number, str() as operation] if not isinstance(number, bool):
            if operation in set(Operation):
                return Branch(number, Operation(operation))
            known = ", ".join(Operation)
            raise ArchitectureError(f"{place}: {name}: expected one of {known}, found {_shown(operation)}")
    raise ArchitectureError(f"{place}: {name}: expected [input, operation] or null, found {_shown(value)}")


_T = TypeVar("_T")
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def _field(entry: object, name: str, kind: type[_T], place: str) -> _T:
    if not isinstance(entry, dict):
        raise ArchitectureError(f"{place}: expected an object with {name!r}, found {_shown(entry)}")
    if name not in entry:
        raise ArchitectureError(f"{place}: {name}: expected {_KINDS[kind]}, found nothing")
    value = entry[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ArchitectureError(f"{place}: {name}: expected {_KINDS[kind]}, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
