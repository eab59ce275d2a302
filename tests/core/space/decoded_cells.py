"""A cell read back from the paper's five vectors, to see that nothing is lost in them."""

from memnas_core.space.architecture import Branch, Cell, Combiner
from memnas_core.space.cell_vectors import CellTuple
from memnas_core.space.operations import OPERATIONS


def decoded(vectors: CellTuple) -> Cell:
    """Return the cell that five vectors stand for."""
    concat, included, total = vectors.o
    assert concat != total
    first, second = _branch(vectors.i1, vectors.l1), _branch(vectors.i2, vectors.l2)
    return Cell(first, second, Combiner.CONCAT if concat == "1" else Combiner.SUM, included == "1")


def _branch(input_bits: str, operation_bits: str) -> Branch | None:
    ones = input_bits.count("1"), operation_bits.count("1")
    assert ones in ((0, 0), (1, 1))
    if ones == (0, 0):
        return None
    return Branch(input_bits[::-1].index("1"), tuple(OPERATIONS)[operation_bits[::-1].index("1")])
