"""The search space, seen from outside: tuples, ids, JSON, and what is refused."""

import itertools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.architecture import (
    OPERATIONS,
    Architecture,
    Block,
    Branch,
    Cell,
    CellTuple,
    Combiner,
    Operation,
    canonical,
    decode_cell,
    encode_cell,
    from_json,
    to_json,
)
from memnas_core.errors import ArchitectureError
from memnas_core.grow_trim import seed_architecture
from tests.core.random_architectures import random_walk, random_walks, shuffled

CONV, DEPTHWISE, DEPTHWISE_5, FACTORIZED, *_, IDENTITY = OPERATIONS
SUM, CONCAT = Combiner.SUM, Combiner.CONCAT


# ---- the five vectors


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


# ---- what a block and an architecture may be

ONE = Cell(Branch(0, CONV), Branch(0, CONV), SUM, included=True)


@pytest.mark.parametrize(
    ("block_cells", "stride", "words"),
    [
        ((ONE,), 3, "stride: expected 1 or 2, found 3"),
        ((), 1, "cells: expected at least one that is included"),
        ((ONE, Cell(None, None, SUM, True)), 1, "cell 2: expected one or two branches, found none"),
        ((Cell(Branch(1, CONV), None, SUM, True),), 1, "cell 1: expected an input from 0 to 0, found 1"),
        ((Cell(Branch(-1, CONV), None, SUM, True),), 1, "cell 1: expected an input from 0 to 0, found -1"),
        ((ONE, ONE._replace(included=False)), 1, "cell 2: .* it is neither"),
        ((ONE._replace(included=False),), 1, "cell 1: .* it is neither"),
    ],
)
def test_impossible_blocks_are_refused(block_cells: tuple[Cell, ...], stride: int, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words):
        Block(block_cells, stride)


def test_impossible_architectures_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="blocks: expected at least one, found none"):
        Architecture((), 4)
    with pytest.raises(ArchitectureError, match="filters: expected a positive number, found 0"):
        Architecture((Block((ONE,), 1),), 0)


def test_reduction_is_the_product_of_strides() -> None:
    assert seed_architecture((1, 2, 1, 2, 2), 4).reduction == 8


# ---- ids


def naive_class(block: Block) -> str:
    """Return the least spelling of a block over all orders of its cells and of their branches.

    Brute force over all n! orders, written without a look at how ids are made: blocks are isomorphic if and
    only if their least spellings are equal.
    """
    count = len(block.cells)
    spellings = []
    for order in itertools.permutations(range(1, count + 1)):
        place = {0: 0} | {number: position for position, number in enumerate(order, start=1)}
        cells = []
        for number in order:
            cell = block.cells[number - 1]
            branches = sorted(f"{place[b.input]}:{b.operation}" for b in (cell.first, cell.second) if b)
            combiner = cell.combiner if len(branches) == 2 else "alone"
            if any(place[b.input] >= place[number] for b in (cell.first, cell.second) if b):
                break  # no valid order
            cells.append(f"{branches}{combiner}{cell.included}")
        else:
            spellings.append("|".join(cells))
    return f"{block.stride}/{min(spellings)}"


def small_blocks(count: int) -> list[Block]:
    """Return random blocks of one to five cells with one or two operations, so that many are alike."""
    rng = random.Random(1)
    found = []
    for _ in range(count):
        operations = rng.choice(((CONV,), (CONV, DEPTHWISE)))
        cells: list[Cell] = []
        for number in range(rng.randint(1, 5)):
            # Low inputs make twins, and twins with different readers.
            first, second = (
                Branch(min(rng.randint(0, number), rng.randint(0, number)), rng.choice(operations)) for _ in range(2)
            )
            gone = rng.random()
            cells.append(
                Cell(
                    first if gone > 0.1 else None,
                    second if not 0.1 < gone < 0.2 else None,
                    rng.choice((SUM, SUM, CONCAT)),
                    rng.random() < 0.5,
                )
            )
        read = {b.input for cell in cells for b in cell.branches}
        cells = [c._replace(included=c.included or n not in read) for n, c in enumerate(cells, start=1)]
        found.append(Block(tuple(cells), rng.choice((1, 1, 2))))
    return found


def test_ids_are_equal_exactly_where_blocks_are_isomorphic() -> None:
    blocks = small_blocks(900)
    by_class: dict[str, set[str]] = {}
    for block in blocks:
        by_class.setdefault(naive_class(block), set()).add(Architecture((block,), 4).arch_id)
    assert all(len(ids) == 1 for ids in by_class.values()), "isomorphic blocks with different ids"
    assert len(set().union(*by_class.values())) == len(by_class), "one id for different blocks"
    assert 200 < len(by_class) < 700, "the sample should hold both isomorphic and different blocks"


def test_twins_with_different_readers_share_an_id_in_either_order() -> None:
    # Cells 1 and 2 are twins; one is read by a cell that sums, the other by one that concatenates.
    twin = Cell(Branch(0, CONV), Branch(0, CONV), SUM, included=True)
    ids = {
        Architecture(
            (
                Block(
                    (
                        twin,
                        twin,
                        Cell(Branch(a, CONV), Branch(a, CONV), SUM, included=True),
                        Cell(Branch(b, CONV), Branch(b, CONV), CONCAT, included=True),
                    ),
                    1,
                ),
            ),
            4,
        ).arch_id
        for a, b in ((1, 2), (2, 1))
    }
    assert len(ids) == 1


def test_many_twins_take_no_time() -> None:
    # Nine twins have 362,880 orders; nothing reads them, so one order will do.
    twin = Cell(Branch(0, CONV), Branch(0, CONV), SUM, included=True)
    reader = Cell(Branch(4, CONV), Branch(7, CONV), SUM, included=True)
    ids = {Architecture((Block((*[twin] * n, reader), 1),), 4).arch_id for n in (8, 9)}
    assert len(ids) == 2


def test_shuffled_architectures_keep_their_id_and_canonical_form() -> None:
    rng = random.Random(2)
    for number in range(300):
        operations = ((CONV,), (CONV, DEPTHWISE), OPERATIONS[:-1])[number % 3]
        architecture = random_walk(rng, rng.randint(1, 12), (1, 2), operations=operations)
        other = shuffled(rng, architecture)
        assert other.arch_id == architecture.arch_id
        assert canonical(other) == canonical(architecture)
        assert canonical(architecture).arch_id == architecture.arch_id
        assert canonical(canonical(architecture)) == canonical(architecture)


def test_ids_tell_filters_strides_and_order_of_blocks_apart() -> None:
    two = Cell(Branch(0, CONV), Branch(0, DEPTHWISE), SUM, included=True)
    blocks = Block((ONE,), 1), Block((two,), 1), Block((ONE,), 2)
    ids = {Architecture(chosen, filters).arch_id for chosen in itertools.product(blocks, blocks) for filters in (4, 8)}
    assert len(ids) == 18


def test_a_cell_with_one_branch_has_no_combiner() -> None:
    alone = [
        Cell(first, second, combiner, included=True)
        for first, second in ((Branch(0, CONV), None), (None, Branch(0, CONV)))
        for combiner in Combiner
    ]
    assert len({Architecture((Block((cell,), 1),), 4).arch_id for cell in alone}) == 1


def test_ids_stay_what_they_are() -> None:
    """Ids are in users' files: a change of these is a change of the format."""
    assert seed_architecture((1, 2, 1, 2, 1), 16).arch_id == "ef8d7e67d473afe0"
    assert random_walk(random.Random(5), 12).arch_id == "0fce6c2a6bd12a91"


def test_random_walks_do_not_collide() -> None:
    by_json: dict[str, str] = {}
    for architecture in random_walks(seed=3, count=300):
        text = to_json(canonical(architecture))
        assert by_json.setdefault(architecture.arch_id, text) == text


# ---- JSON


@given(st.integers(0, 10_000))
def test_json_round_trips(seed: int) -> None:
    rng = random.Random(seed)
    architecture = shuffled(rng, random_walk(rng, rng.randint(0, 10), rng.choices((1, 2), k=3)))
    text = to_json(architecture)
    assert "\n" not in text
    assert from_json(text) == architecture
    assert from_json(text).arch_id == architecture.arch_id


def test_json_by_hand() -> None:
    text = """
    {"memnas_architecture": 1, "filters": 16, "blocks": [{"stride": 2, "cells": [
        {"first": [0, "conv_3x3"], "second": null, "combiner": "sum", "included": false},
        {"first": [1, "identity"], "second": [0, "max_pool_3x3"], "combiner": "concat", "included": true}]}]}
    """
    first = Cell(Branch(0, CONV), None, SUM, included=False)
    second = Cell(Branch(1, IDENTITY), Branch(0, Operation.MAX_POOL_3X3), CONCAT, included=True)
    assert from_json(text) == Architecture((Block((first, second), 2),), 16)


GOOD = json.loads(to_json(seed_architecture((1, 2), 4)))
DELETED = object()


def broken(path: tuple[str | int, ...], value: object) -> str:
    """Return good JSON with one value replaced or deleted."""
    document = json.loads(json.dumps(GOOD))
    target = document
    for key in path[:-1]:
        target = target[key]
    if value is DELETED:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return json.dumps(document)


FIRST_CELL = ("blocks", 0, "cells", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net.json: expected JSON, found none"),
        ('{"memnas_architecture": 1,', "net.json: expected JSON, found none"),
        ("[" * 100_000, "net.json: expected JSON, found none"),
        ("9" * 5000, "net.json: expected JSON, found none"),
        ("[]", "net.json: expected an object with 'memnas_architecture', found []"),
        ("null", "net.json: expected an object with 'memnas_architecture', found null"),
        ("{}", "net.json: memnas_architecture: expected a whole number, found nothing"),
        (broken(("memnas_architecture",), 2), "net.json: expected version 1 of the format, found 2"),
        (
            broken(("memnas_architecture",), True),
            "net.json: memnas_architecture: expected a whole number, found true",
        ),
        (broken(("filters",), 0), "net.json: filters: expected a positive number, found 0"),
        (broken(("filters",), "4"), 'net.json: filters: expected a whole number, found "4"'),
        (broken(("filters",), 4.0), "net.json: filters: expected a whole number, found 4.0"),
        (broken(("filters",), DELETED), "net.json: filters: expected a whole number, found nothing"),
        (broken(("blocks",), []), "net.json: blocks: expected at least one, found none"),
        (broken(("blocks",), {}), "net.json: blocks: expected a list, found {}"),
        (broken(("blocks", 1), 7), "net.json, block 2: expected an object with 'cells', found 7"),
        (broken(("blocks", 1, "stride"), 4), "net.json, block 2: stride: expected 1 or 2, found 4"),
        (
            broken(("blocks", 0, "stride"), True),
            "net.json, block 1: stride: expected a whole number, found true",
        ),
        (
            broken(("blocks", 0, "cells"), []),
            "net.json, block 1: cells: expected at least one that is included",
        ),
        (
            broken((*FIRST_CELL, "combiner"), "product"),
            'net.json, block 1, cell 1: combiner: expected sum or concat, found "product"',
        ),
        (
            broken((*FIRST_CELL, "included"), 1),
            "net.json, block 1, cell 1: included: expected true or false, found 1",
        ),
        (
            broken((*FIRST_CELL, "first"), [0, "conv_9x9"]),
            "net.json, block 1, cell 1: first: expected one of conv_3x3, depthwise_3x3,",
        ),
        (
            broken((*FIRST_CELL, "first"), ["conv_3x3", 0]),
            "net.json, block 1, cell 1: first: expected [input, operation] or null, found [",
        ),
        (
            broken((*FIRST_CELL, "second"), DELETED),
            "net.json, block 1, cell 1: second: expected [input, operation] or null, found nothing",
        ),
        (
            broken((*FIRST_CELL, "first"), [5, "conv_3x3"]),
            "net.json, block 1: cell 1: expected an input from 0 to 0, found 5",
        ),
    ],
)
def test_bad_json_says_where_what_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        from_json(text, source="net.json")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
