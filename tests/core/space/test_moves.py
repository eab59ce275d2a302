"""Growing and trimming: counts, cascades by hand, lineage, deduplication."""

import random

import pytest

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner, canonical
from memnas_core.space.moves import (
    Move,
    MoveKind,
    apply,
    available_inputs,
    edge_cuts,
    generate,
    growths,
    seed_architecture,
    trims,
)
from memnas_core.space.operations import OPERATIONS
from tests.core.random_architectures import random_walk, random_walks
from tests.core.space.move_counts import count_growths, count_trims

CONV, DEPTHWISE, *_, IDENTITY = OPERATIONS.basic
SUM, CONCAT = Combiner.SUM, Combiner.CONCAT


def cell(first: int | None, second: int | None, included: bool = True, combiner: Combiner = SUM) -> Cell:
    """Return a cell of convolutions that reads these inputs."""
    return Cell(
        None if first is None else Branch(first, CONV),
        None if second is None else Branch(second, CONV),
        combiner,
        included,
    )


def one_block(*cells: Cell) -> Architecture:
    return Architecture((Block(cells, 1),), 4)


# ---- Eq. 1 and Eq. 2


@pytest.mark.parametrize(
    ("cells_per_block", "expected"),
    [
        # |I| = 1 + the least number of cells, |L| = 7, |C| = 2
        ((1, 1, 1, 1, 1), 2**2 * 7**2 * 2**2),  # 784
        ((2, 2), 3**2 * 7**2 * 2**2),  # 1764
        ((6,), 7**2 * 7**2 * 2**2),  # 9604
        ((3, 1, 5), 2**2 * 7**2 * 2**2),  # only what all blocks have is available
    ],
)
def test_equation_1(cells_per_block: tuple[int, ...], expected: int) -> None:
    base = Architecture(tuple(Block((cell(0, 0),) * n, 1) for n in cells_per_block), 4)
    moves = list(growths(base))
    assert len(moves) == len({move.added for move in moves}) == expected
    assert count_growths(base) == expected
    assert available_inputs(base) == 1 + min(cells_per_block)
    added = [move.added for move in moves if move.added is not None]
    assert {branch.operation for new in added for branch in new.branches} == set(OPERATIONS.grown)


def test_equation_2_by_hand() -> None:
    base = Architecture(
        (
            # 3 + 2 + 1: a layer was cut from the second cell, and only that cell is included
            Block((cell(0, 0, included=False), cell(1, None)), 1),
            # 6 + 3 + 2
            Block((cell(0, 0), cell(1, 0, included=False), cell(2, 1)), 2),
        ),
        4,
    )
    assert count_trims(base) == 6 + 11
    moves = list(trims(base))
    assert len(moves) == len(set(moves)) == 17
    by_kind = {kind: sum(move.kind is kind for move in moves) for kind in MoveKind}
    assert by_kind[MoveKind.TRIM_LAYER] == 9
    assert by_kind[MoveKind.TRIM_CELL] == 5
    assert by_kind[MoveKind.TRIM_OUTPUT] == 3
    assert len(list(edge_cuts(base))) == 9, "one for each layer, on top of Eq. 2"


def test_enumerations_have_as_many_moves_as_the_formulas_count() -> None:
    for base in random_walks(seed=1, count=25):
        assert sum(1 for _ in growths(base)) == count_growths(base)
        assert sum(1 for _ in trims(base)) == count_trims(base)


# ---- growing


def test_growing_appends_the_same_cell_to_every_block() -> None:
    base = Architecture((Block((cell(0, 0),), 1), Block((cell(0, 0), cell(1, 0)), 2)), 4)
    added = Cell(Branch(1, DEPTHWISE), Branch(0, CONV), CONCAT, included=True)
    grown = apply(base, Move(MoveKind.GROW, added=added))
    assert grown is not None
    assert grown.filters == 4
    for before, after in zip(base.blocks, grown.blocks, strict=True):
        assert after.stride == before.stride
        assert after.cells[:-1] == before.cells
        assert after.cells[-1] == Cell(Branch(0, CONV), Branch(1, DEPTHWISE), CONCAT, included=True)


def test_growing_a_cell_that_nothing_uses_is_no_candidate() -> None:
    added = cell(0, 0, included=False)
    assert apply(seed_architecture((1,), 4), Move(MoveKind.GROW, added=added)) is None


def test_growing_never_proposes_the_identity() -> None:
    for move in growths(seed_architecture((1,), 4)):
        assert move.added is not None
        assert all(branch.operation is not IDENTITY for branch in move.added.branches)


# ---- trimming, by hand


@pytest.mark.parametrize(
    ("before", "move", "after"),
    [
        pytest.param(
            [cell(0, 0)],
            Move(MoveKind.TRIM_LAYER, 1, 1, 2),
            [Cell(Branch(0, CONV), Branch(0, IDENTITY), SUM, True)],
            id="a layer becomes an identity",
        ),
        pytest.param(
            [cell(0, 0), cell(1, 0)],
            Move(MoveKind.CUT_EDGE, 1, 2, 1),
            [cell(0, 0), cell(0, None)],
            id="a layer without input goes, and the cell keeps one",
        ),
        pytest.param(
            [cell(0, 0, included=False), cell(1, 0), cell(0, 0)],
            Move(MoveKind.CUT_EDGE, 1, 2, 1),
            [cell(0, None), cell(0, 0)],
            id="upstream: the cell that fed only that layer goes too",
        ),
        pytest.param(
            [cell(0, 0), cell(0, None)],
            Move(MoveKind.CUT_EDGE, 1, 2, 1),
            [cell(0, 0)],
            id="a cell without layers goes",
        ),
        pytest.param(
            [cell(0, 0), cell(1, 1), cell(0, 2), cell(3, 0)],
            Move(MoveKind.TRIM_CELL, 1, 1),
            # cell 2 read nothing else and goes, cell 3 loses its second layer
            [cell(0, None), cell(1, 0)],
            id="downstream: what loses all its inputs goes, the rest is renumbered",
        ),
        pytest.param(
            [cell(0, 0, included=False), cell(1, 1, included=False), cell(2, 2), cell(0, 0)],
            Move(MoveKind.TRIM_OUTPUT, 1, 3),
            [cell(0, 0)],
            id="upstream: a chain that feeds nothing goes to its root",
        ),
        pytest.param(
            [cell(0, 0), cell(1, 0)],
            Move(MoveKind.TRIM_OUTPUT, 1, 1),
            [cell(0, 0, included=False), cell(1, 0)],
            id="a cell that is still read leaves only the output",
        ),
        pytest.param(
            [cell(0, 0, included=False), cell(1, 0), cell(1, 0, combiner=CONCAT), cell(3, 2)],
            Move(MoveKind.TRIM_CELL, 1, 2),
            [cell(0, 0, included=False), cell(1, 0, combiner=CONCAT), cell(2, None)],
            id="a cell that another one still reads stays",
        ),
        pytest.param([cell(0, 0)], Move(MoveKind.TRIM_CELL, 1, 1), None, id="nothing is left: cell"),
        pytest.param([cell(0, 0)], Move(MoveKind.TRIM_OUTPUT, 1, 1), None, id="nothing is left: output"),
        pytest.param([cell(0, None)], Move(MoveKind.CUT_EDGE, 1, 1, 1), None, id="nothing is left: edge"),
        pytest.param(
            [cell(0, 0, included=False), cell(1, 1)],
            Move(MoveKind.TRIM_CELL, 1, 1),
            None,
            id="nothing is left after the cascade",
        ),
    ],
)
def test_trims_by_hand(before: list[Cell], move: Move, after: list[Cell] | None) -> None:
    found = apply(one_block(*before), move)
    if after is None:
        assert found is None
    else:
        assert found is not None
        assert found.blocks[0].cells == tuple(new.ordered() for new in after)


def test_trimming_changes_one_block_only() -> None:
    base = random_walk(random.Random(3), 8, strides=(1, 2, 1))
    for move in [*trims(base), *edge_cuts(base)]:
        found = apply(base, move)
        if found is not None:
            changed = [a != b for a, b in zip(base.blocks, found.blocks, strict=True)]
            assert [n for n, flag in enumerate(changed, start=1) if flag] in ([], [move.block])
            assert found.blocks[move.block - 1].stride == base.blocks[move.block - 1].stride


Layers = dict[tuple[int, int], Branch]
"""(cell number, branch 1 or 2) -> what is there."""


def trees(block: Block, layers: Layers, alive: set[int], included: set[int]) -> list[str]:
    """Return each cell that is alive as text that holds all cells above it, so that numbers do not matter."""

    def tree(number: int) -> str:
        if number == 0:
            return "input"
        own = sorted(
            f"{branch.operation}({tree(branch.input)})" for (other, _), branch in layers.items() if other == number
        )
        combiner = block.cells[number - 1].combiner if len(own) == 2 else "alone"
        return f"{combiner} {own} {number in included}"

    return sorted(tree(number) for number in alive)


def parts(block: Block) -> tuple[Layers, set[int], set[int]]:
    """Return a block's layers, its cells and those that are included in the output."""
    numbered = dict(enumerate(block.cells, start=1))
    layers = {
        (number, side): branch
        for number, one in numbered.items()
        for side, branch in ((1, one.first), (2, one.second))
        if branch is not None
    }
    return layers, set(numbered), {number for number, one in numbered.items() if one.included}


def naive_trim(block: Block, move: Move) -> list[str] | None:
    """Trim by removing one useless thing at a time until none is left; nothing is shared with `grow_trim`."""
    layers, alive, included = parts(block)
    place = move.cell, move.branch
    if move.kind is MoveKind.TRIM_LAYER:
        layers[place] = Branch(layers[place].input, IDENTITY)
    elif move.kind is MoveKind.CUT_EDGE:
        del layers[place]
    elif move.kind is MoveKind.TRIM_CELL:
        alive.remove(move.cell)
    else:
        included.remove(move.cell)
    while True:
        headless = [
            (number, side)
            for (number, side), branch in layers.items()
            if number not in alive or (branch.input and branch.input not in alive)
        ]
        if headless:
            del layers[headless[0]]
            continue
        fed = included | {branch.input for branch in layers.values()}
        with_layers = {number for number, _ in layers}
        useless = [number for number in alive if number not in fed & with_layers]
        if not useless:
            return trees(block, layers, alive, included) if alive & included else None
        alive.remove(useless[0])


def test_trims_agree_with_naive_removal() -> None:
    checked = invalid = 0
    for base in random_walks(seed=4, count=60, moves=12):
        for move in [*trims(base), *edge_cuts(base)]:
            found = apply(base, move)
            left = found and trees(found.blocks[move.block - 1], *parts(found.blocks[move.block - 1]))
            assert left == naive_trim(base.blocks[move.block - 1], move)
            checked += 1
            invalid += found is None
    assert checked > 1000
    assert invalid > 20


# ---- a round


def test_counts_of_the_first_round_by_hand() -> None:
    base = seed_architecture((1, 2, 1, 2, 1), 16)
    candidates, counts = generate(base, round_number=1)
    # 14 branches (2 inputs x 7 operations): 14 * 15 / 2 = 105 unordered pairs, times sum and concat. The half
    # of 784 that is not included is invalid, the rest repeats a swapped pair.
    assert counts.grown == 784
    # Each of 5 blocks has 2 layers, 1 cell and 1 output. Either layer gives the same network; without its
    # only cell or output a block is none.
    assert counts.trimmed == 5 * 4
    assert counts.cut == 5 * 2
    assert counts.invalid == 392 + 5 * 2
    assert counts.duplicates == (392 - 210) + 5 + 5
    assert counts.unique == len(candidates) == 210 + 5 + 5


def test_candidates_are_new_valid_and_different() -> None:
    base = random_walk(random.Random(6), 9, strides=(1, 2))
    candidates, counts = generate(base, round_number=3)
    ids = [candidate.arch_id for candidate in candidates]
    assert len(set(ids)) == len(ids) == counts.unique
    assert base.arch_id not in ids
    assert len({canonical(candidate.architecture) for candidate in candidates}) == len(ids)
    for candidate in candidates:
        assert candidate.arch_id == candidate.architecture.arch_id
        assert candidate.parent_id == base.arch_id
        assert candidate.round == 3


def test_lineage_names_the_move() -> None:
    base = one_block(cell(0, 0), cell(1, 0, combiner=CONCAT))
    candidates, _ = generate(base, 1)
    by_move = {candidate.words: candidate.architecture for candidate in candidates}
    grown = by_move["grow 0:conv_3x3 2:max_pool_3x3 concat"]
    assert grown.blocks[0].cells[-1] == Cell(Branch(0, CONV), Branch(2, ops.MAX_POOL_3X3), CONCAT, included=True)
    assert by_move["trim_layer b1 c2 l1"].blocks[0].cells[1] == Cell(
        Branch(0, CONV), Branch(1, IDENTITY), CONCAT, included=True
    )
    assert by_move["trim_cell b1 c2"].blocks[0].cells == (cell(0, 0),)
    assert by_move["trim_output b1 c1"].blocks[0].cells[0] == cell(0, 0, included=False)
    assert by_move["cut_edge b1 c2 l1"].blocks[0].cells[1] == cell(0, None)


def test_every_move_of_a_round_leads_to_a_candidate_or_a_known_network() -> None:
    base = random_walk(random.Random(8), 5, strides=(1, 2))
    candidates, counts = generate(base, 1)
    known = {base.arch_id} | {candidate.arch_id for candidate in candidates}
    invalid = 0
    for move in [*growths(base), *trims(base), *edge_cuts(base)]:
        architecture = apply(base, move)
        invalid += architecture is None
        assert architecture is None or architecture.arch_id in known
    assert invalid == counts.invalid


def test_known_networks_are_no_candidates_again() -> None:
    base = seed_architecture((1, 2), 4)
    candidates, counts = generate(base, 1)
    known = {candidate.arch_id for candidate in candidates[::3]}
    fewer, fewer_counts = generate(base, 2, known=known)
    assert {c.arch_id for c in fewer} == {c.arch_id for c in candidates} - known
    assert fewer_counts.duplicates == counts.duplicates + len(known)
    assert fewer_counts.unique == len(fewer)


def test_the_same_round_twice_is_the_same() -> None:
    base = random_walk(random.Random(9), 6)
    assert generate(base, 1) == generate(base, 1)
