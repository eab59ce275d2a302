"""The paper's five vectors of a cell, by hand, and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.errors import ArchitectureError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Branch, Cell, Combiner
from memnas_core.space.cell_vectors import CellTuple, encode_cell
from memnas_core.space.operations import OPERATIONS
from tests.core.space.decoded_cells import decoded

CONV, DEPTHWISE, DEPTHWISE_5, FACTORIZED, *_, IDENTITY = OPERATIONS.basic
SUM, CONCAT = Combiner.SUM, Combiner.CONCAT


@pytest.mark.parametrize(
    ("cell", "vectors"),
    [
        # Figure 1(b): three cells, so four inputs r1 r4 r7 r10, of which r1 is 0001 and r4 is 0010. C1 reads
        # r1 twice (Dep 3x3 and Fac 1x7), C2 reads r4 and r1. O: 001 sums and is not included, 110
        # concatenates and is included.
        (
            Cell(Branch(0, DEPTHWISE), Branch(0, FACTORIZED), SUM, included=False),
            CellTuple("0001", "0001", "00000010", "00001000", "001"),
        ),
        (
            Cell(Branch(1, CONV), Branch(0, DEPTHWISE_5), CONCAT, included=True),
            CellTuple("0010", "0001", "00000001", "00000100", "110"),
        ),
        # The two values of O that the figure does not show.
        (
            Cell(Branch(2, CONV), Branch(2, CONV), SUM, included=True),
            CellTuple("0100", "0100", "00000001", "00000001", "011"),
        ),
        (
            Cell(Branch(0, CONV), Branch(3, CONV), CONCAT, included=False),
            CellTuple("0001", "1000", "00000001", "00000001", "100"),
        ),
        # Trimming: the identity is the eighth bit, and a layer that was cut away is all zeros.
        (
            Cell(Branch(0, IDENTITY), None, SUM, included=True),
            CellTuple("0001", "0000", "10000000", "00000000", "011"),
        ),
        (
            Cell(None, Branch(1, IDENTITY), CONCAT, included=True),
            CellTuple("0000", "0010", "00000000", "10000000", "110"),
        ),
    ],
)
def test_tuples_by_hand(cell: Cell, vectors: CellTuple) -> None:
    assert encode_cell(cell, inputs=4) == vectors


def test_operations_have_the_bits_of_section_3_1() -> None:
    bits = {
        ops.CONV_3X3: "00000001",
        ops.DEPTHWISE_3X3: "00000010",
        ops.DEPTHWISE_5X5: "00000100",
        ops.FACTORIZED_7X7: "00001000",
        ops.AVERAGE_POOL_3X3: "00010000",
        ops.MAX_POOL_3X3: "00100000",
        ops.DILATED_3X3: "01000000",
        ops.IDENTITY: "10000000",
    }
    for operation, expected in bits.items():
        assert encode_cell(Cell(Branch(0, operation), None, SUM, True), 1).l1 == expected


branches = st.builds(Branch, st.integers(0, 7), st.sampled_from(OPERATIONS.basic))
cells = st.builds(Cell, st.none() | branches, st.none() | branches, st.sampled_from(Combiner), st.booleans()).filter(
    lambda cell: cell.branches != ()
)


@given(cells, st.integers(8, 12))
def test_tuples_round_trip(cell: Cell, inputs: int) -> None:
    vectors = encode_cell(cell, inputs)
    assert [len(vector) for vector in vectors] == [inputs, inputs, 8, 8, 3]
    assert decoded(vectors) == cell


def test_an_input_beyond_the_width_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="input 4: expected less than 4"):
        encode_cell(Cell(Branch(4, CONV), None, SUM, True), inputs=4)
