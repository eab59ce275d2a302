"""A cell as the paper's five binary vectors.

Source: section 3.1, with an eighth bit of L for the identity.
"""

from collections.abc import Sequence
from typing import NamedTuple

from memnas_core.errors import ArchitectureError
from memnas_core.space.architecture import Branch, Cell, Combiner
from memnas_core.space.operations import OPERATIONS, Operation


class CellTuple(NamedTuple):
    """A cell as the paper's five binary vectors, written as strings of 0 and 1, highest bit first."""

    i1: str
    i2: str
    l1: str
    l2: str
    o: str


def encode_cell(cell: Cell, inputs: int, operations: Sequence[Operation] | None = None) -> CellTuple:
    """Return a cell's five binary vectors.

    Args:
        cell: The cell.
        inputs: Width of I1 and I2, one bit for the block's input and for each cell that can be read.
        operations: Operations that have a bit of L, the lowest first; None: all that are not optional.

    Returns:
        I one-hot over `inputs`, L one-hot over the operations, O as concat, included, sum. For a
        removed branch both I and L are all zeros.
    """
    known = OPERATIONS.basic if operations is None else operations
    i1, l1 = _encode_branch(cell.first, inputs, known)
    i2, l2 = _encode_branch(cell.second, inputs, known)
    is_concat = cell.combiner is Combiner.CONCAT
    return CellTuple(i1, i2, l1, l2, f"{is_concat:d}{cell.included:d}{not is_concat:d}")


def _encode_branch(branch: Branch | None, inputs: int, operations: Sequence[Operation]) -> tuple[str, str]:
    if branch is None:
        return "0" * inputs, "0" * len(operations)
    if branch.input >= inputs:
        raise ArchitectureError(f"input {branch.input}: expected less than {inputs}, the width of I")
    if branch.operation not in operations:
        raise ArchitectureError(f"expected one of {', '.join(operations)}, found {str(branch.operation)!r}")
    bit = operations.index(branch.operation)
    return f"{1 << branch.input:0{inputs}b}", f"{1 << bit:0{len(operations)}b}"
