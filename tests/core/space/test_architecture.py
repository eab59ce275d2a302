"""Blocks, architectures and their ids, seen from outside."""

import itertools
import random

import pytest

from memnas_core.errors import ArchitectureError
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner, canonical
from memnas_core.space.architecture_json import to_json
from memnas_core.space.moves import seed_architecture
from memnas_core.space.operations import OPERATIONS
from tests.core.random_architectures import random_walk, random_walks, shuffled

CONV, DEPTHWISE, *_ = OPERATIONS
SUM, CONCAT = Combiner.SUM, Combiner.CONCAT


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
        operations = ((CONV,), (CONV, DEPTHWISE), OPERATIONS.grown)[number % 3]
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
    for architecture in (*random_walks(seed=3, count=300), *random_walks(seed=3, count=300, widths=True)):
        text = to_json(canonical(architecture))
        assert by_json.setdefault(architecture.arch_id, text) == text
