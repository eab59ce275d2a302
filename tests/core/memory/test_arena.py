"""Arenas: nothing overlaps, nothing beats the bound, brute force and naive planners do no better."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memnas_core.errors import GraphError
from memnas_core.memory.arena import ArenaPlan, Placement
from memnas_core.memory.lifetimes import least_peak, peak_activation_bytes
from memnas_core.memory.placement import Buffer, place, used_bytes
from memnas_core.space.graph import IMAGE, head, lower, lower_block, stem
from memnas_core.space.layers import Layer, Shape
from tests.core.arenas import plan_arena
from tests.core.random_architectures import random_walk, random_walks

Layers = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
Sizes = dict[str, int]


def random_graph(rng: random.Random, count: int) -> tuple[Layers, Sizes]:
    """Return a graph with inputs and outputs that nothing reads, layers with several outputs, and sizes of zero."""
    sizes = {f"in{n}": rng.randint(0, 9) for n in range(rng.randint(1, 2))}
    layers: Layers = {}
    for number in range(count):
        reads = rng.choices(list(sizes)[-rng.choice((2, 4, 99)) :], k=rng.choice((0, 1, 1, 2, 3)))
        writes = [f"t{number}_{n}" for n in range(rng.choice((0, 1, 1, 1, 2)))]
        sizes |= {tensor: rng.choice((0, 1, 2, 8, rng.randint(1, 50))) for tensor in writes}
        layers[f"l{number}"] = tuple(reads), tuple(writes)
    return layers, sizes


@st.composite
def graphs(draw: st.DrawFn, most: int = 14) -> tuple[Layers, Sizes]:
    return random_graph(random.Random(draw(st.integers(0, 2**32))), draw(st.integers(0, most)))


@st.composite
def buffers(draw: st.DrawFn, most: int) -> list[Buffer]:
    rng = random.Random(draw(st.integers(0, 2**32)))
    largest, longest = rng.choice((3, 10, 1000)), rng.choice((2, 4, 9))
    found = []
    for _ in range(draw(st.integers(1, most))):
        born = rng.randint(1, 8)
        found.append(Buffer(rng.randint(0, largest), born, born + rng.randrange(longest)))
    return found


def check_no_overlap(placements: Sequence[Placement]) -> None:
    for number, one in enumerate(placements):
        for other in placements[:number]:
            together = one.born <= other.last and other.born <= one.last
            overlap = one.offset < other.offset + other.bytes and other.offset < one.offset + one.bytes
            assert not (together and overlap), f"{one} and {other}"


def check(plan: ArenaPlan, layers: Layers, sizes: Sizes) -> None:
    """Check a plan of a graph whose tensors share nothing."""
    assert sorted(placement.tensor for placement in plan.placements) == sorted(sizes)
    check_no_overlap(plan.placements)
    for placement in plan.placements:
        assert placement.bytes == sizes[placement.tensor]
        assert placement.offset >= 0
        assert placement.offset % plan.alignment == 0
        assert placement.offset + placement.bytes <= plan.bytes
        assert placement.home == placement.tensor
    assert plan.bytes % plan.alignment == 0
    assert plan.bytes >= plan.lower_bound
    assert plan.is_optimal == (plan.bytes == plan.lower_bound)
    assert sorted(plan.layers) == sorted(layers)


def height(found: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(offset + buffer.size for offset, buffer in zip(offsets, found, strict=True))


def greedy_by_size(found: Sequence[Buffer]) -> int:
    """Return the arena of greedy-by-size: each buffer, the largest first, at the lowest free offset."""
    placed: list[tuple[int, Buffer]] = []
    for buffer in sorted(found, key=lambda buffer: buffer.size, reverse=True):
        beside = [(at, old) for at, old in placed if old.born <= buffer.last and buffer.born <= old.last]
        candidates = sorted({0} | {at + old.size for at, old in beside})
        free = (c for c in candidates if all(c + buffer.size <= at or c >= at + old.size for at, old in beside))
        placed.append((next(free), buffer))
    return max(at + buffer.size for at, buffer in placed)


def least_arena(found: Sequence[Buffer]) -> int:
    """Return the least arena by brute force.

    In a best arena let down as far as it goes, each buffer is on the ground or on another one, so that its offset
    and its end are sums of sizes: for one arena after another, all such offsets are tried.
    """
    sums = {0}
    for buffer in found:
        sums |= {total + buffer.size for total in sums}
    found = sorted(found, reverse=True)  # the largest first: less to try

    def fits(number: int, placed: list[int], arena: int) -> bool:
        if number == len(found):
            return True
        size, born, last = found[number]
        together = [
            (at, at + b.size) for at, b in zip(placed, found, strict=False) if b.born <= last and born <= b.last
        ]
        return any(
            fits(number + 1, [*placed, offset], arena)
            for offset in sums
            if offset + size <= arena and all(offset >= end or offset + size <= at for at, end in together)
        )

    return next(arena for arena in sorted(sums) if arena >= max(used_bytes(found)) and fits(0, [], arena))


# ---- by hand


def test_a_chain_by_hand() -> None:
    # Step 1 holds x and t, 2 t and u, 3 u and y. t, the largest, is at the ground, x and u on top of it; y fits
    # under u.
    layers: Layers = {"a": (("x",), ("t",)), "b": (("t",), ("u",)), "c": (("u",), ("y",))}
    plan = plan_arena(layers, {"x": 3, "t": 5, "u": 1, "y": 2})
    assert plan.offsets == {"x": 5, "t": 0, "u": 5, "y": 0}
    assert (plan.bytes, plan.lower_bound, plan.is_optimal) == (8, 8, True)
    assert plan.layers == ("a", "b", "c")
    assert [(p.tensor, p.bytes, p.born, p.last) for p in plan.placements] == [
        ("x", 3, 1, 1),
        ("t", 5, 1, 2),
        ("u", 1, 2, 3),
        ("y", 2, 3, 3),
    ]
    assert plan.reserved() == plan.placements


def test_an_order_has_an_arena_of_its_own() -> None:
    # Two branches of one input, each wide inside: one after the other they need 12, at once 21.
    layers: Layers = {
        "wide1": (("x",), ("w1",)),
        "wide2": (("x",), ("w2",)),
        "narrow1": (("w1",), ("n1",)),
        "narrow2": (("w2",), ("n2",)),
        "sum": (("n1", "n2"), ("y",)),
    }
    sizes = {"x": 1, "w1": 10, "w2": 10, "n1": 1, "n2": 1, "y": 1}
    assert plan_arena(layers, sizes).bytes == 21
    order = ("wide1", "narrow1", "wide2", "narrow2", "sum")
    plan = plan_arena(layers, sizes, order)
    assert (plan.bytes, plan.is_optimal, plan.layers) == (12, True, order)


def test_greedy_by_size_wastes_a_byte_here() -> None:
    # Steps 4 and 6 need 9 bytes. Greedy by size puts the three largest (7, 5, 4) at the ground, 3 at 5, on top of
    # 5; what is left for 2 in steps 4 to 6 are one byte between 4 and 5, and what is above 8: it ends at 10.
    found = [Buffer(5, 2, 3), Buffer(4, 4, 5), Buffer(3, 3, 4), Buffer(2, 4, 6), Buffer(7, 6, 6)]
    assert greedy_by_size(found) == 10
    assert height(found, place(found)) == max(used_bytes(found)) == 9


def full_arena(seed: int, pieces: int) -> list[Buffer]:
    """Cut a rectangle of 12 steps and 64 bytes into so many buffers that fill it without a gap."""
    rng = random.Random(seed)
    rectangles = [(1, 12, 0, 64)]  # first step, last step, offset, end
    while len(rectangles) < pieces:
        first, last, low, high = rectangles.pop(rng.randrange(len(rectangles)))
        if rng.random() < 0.5 and last > first:
            middle = rng.randint(first, last - 1)
            rectangles += [(first, middle, low, high), (middle + 1, last, low, high)]
        elif high > low + 1:
            middle = rng.randint(low + 1, high - 1)
            rectangles += [(first, last, low, middle), (first, last, middle, high)]
        else:
            rectangles.append((first, last, low, high))
    return [Buffer(high - low, first, last) for first, last, low, high in rectangles]


def test_what_a_full_arena_is_cut_into_fills_it_again() -> None:
    harder = 0
    for seed in range(20):
        found = full_arena(seed, pieces=20)
        assert used_bytes(found) == [64] * 12
        assert height(found, place(found)) == 64
        harder += greedy_by_size(found) > 64
    assert harder > 5, "greedy by size should miss some of them"


def test_the_best_arena_can_be_above_the_bound() -> None:
    found = [
        *(Buffer(2, 2, 2), Buffer(4, 3, 6), Buffer(2, 1, 3), Buffer(3, 5, 5), Buffer(4, 6, 6)),
        *(Buffer(3, 3, 6), Buffer(1, 2, 5), Buffer(9, 1, 1), Buffer(6, 2, 2)),
    ]
    assert max(used_bytes(found)) == 11
    assert height(found, place(found)) == least_arena(found) == 12


def test_an_arena_is_improved_where_the_bound_cannot_be_reached() -> None:
    found = [
        *(Buffer(4, 2, 5), Buffer(6, 1, 4), Buffer(5, 3, 5), Buffer(3, 2, 4), Buffer(6, 2, 5), Buffer(2, 3, 3)),
        *(Buffer(2, 3, 4), Buffer(1, 1, 2), Buffer(6, 2, 3), Buffer(27, 1, 1), Buffer(8, 2, 2), Buffer(8, 4, 4)),
        Buffer(19, 5, 5),
    ]
    assert max(used_bytes(found)) == 34
    assert greedy_by_size(found) >= 42  # and no greedy way needs less
    assert height(found, place(found)) == 35


def test_tensors_without_bytes_and_graphs_without_layers() -> None:
    empty = plan_arena({}, {})
    assert (empty.placements, empty.bytes, empty.lower_bound, empty.is_optimal) == ((), 0, 0, True)
    assert plan_arena({}, {"x": 3, "y": 4}).bytes == 7
    plan = plan_arena({"a": (("x",), ("nothing",)), "b": (("nothing",), ("y",))}, {"x": 2, "nothing": 0, "y": 2})
    assert plan.offsets == {"x": 0, "nothing": 0, "y": 0}
    assert plan.bytes == 2


def test_alignment_by_hand() -> None:
    # Rounded up, x, t and u take 16 bytes each, y 32.
    layers: Layers = {"a": (("x",), ("t",)), "b": (("t",), ("u",)), "c": (("u",), ("y",))}
    plan = plan_arena(layers, {"x": 1, "t": 16, "u": 15, "y": 17}, alignment=16)
    assert (plan.bytes, plan.lower_bound) == (48, 48)
    assert [placement.bytes for placement in plan.placements] == [1, 16, 15, 17]
    assert sorted(set(plan.offsets.values())) in ([0, 16], [0, 16, 32], [0, 32])


@pytest.mark.parametrize("alignment", [0, -4])
def test_no_alignment_below_1(alignment: int) -> None:
    with pytest.raises(GraphError, match=f"alignment: expected a positive number of bytes, found {alignment}"):
        plan_arena({}, {"x": 1}, alignment=alignment)


def test_an_impossible_order_is_refused() -> None:
    layers: Layers = {"a": (("x",), ("t",)), "b": (("t",), ("y",))}
    with pytest.raises(GraphError, match="order: expected 'a' before 'b'"):
        plan_arena(layers, {"x": 1, "t": 1, "y": 1}, ("b", "a"))


# ---- random graphs


@given(graphs(), st.sampled_from((1, 4, 16)))
def test_nothing_overlaps_and_everything_is_aligned(graph: tuple[Layers, Sizes], alignment: int) -> None:
    layers, sizes = graph
    plan = plan_arena(layers, sizes, alignment=alignment)
    check(plan, layers, sizes)
    aligned = {tensor: -(-size // alignment) * alignment for tensor, size in sizes.items()}
    assert plan.lower_bound == peak_activation_bytes(layers, aligned, "sequential")


@given(graphs(), st.integers(2, 4))
def test_wider_elements_scale_the_arena(graph: tuple[Layers, Sizes], width: int) -> None:
    layers, sizes = graph
    narrow = plan_arena(layers, sizes)
    wide = plan_arena(layers, {tensor: width * size for tensor, size in sizes.items()})
    assert (wide.bytes, wide.lower_bound) == (width * narrow.bytes, width * narrow.lower_bound)


@given(buffers(most=6))
@settings(deadline=None)
def test_up_to_six_buffers_are_placed_as_brute_force_does(found: list[Buffer]) -> None:
    assert height(found, place(found)) == least_arena(found)


@given(buffers(most=25))
@settings(max_examples=200, deadline=None)
def test_never_worse_than_greedy_by_size(found: list[Buffer]) -> None:
    offsets = place(found)
    placements = [
        Placement(str(n), b.size, o, b.born, b.last, "") for n, (b, o) in enumerate(zip(found, offsets, strict=True))
    ]
    check_no_overlap(placements)
    assert max(used_bytes(found)) <= height(found, offsets) <= greedy_by_size(found)


def test_more_buffers_than_can_be_searched_are_placed_in_time() -> None:
    rng = random.Random(3)
    found = [Buffer(rng.randint(1, 1000), 1 + n // 2, 1 + n // 2 + rng.randint(1, 6)) for n in range(400)]
    begin = time.process_time()
    offsets = place(found)
    assert time.process_time() - begin < 20  # takes 1 s
    assert height(found, offsets) <= greedy_by_size(found)


# ---- networks


def test_networks_reach_the_bound() -> None:
    missed = 0
    for number, architecture in enumerate((*random_walks(11, 60, 12), *random_walks(11, 30, 12, widths=True))):
        side = 2 * architecture.reduction
        graph = lower(architecture, Shape(3, side, side), 10)
        layers, sizes = graph.plain(), graph.sizes(1)
        order = least_peak(layers, sizes).order if number % 2 else None
        plan = plan_arena(layers, sizes, order)
        check(plan, layers, sizes)
        assert plan.lower_bound == peak_activation_bytes(layers, sizes, "sequential", order)
        missed += not plan.is_optimal
    assert missed == 0


def test_block_by_block() -> None:
    # One tensor alone leads from block to block: the bound of the network is the largest of its parts'. The
    # arena is no smaller than that of any part.
    rng = random.Random(12)
    for _ in range(30):
        architecture = random_walk(rng, rng.randint(2, 12), rng.choices((1, 2), k=3), filters=4)
        side = 2 * architecture.reduction
        shape = Shape(3, side, side)
        whole = lower(architecture, shape, 10)
        plan = plan_arena(whole.plain(), whole.sizes(1))
        first = stem(architecture, shape)
        parts: list[tuple[tuple[Layer, ...], str, Shape]] = [((first,), IMAGE, shape)]
        source, shape = first.name, first.output
        for number, block in enumerate(architecture.blocks, start=1):
            fragment = lower_block(block, architecture.filters, source, shape, number)
            parts.append((fragment.layers, source, shape))
            source, shape = fragment.output, fragment.shape
        parts.append((head(source, shape, 10), source, shape))
        plans = []
        for layers, entering, entering_shape in parts:
            sizes = {entering: entering_shape.elements} | {layer.name: layer.output.elements for layer in layers}
            plans.append(plan_arena({layer.name: (layer.inputs, (layer.name,)) for layer in layers}, sizes))
        assert sum(len(part.layers) for part in plans) == len(plan.layers)
        assert plan.lower_bound == max(part.lower_bound for part in plans)
        assert plan.bytes >= max(part.bytes for part in plans)
