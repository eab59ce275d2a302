"""Arenas of parts and of whole networks, against exhaustive search and the planner of the whole network."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from memnas_core import block_arena
from memnas_core.architecture import Architecture
from memnas_core.arena import ArenaPlan, plan_shared
from memnas_core.arena_rules import roles_of, shared_graph
from memnas_core.block_arena import ARENA, PartArena, ended, largest
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import seed_architecture
from memnas_core.measure import measure
from memnas_core.placement import Buffer, used_bytes
from memnas_core.running_order import best_order
from tests.core.random_architectures import random_walks, shuffled


def meet(one: Buffer, other: Buffer) -> bool:
    return one.born <= other.last and other.born <= one.last


def is_possible(buffers: Sequence[Buffer], height: int, given: dict[int, int]) -> bool:
    """Return whether any layout stays within a height, some offsets given, the others tried one by one."""
    offsets: dict[int, int] = {}

    def place(number: int) -> bool:
        if number == len(buffers):
            return True
        size = buffers[number].size
        for offset in [given[number]] if number in given else range(height - size + 1):
            if 0 <= offset <= height - size and all(
                not meet(buffers[number], buffers[j])
                or offset + size <= offsets[j]
                or offsets[j] + buffers[j].size <= offset
                for j in offsets
            ):
                offsets[number] = offset
                if place(number + 1):
                    return True
                del offsets[number]
        return False

    return place(0)


def least_with_ends(buffers: Sequence[Buffer], first: int, last: int) -> int:
    """Return the least height at which the first lies at the bottom and the last at an end, by trying everything."""
    height = max(used_bytes(buffers))
    while not any(
        is_possible(buffers, height, {last: offset, first: 0})
        for offset in {0, height - buffers[last].size}
        if first != last or not offset
    ):
        height += 1
    return height


def some_parts(count: int) -> Iterator[tuple[list[Buffer], int, int]]:
    """Yield small parts: what comes in is there first, what goes out is there last."""
    rng = random.Random(3)
    for _ in range(count):
        steps = rng.randint(2, 5)
        inner = []
        for _ in range(rng.randint(1, 3)):
            born = rng.randint(1, steps)
            inner.append(Buffer(rng.randint(1, 3), born, rng.randint(born, steps)))
        comes = Buffer(rng.randint(1, 4), 1, rng.randint(1, steps))
        goes = Buffer(rng.randint(1, 4), rng.randint(1, steps), steps)
        yield [comes, goes, *inner], 0, 1


def test_small_parts_are_least_with_their_ends() -> None:
    for buffers, first, last in some_parts(150):
        found, least = ended(buffers, (first, last)), least_with_ends(buffers, first, last)
        assert found.lower_bound == max(used_bytes(buffers)) <= least
        assert found.bytes == least


def test_one_buffer_may_be_both_ends() -> None:
    # It comes in, is written over and goes out; two others are there for one step each.
    assert ended([Buffer(4, 1, 3), Buffer(2, 1, 1), Buffer(3, 3, 3)], (0, 0)) == PartArena(7, 7)


def test_what_goes_out_may_have_to_lie_in_the_middle() -> None:
    """The condition costs something: a block with two cells and stride 2 in units of 16 bytes.

    While the output (5) is written, the two that it joins (2 and 3) are in memory; one of them is as old as the input.
    """
    buffers = [
        *(Buffer(6, 1, 5), Buffer(5, 7, 7), Buffer(2, 1, 7), Buffer(2, 2, 3)),
        *(Buffer(2, 4, 6), Buffer(2, 5, 6), Buffer(3, 6, 7)),
    ]
    assert ended(buffers, (0, 1)) == PartArena(13, 12)
    assert least_with_ends(buffers, 0, 1) == 13
    assert is_possible(buffers, 12, {})


def test_no_ends_to_keep() -> None:
    assert ended([Buffer(5, 1, 2), Buffer(3, 2, 3)], (None, None)) == PartArena(8, 8)
    assert ended([Buffer(5, 1, 1)], (None, 0)) == PartArena(5, 5)


def test_a_chain_of_two_parts_needs_no_more_than_the_larger() -> None:
    """The theorem of the module's head: everything is tried for the two parts together."""
    parts = list(some_parts(120))
    for (one, *_), (two, *_) in zip(parts[::2], parts[1::2], strict=True):
        steps = max(buffer.last for buffer in one)
        joint = one[1]._replace(last=steps + two[0].last)
        later = [Buffer(b.size, b.born + steps, b.last + steps) for b in two[1:]]
        fitting = [two[0]._replace(size=joint.size), *two[1:]]
        height = largest((ended(one, (0, 1)), ended(fitting, (0, 1)))).bytes
        assert is_possible([one[0], joint, *one[2:], *later], height, {})


def plan(architecture: Architecture, shape: Shape, classes: int, element_bytes: int) -> ArenaPlan:
    """Plan the whole network in its best order."""
    graph, _ = best_order(lower(architecture, shape, classes), element_bytes)
    sizes = graph.sizes(element_bytes)
    shared = shared_graph(graph.plain(), sizes, roles_of(graph), ARENA.rules, alignment=ARENA.alignment)
    return plan_shared(shared, ARENA.alignment)


def check_against_plans(seed: int, count: int) -> float:
    """Compare networks of all shapes and widths with plans of the whole, and return the share that is equal."""
    rng = random.Random(seed)
    equal = 0
    for walked in random_walks(seed, count, moves=14):
        architecture, factor = shuffled(rng, walked), walked.reduction
        # Small and odd sides, so that rows of pixels are no multiples of the alignment.
        shape = Shape(rng.choice((1, 3)), factor * rng.randint(1, 4), factor * rng.randint(1, 4))
        element_bytes = rng.choice((1, 2, 4))
        found = measure(architecture, shape, 7, 4, element_bytes).arena_bytes
        planned = plan(architecture, shape, 7, element_bytes)
        assert found is not None
        assert planned.lower_bound <= planned.bytes <= found, "what the table says can be placed"
        assert found % ARENA.alignment == 0
        equal += found == planned.bytes
    return equal / count


def test_networks_against_plans_of_the_whole() -> None:
    assert check_against_plans(seed=5, count=80) >= 0.95


@pytest.mark.parametrize(
    "rules",
    [
        {"in_place": False},
        {"counts_inputs": False, "counts_outputs": False},
    ],
)
def test_other_rules_can_be_put_in(rules: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    other = ARENA._replace(rules=replace(ARENA.rules, **rules), alignment=8)
    caches = block_arena._block_arena, block_arena.end_arena
    monkeypatch.setattr("memnas_core.block_arena.ARENA", other)
    monkeypatch.setattr("memnas_core.measure.ARENA", other)
    monkeypatch.setitem(globals(), "ARENA", other)
    for cache in caches:
        cache.cache_clear()
    try:
        assert check_against_plans(seed=8, count=40) >= 0.9
    finally:
        for cache in caches:
            cache.cache_clear()


def test_a_seed_by_hand() -> None:
    # F = 16, 1x8x8, 4 bytes: maps of 8x8 are 4096 bytes, of 4x4 1024. Block 1 needs its input and two convolutions;
    # the sum overwrites one of them.
    assert measure(seed_architecture((1, 2), 16), Shape(1, 8, 8), 10, 4, 4).arena_bytes == 3 * 4096
