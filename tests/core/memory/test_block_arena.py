"""Arenas of parts and of whole networks, against exhaustive search and the planner of the whole network."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from memnas_core.memory.block_arena import ARENA, PartArena, ended, largest
from memnas_core.memory.figures import measure
from memnas_core.memory.kernel_scratch import Kernels
from memnas_core.memory.placement import Buffer, used_bytes
from memnas_core.memory.running_order import best_order
from memnas_core.memory.runtime_operators import EXECUTORCH_PLANNED, RuntimeArena, runtime_arena
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import generate, seed_architecture
from memnas_core.space.operations import Operation
from tests.core.random_architectures import random_walk, random_walks, shuffled


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


def plan(
    architecture: Architecture, shape: Shape, classes: int, element_bytes: int, kernels: Kernels | None = None
) -> RuntimeArena:
    """Plan the whole network in its best order."""
    graph, _ = best_order(lower(architecture, shape, classes), element_bytes)
    return runtime_arena(graph, replace(EXECUTORCH_PLANNED, kernels=kernels), element_bytes)


@pytest.mark.parametrize("widths", [False, True])
@pytest.mark.parametrize(
    ("seed", "element_bytes", "kernels"),
    [(5, 4, None), (6, 1, None), (7, 2, None), *((seed, 1, kernels) for seed, kernels in enumerate(Kernels, start=8))],
)
def test_networks_against_plans_of_the_whole(
    seed: int, element_bytes: int, kernels: Kernels | None, widths: bool
) -> None:
    """The table never promises less than the exported program needs, and says exactly that of nearly all networks."""
    rng = random.Random(seed)
    count, equal = 60, 0
    for walked in random_walks(seed, count, moves=14, widths=widths):
        architecture, factor = shuffled(rng, walked), walked.reduction
        # Small and odd sides, so that rows of pixels are no multiples of the alignment.
        shape = Shape(rng.choice((1, 3)), factor * rng.randint(1, 4), factor * rng.randint(1, 4))
        found = measure(architecture, Workload(shape, 7, 4, element_bytes), kernels).arena_bytes
        planned = plan(architecture, shape, 7, element_bytes, kernels)
        assert found is not None
        assert planned.lower_bound <= planned.bytes <= found, "what the table says can be placed"
        assert found % ARENA.alignment == 0
        equal += found == planned.bytes
    assert equal / count >= 0.95


def test_the_candidates_of_a_round_against_plans_of_the_whole() -> None:
    """They share cached figures: blocks that differ in a max pooling alone must get their own."""
    base = random_walk(random.Random(4), 8, strides=(1, 2), filters=4)
    candidates, _ = generate(base, 1)
    some = random.Random(1).sample(candidates, 60)
    exact = 0
    for candidate in some:
        found = measure(candidate.architecture, Workload(Shape(2, 8, 8), 5, 4, 4)).arena_bytes
        planned = plan(candidate.architecture, Shape(2, 8, 8), 5, 4).bytes
        assert found is not None
        assert planned <= found
        exact += planned == found
    assert exact >= 0.95 * len(some)


def test_a_seed_by_hand() -> None:
    # F = 16, 1x8x8, 4 bytes: maps of 8x8 are 4096 bytes, of 4x4 1024. Block 1 needs its input and two convolutions;
    # the sum overwrites one of them.
    assert measure(seed_architecture((1, 2), 16), Workload(Shape(1, 8, 8), 10, 4, 4)).arena_bytes == 3 * 4096


@pytest.mark.parametrize(
    ("operation", "stride", "element_bytes", "expected"),
    [
        # 16 maps of 8x8 are 1024 elements. One layer reads them: a pooling writes as many again.
        (ops.AVERAGE_POOL_3X3, 1, 4, 2 * 4096),
        # A max pooling of floats also writes an index of 8 bytes for each.
        (ops.MAX_POOL_3X3, 1, 4, 2 * 4096 + 8192),
        (ops.MAX_POOL_3X3, 1, 2, 2 * 2048 + 8192),
        (ops.MAX_POOL_3X3, 1, 1, 2 * 1024),
        (ops.MAX_POOL_3X3, 2, 4, 4096 + 1024 + 2048),
        # A subsampling takes rows first, half of its input.
        (ops.IDENTITY, 2, 4, 4096 + 2048),
        (ops.IDENTITY, 2, 1, 1024 + 512),
    ],
)
def test_what_a_runtime_adds_by_hand(operation: Operation, stride: int, element_bytes: int, expected: int) -> None:
    cell = Cell(Branch(0, operation), None, Combiner.SUM, included=True)
    architecture = Architecture((Block((cell,), stride),), 16)
    assert measure(architecture, Workload(Shape(1, 8, 8), 10, 4, element_bytes)).arena_bytes == expected


@pytest.mark.parametrize(
    ("operation", "kernels", "expected"),
    [
        # F = 16, 4x8x8: maps of 8x8 have 1024 bytes in int8. While the layer runs, input, output and scratch memory are
        # there: none, 2 * 25 * 16 or 4 * 25 * 124 for a depthwise 5x5, and 4 * 9 * 16 for a 3x3. The stem needs less.
        (ops.DEPTHWISE_5X5, None, 2048),
        (ops.DEPTHWISE_5X5, Kernels.PLAIN, 2048),
        (ops.DEPTHWISE_5X5, Kernels.DSP, 2048 + 800),
        (ops.DEPTHWISE_5X5, Kernels.VECTOR, 2048 + 12_400),
        (ops.CONV_3X3, Kernels.PLAIN, 2048 + 576),
        (ops.AVERAGE_POOL_3X3, Kernels.DSP, 2048 + 64),
        (ops.MAX_POOL_3X3, Kernels.DSP, 2048),
    ],
)
def test_scratch_memory_by_hand(operation: Operation, kernels: Kernels | None, expected: int) -> None:
    cell = Cell(Branch(0, operation), None, Combiner.SUM, included=True)
    workload = Workload(Shape(4, 8, 8), 10, 1, 1)
    assert measure(Architecture((Block((cell,), 1),), 16), workload, kernels).arena_bytes == expected


def test_floats_have_no_scratch_memory() -> None:
    network, workload = seed_architecture((1, 2), 16), Workload(Shape(1, 8, 8), 10, 4, 4)
    assert measure(network, workload, Kernels.VECTOR) == measure(network, workload)
