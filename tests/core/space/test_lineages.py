"""Random lineages: each candidate is a child of its lineage's base, and no network comes twice."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from memnas_core.space.lineages import LEAST_TRIMMING, draw_growth, draw_lineages
from memnas_core.space.moves import generate, seed_architecture

STRIDES, FILTERS = (2, 1, 2), 4


@pytest.mark.parametrize("seed", [0, 7])
def test_candidates_are_children_of_a_base_of_the_round_before(seed: int) -> None:
    drawn = draw_lineages(STRIDES, FILTERS, lineages=3, rounds=3, children=6, seed=seed)
    assert len(drawn) == 1 + 3 + 3 * 3 * 6
    assert len({d.candidate.arch_id for d in drawn}) == len(drawn)
    by_id = {d.candidate.arch_id: d for d in drawn}
    bases = defaultdict(set)
    for descendant in drawn:
        candidate = descendant.candidate
        assert candidate.arch_id == candidate.architecture.arch_id
        if candidate.round == 0:
            assert candidate.parent_id is None
            continue
        assert candidate.parent_id is not None
        parent = by_id[candidate.parent_id]
        assert (parent.lineage, parent.candidate.round) == (descendant.lineage, candidate.round - 1)
        children, _ = generate(parent.candidate.architecture, candidate.round)
        assert candidate.arch_id in {child.arch_id for child in children}
        bases[descendant.lineage, candidate.round].add(candidate.parent_id)
    assert {len(found) for found in bases.values()} == {1}


def test_the_seed_network_of_searches_is_in_no_lineage() -> None:
    first, *others = draw_lineages(STRIDES, FILTERS, lineages=4, rounds=1, children=2, seed=0)
    assert first.lineage == 0
    assert first.candidate.architecture == seed_architecture(STRIDES, FILTERS)
    assert {descendant.lineage for descendant in others} == {1, 2, 3, 4}


def test_half_of_the_children_are_grown_and_the_same_seed_draws_the_same() -> None:
    drawn = draw_lineages(STRIDES, FILTERS, lineages=2, rounds=2, children=8, seed=1)
    assert drawn == draw_lineages(STRIDES, FILTERS, lineages=2, rounds=2, children=8, seed=1)
    assert drawn != draw_lineages(STRIDES, FILTERS, lineages=2, rounds=2, children=8, seed=2)
    moves = Counter((d.lineage, d.candidate.round, d.candidate.is_grown) for d in drawn if d.candidate.round)
    assert set(moves.values()) == {4}


def test_later_lineages_trim_more_often() -> None:
    """The last one always does; the first one about as often as `LEAST_TRIMMING` says, give or take 3 sigma."""
    shares = []
    for lineage in (1, 2):
        trimmed = []
        for seed in range(8):
            drawn = [
                d.candidate
                for d in draw_lineages((1, 1), 2, lineages=2, rounds=3, children=4, seed=seed)
                if d.lineage == lineage
            ]
            bases = [next(c for c in drawn if c.round == number) for number in range(1, 4)]
            moves = {c.arch_id: c.words for c in drawn}
            chosen = [later.parent_id for _, later in pairwise(bases)]
            trimmed += [not moves[base].startswith("grow") for base in chosen if base]
        shares.append(sum(trimmed) / len(trimmed))
    assert shares[1] == 1.0
    assert abs(shares[0] - LEAST_TRIMMING) < 3 * (0.24 / 16) ** 0.5


def test_growth_goes_on_until_all_blocks_have_the_cells() -> None:
    root = seed_architecture(STRIDES, FILTERS)
    assert draw_growth(root, 1, seed=0) == root
    grown = draw_growth(root, 4, seed=0)
    assert [len(block.cells) for block in grown.blocks] == [4, 4, 4]
    assert grown == draw_growth(root, 4, seed=0) != draw_growth(root, 4, seed=1)
