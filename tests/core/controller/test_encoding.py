"""Cell tokens against hand-written bits, and the prefix tree against sets of prefixes built one by one."""

import numpy as np
import pytest

from memnas_core.controller.encoding import PrefixTree, Token, TokenLayout, cell_major, layout_of, prefix_tree
from memnas_core.errors import ArchitectureError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.cell_vectors import CellTuple
from memnas_core.space.moves import generate, seed_architecture
from tests.core.random_architectures import distinct_walks
from tests.core.space.decoded_cells import decoded

CONV = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.CONV_3X3), Combiner.SUM, included=True)
LATER = Cell(Branch(0, ops.MAX_POOL_3X3), Branch(1, ops.CONV_3X3), Combiner.CONCAT, included=True)
CUT = Cell(Branch(1, ops.IDENTITY), None, Combiner.SUM, included=True)


def sequence(architecture: Architecture) -> tuple[Token, ...]:
    return tuple(token.ordered() for token in cell_major(architecture))


def path_bits(tree: PrefixTree, end: int) -> list[list[float]]:
    """Follow parents from a node to the root; return the tokens' bits from the root on."""
    depth = 0
    while end >= len(tree.levels[depth].token):
        end -= len(tree.levels[depth].token)
        depth += 1
    bits = []
    for level in reversed(tree.levels[: depth + 1]):
        bits.append(tree.tokens[level.token[end]].tolist())
        end = int(level.parent[end])
    return bits[::-1]


def test_token_by_hand() -> None:
    layout = TokenLayout(inputs=2, blocks=3)
    #          I1    I2    L1          L2          O     block stride
    expected = "011000100000000000011100101"
    bits = Token(1, 2, LATER).bits(layout)
    assert "".join(f"{bit:.0f}" for bit in bits) == expected
    #              I1    I2    L1          L2          O     block stride
    cut_expected = "100010000000000000000110010"
    assert "".join(f"{bit:.0f}" for bit in Token(2, 1, CUT).bits(layout)) == cut_expected
    assert layout.width == len(expected)


def test_tokens_decode_to_their_cells() -> None:
    architectures = distinct_walks(60, seed=1)
    layout = layout_of(architectures)
    parts = np.cumsum([layout.inputs, layout.inputs, 8, 8, 3, layout.blocks])
    for architecture in architectures:
        for token in sequence(architecture):
            *vectors, block, stride = np.split(token.bits(layout).astype(int), parts)
            cell = decoded(CellTuple(*("".join(map(str, vector)) for vector in vectors)))
            assert cell == token.cell
            assert block.tolist() == [number == token.block for number in range(layout.blocks)]
            assert stride.tolist() == [architecture.blocks[token.block].stride == 2]


def test_order_is_cell_major_with_blocks_of_different_lengths() -> None:
    architecture = Architecture((Block((CONV, LATER), 1), Block((CONV,), 2), Block((CONV, LATER, CUT), 1)), 4)
    places = [(token.block, token.stride, token.cell) for token in cell_major(architecture)]
    assert places == [(0, 1, CONV), (1, 2, CONV), (2, 1, CONV), (0, 1, LATER), (2, 1, LATER), (2, 1, CUT)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tree_holds_each_distinct_prefix_once(seed: int) -> None:
    architectures = distinct_walks(80, seed)
    tree = prefix_tree(architectures, layout_of(architectures))
    sequences = [sequence(architecture) for architecture in architectures]
    prefixes = {tokens[:length] for tokens in sequences for length in range(1, len(tokens) + 1)}
    assert tree.nodes == len(prefixes)
    for depth, level in enumerate(tree.levels, start=1):
        assert len(level.token) == sum(len(prefix) == depth for prefix in prefixes)
    assert len(tree.tokens) == len({token for tokens in sequences for token in tokens})


def test_path_to_an_architectures_end_is_its_sequence() -> None:
    architectures = distinct_walks(60, seed=4)
    layout = layout_of(architectures)
    tree = prefix_tree(architectures, layout)
    for architecture, end in zip(architectures, tree.ends.tolist(), strict=True):
        expected = [token.bits(layout).tolist() for token in sequence(architecture)]
        assert path_bits(tree, end) == expected


@pytest.mark.parametrize("cells", [1, 4])
def test_a_rounds_work_does_not_grow_with_the_shared_base(cells: int) -> None:
    strides = (1, 2, 1, 2, 1)
    base = seed_architecture(strides, filters=4)
    for _ in range(cells - 1):
        base = Architecture(tuple(Block((*block.cells, CONV), block.stride) for block in base.blocks), 4)
    candidates, counts = generate(base, round_number=1)
    grown = [candidate.architecture for candidate in candidates if candidate.is_grown]
    tree = prefix_tree(grown, layout_of(grown))
    # The base's cells once for all, then for each grown candidate its own new cell in each block.
    assert tree.nodes == len(strides) * cells + len(strides) * len(grown)
    naive = sum(len(block.cells) for architecture in grown for block in architecture.blocks)
    assert naive == len(strides) * (cells + 1) * len(grown)
    assert counts.unique == len(candidates)
    assert len(grown) > 100


def test_equal_and_swapped_candidates_cost_nothing() -> None:
    architectures = distinct_walks(30, seed=6)
    swapped = [
        Architecture(
            tuple(
                Block(
                    tuple(cell._replace(first=cell.second, second=cell.first) for cell in block.cells),
                    block.stride,
                )
                for block in architecture.blocks
            ),
            architecture.filters,
        )
        for architecture in architectures
    ]
    layout = layout_of(architectures)
    once, twice = prefix_tree(architectures, layout), prefix_tree([*architectures, *swapped], layout)
    assert twice.nodes == once.nodes
    np.testing.assert_array_equal(twice.ends, np.tile(once.ends, 2))


def test_columns_of_later_inputs_make_wide_tokens_narrow() -> None:
    narrow, wide = TokenLayout(inputs=2, blocks=3), TokenLayout(inputs=5, blocks=3)
    for cell in (CONV, LATER, CUT):
        token = Token(0, 2, cell)
        trimmed = np.delete(token.bits(wide), wide.input_columns(2))
        np.testing.assert_array_equal(trimmed, token.bits(narrow))
    assert wide.input_columns(5) == []


def test_swapped_columns_are_the_cell_with_its_branches_swapped() -> None:
    layout = TokenLayout(inputs=3, blocks=2)
    for cell in (CONV, LATER, CUT):
        swapped = cell._replace(first=cell.second, second=cell.first)
        expected = Token(1, 2, swapped).bits(layout)
        np.testing.assert_array_equal(Token(1, 2, cell).bits(layout)[layout.swapped_columns], expected)


def test_layout_is_the_narrowest() -> None:
    deepest = Block((CONV, LATER, CUT), 1)
    assert layout_of([Architecture((deepest,), 4)]) == TokenLayout(inputs=3, blocks=1)
    last_reads_newest = Architecture((Block((CONV, LATER), 1),), 4)
    with pytest.raises(ArchitectureError, match="input 1: expected less than 1"):
        prefix_tree([last_reads_newest], TokenLayout(inputs=1, blocks=1))


def test_different_numbers_of_blocks_are_refused() -> None:
    two, three = seed_architecture((1, 2), filters=4), seed_architecture((1, 2, 1), filters=4)
    with pytest.raises(ArchitectureError, match=r"one number of blocks, found \[2, 3\]"):
        layout_of([two, three])
    with pytest.raises(ArchitectureError, match=f"{two.arch_id}: expected 3 blocks, found 2"):
        prefix_tree([two], layout_of([three]))
