"""Blocks with filters of their own: which networks are equal, and the moves that lead to them."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from memnas_core.errors import ArchitectureError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner, canonical
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import (
    WIDTHS,
    Move,
    MoveKind,
    apply,
    edge_cuts,
    generate,
    growths,
    narrowings,
    reductions,
    resized_everywhere,
    seed_architecture,
    trims,
    widenings,
)
from tests.core.random_architectures import random_walks, shuffled

CELL = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.CONV_3X3), Combiner.SUM, included=True)


def of_widths(*widths: int | None, filters: int = 16) -> Architecture:
    return Architecture(tuple(Block((CELL,), 1, width) for width in widths), filters)


def test_a_block_that_says_f_is_a_block_that_says_nothing() -> None:
    assert of_widths(16, None, 8) == of_widths(None, None, 8)
    assert of_widths(16, 16) == seed_architecture((1, 1), 16)
    assert of_widths(16, 16).arch_id == seed_architecture((1, 1), 16).arch_id
    assert of_widths(16, None, 8).widths == (16, 16, 8)
    assert replace(of_widths(8, None), filters=8).widths == (8, 8)


def test_equal_ids_are_equal_networks() -> None:
    """With F = 16 and 8 filters in all blocks, the stem has 16, so that this is not F = 8."""
    every = [
        of_widths(*widths, filters=filters)
        for filters in (8, 16)
        for widths in ((None, None), (8, None), (None, 8), (8, 8), (16, None), (16, 16), (16, 8))
    ]
    by_layers: dict[object, set[str]] = {}
    for network in every:
        by_layers.setdefault(lower(network, Shape(3, 4, 4), 5).layers, set()).add(network.arch_id)
    assert all(len(ids) == 1 for ids in by_layers.values())
    assert len(by_layers) == len({network.arch_id for network in every})


def test_shuffled_networks_keep_id_and_canonical_form() -> None:
    rng = random.Random(1)
    for architecture in random_walks(seed=8, count=60, widths=True):
        other = shuffled(rng, architecture)
        assert other.arch_id == architecture.arch_id
        assert canonical(other) == canonical(architecture)
        assert canonical(architecture).widths == architecture.widths


def test_no_filters_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="filters: expected a positive number, found 0"):
        Block((CELL,), 1, 0)


def test_moves_by_hand() -> None:
    base = of_widths(None, 4, 256, 20)
    words = [str(move) for move in (*widenings(base), *narrowings(base))]
    # F = 16 is in the table, and 20 is not: the nearest in it are 16 and 24.
    assert words == [
        *("widen b1 to 24", "widen b2 to 8", "widen b4 to 24"),
        *("narrow b1 to 12", "narrow b3 to 192", "narrow b4 to 16"),
    ]
    odd = of_widths(8, filters=10)
    assert [str(move) for move in (*widenings(odd), *narrowings(odd))] == ["widen b1 to 10", "narrow b1 to 4"]
    widened = apply(base, Move(MoveKind.WIDEN, 2, filters=8))
    assert widened == of_widths(None, 8, 256, 20)
    assert apply(of_widths(12, 8), Move(MoveKind.WIDEN, 1, filters=16)) == of_widths(None, 8)


def test_all_blocks_at_once() -> None:
    base = of_widths(None, 4, 24)
    found = {str(move): network.widths for network, move in resized_everywhere(base)}
    assert found == {"widen everywhere": (24, 8, 32), "narrow everywhere": (12, 4, 16)}
    assert [str(move) for _, move in resized_everywhere(of_widths(4, 4, filters=4))] == ["widen everywhere"]


def test_other_moves_keep_widths() -> None:
    for base in random_walks(seed=5, count=30, widths=True):
        moves = [*trims(base), *edge_cuts(base), *random.Random(1).sample(list(growths(base)), 10)]
        for move in moves:
            changed = apply(base, move)
            assert changed is None or changed.widths == base.widths


def test_widths_are_searched_only_if_wanted() -> None:
    base = seed_architecture((1, 2), 16)
    plain, counts = generate(base, 1)
    found, with_widths = generate(base, 1, widths=True)
    assert {*found} >= {*plain}
    more = {candidate.words: candidate for candidate in found if candidate not in plain}
    assert set(more) == {"widen b1 to 24", "widen b2 to 24", "narrow b1 to 12", "narrow b2 to 12"}
    assert (with_widths.grown - counts.grown, with_widths.trimmed - counts.trimmed) == (2, 2)
    assert with_widths.unique == len(found)
    assert all(candidate.is_single and not candidate.is_grown for candidate in more.values())
    assert more["widen b1 to 24"].is_widened
    assert not more["narrow b1 to 12"].is_widened
    assert [*reductions(base, widths=False)] == [*trims(base), *edge_cuts(base)]
    assert [*reductions(base, widths=True)] == [*trims(base), *edge_cuts(base), *narrowings(base)]


def test_the_table_of_widths() -> None:
    assert list(WIDTHS) == sorted(WIDTHS)
    assert all(width % 4 == 0 for width in WIDTHS)
    assert all(1.3 < wider / width <= 1.5 for width, wider in pairwise(WIDTHS[1:]))
