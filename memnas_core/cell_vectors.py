"""A cell as the paper's five binary vectors, and back.

Source: section 3.1, with an eighth bit of L for the identity.
"""

from typing import NamedTuple

from memnas_core.architecture import OPERATIONS, Branch, Cell, Combiner
from memnas_core.errors import ArchitectureError


class CellTuple(NamedTuple):
    """A cell as the paper's five binary vectors, written as strings of 0 and 1, highest bit first."""

    i1: str
    i2: str
    l1: str
    l2: str
    o: str


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
    return f"{1 << branch.input:0{inputs}b}", f"{1 << OPERATIONS.index(branch.operation):0{len(OPERATIONS)}b}"


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
