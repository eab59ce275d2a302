"""The paper's five vectors of a cell, by hand and there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.architecture import OPERATIONS, Branch, Cell, Combiner, Operation
from memnas_core.cell_vectors import CellTuple, decode_cell, encode_cell
from memnas_core.errors import ArchitectureError

CONV, DEPTHWISE, DEPTHWISE_5, FACTORIZED, *_, IDENTITY = OPERATIONS
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
    assert decode_cell(vectors) == cell


def test_operations_have_the_bits_of_section_3_1() -> None:
    bits = {
        Operation.CONV_3X3: "00000001",
        Operation.DEPTHWISE_3X3: "00000010",
        Operation.DEPTHWISE_5X5: "00000100",
        Operation.FACTORIZED_7X7: "00001000",
        Operation.AVERAGE_POOL_3X3: "00010000",
        Operation.MAX_POOL_3X3: "00100000",
        Operation.DILATED_3X3: "01000000",
        Operation.IDENTITY: "10000000",
    }
    for operation, expected in bits.items():
        assert encode_cell(Cell(Branch(0, operation), None, SUM, True), 1).l1 == expected


branches = st.builds(Branch, st.integers(0, 7), st.sampled_from(OPERATIONS))
cells = st.builds(Cell, st.none() | branches, st.none() | branches, st.sampled_from(Combiner), st.booleans()).filter(
    lambda cell: cell.branches != ()
)


@given(cells, st.integers(8, 12))
def test_tuples_round_trip(cell: Cell, inputs: int) -> None:
    vectors = encode_cell(cell, inputs)
    assert [len(vector) for vector in vectors] == [inputs, inputs, 8, 8, 3]
    assert decode_cell(vectors) == cell


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (CellTuple("01", "01", "00000001", "00000001", "111"), "O: expected one of 001, 011, 100, 110"),
        (CellTuple("01", "01", "00000001", "00000001", "101"), "O: expected one of"),
        (CellTuple("01", "01", "00000001", "00000001", "000"), "O: expected one of"),
        (CellTuple("11", "01", "00000001", "00000001", "001"), "I1: expected at most one 1"),
        (CellTuple("01", "0x", "00000001", "00000001", "001"), "I2: expected at most one 1"),
        (CellTuple("01", "01", "0000001", "00000001", "001"), "L1: expected 8 bits"),
        (CellTuple("01", "01", "00000001", "00000011", "001"), "L2: expected at most one 1"),
        (CellTuple("00", "01", "00000001", "00000001", "001"), "I1, L1: expected both or neither"),
        (CellTuple("01", "01", "00000001", "00000000", "001"), "I2, L2: expected both or neither"),
    ],
)
def test_impossible_tuples_are_refused(vectors: CellTuple, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words):
        decode_cell(vectors)


def test_an_input_beyond_the_width_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="input 4: expected less than 4"):
        encode_cell(Cell(Branch(4, CONV), None, SUM, True), inputs=4)
