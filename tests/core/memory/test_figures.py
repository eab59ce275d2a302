"""Memory figures of architectures against those of their whole lowered graphs."""

import random
from dataclasses import replace

import pytest

from memnas_core.errors import GraphError, RecordError
from memnas_core.memory.figures import MemoryFigures, PeakFigures, measure, measure_peaks
from memnas_core.memory.lifetimes import least_peak, peak_activation_bytes
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import generate, seed_architecture
from memnas_core.space.operations import OPERATIONS
from tests.core.random_architectures import random_walk, random_walks, shuffled


def of_whole_graph(
    architecture: Architecture, input_shape: Shape, classes: int, weight_bytes: int, activation_bytes: int
) -> PeakFigures:
    """Return the same figures the slow way, from the graph of the whole network."""
    graph = lower(architecture, input_shape, classes)
    layers, sizes = graph.plain(), graph.sizes(activation_bytes)
    least = least_peak(layers, sizes)
    assert least.exact
    return PeakFigures(
        param_bytes=graph.weights * weight_bytes,
        paper_bytes=peak_activation_bytes(layers, sizes, "paper"),
        sequential_bytes=peak_activation_bytes(layers, sizes, "sequential"),
        minimum_bytes=least.bytes,
    )


def without_arena(figures: MemoryFigures) -> PeakFigures:
    """Return the figures that `of_whole_graph` has; test_block_arena looks at the arena."""
    return figures.peaks


def test_the_seed_by_hand() -> None:
    # F = 16, strides 1 and 2, a 1x8x8 image, 10 classes, 4 bytes. Elements: image 64, F maps of 8x8 are 1024,
    # of 4x4 256.
    figures = measure(seed_architecture((1, 2), 16), Workload(Shape(1, 8, 8), 10, 4, 4))
    stem, conv, linear = 9 * 16 + 32, 9 * 16 * 16 + 32, 16 * 10 + 10
    assert figures.param_bytes == 4 * (stem + 4 * conv + linear)
    # paper: two convolutions of block 1 appear at once, and their input is gone
    assert figures.paper_bytes == 4 * 2 * 1024
    # one at a time: the second convolution of block 1 runs beside its input and the first one's output
    assert figures.sequential_bytes == figures.minimum_bytes == 4 * 3 * 1024


def test_two_widths_by_hand() -> None:
    # F = 4; block 1 has 8 filters, so that a projection leads to it and one away from it. Elements: the stem's maps of
    # 8x8 are 256, those of block 1 512; block 2 leaves 4 maps of 4x4.
    conv = Branch(0, ops.CONV_3X3)
    wide = Block((Cell(conv, conv, Combiner.SUM, included=True),), 1, filters=8)
    narrow = Block((Cell(conv, None, Combiner.SUM, included=True),), 2)
    figures = measure(Architecture((wide, narrow), 4), Workload(Shape(1, 8, 8), 10, 4, 4))
    first, second = (4 * 8 + 16) + 2 * (9 * 8 * 8 + 16), (8 * 4 + 8) + (9 * 4 * 4 + 8)
    assert figures.param_bytes == 4 * ((9 * 4 + 8) + first + second + (4 * 10 + 10))
    # Both convolutions of block 1 appear at once. One at a time, the second runs beside its input and the first's map.
    assert figures.paper_bytes == 4 * 2 * 512
    assert figures.sequential_bytes == figures.minimum_bytes == figures.arena_bytes == 4 * 3 * 512


def test_peaks_alone_are_the_same() -> None:
    for architecture in (*random_walks(seed=4, count=50, moves=14), *random_walks(4, 50, 14, widths=True)):
        side = 2 * architecture.reduction
        found = measure_peaks(architecture, Shape(3, side, side), 7)
        assert found == without_arena(measure(architecture, Workload(Shape(3, side, side), 7, 1, 1)))


@pytest.mark.parametrize("widths", [False, True])
def test_figures_equal_those_of_the_whole_graph(widths: bool) -> None:
    rng = random.Random(2)
    for walked in random_walks(seed=1, count=300, moves=14, widths=widths):
        architecture = shuffled(rng, walked)  # `sequential` goes by the order of branches and cells
        factor = architecture.reduction
        shape = Shape(rng.choice((1, 3)), factor * rng.randint(1, 4), factor * rng.randint(1, 4))
        widths = rng.choice((1, 2, 4)), rng.choice((1, 2, 4))
        found = without_arena(measure(architecture, Workload(shape, 7, *widths)))
        assert found == of_whole_graph(architecture, shape, 7, *widths)


@pytest.mark.parametrize("widths", [False, True])
def test_figures_of_a_whole_round_equal_those_of_the_whole_graphs(widths: bool) -> None:
    # Candidates share cached figures, each must get its own.
    base = random_walk(random.Random(4), 8, strides=(1, 2), filters=3)
    if widths:
        base = Architecture((base.blocks[0], replace(base.blocks[1], filters=6)), 3)
    candidates, _ = generate(base, 1, widths=widths)
    shape = Shape(2, 8, 8)
    for candidate in candidates[::2]:
        found = without_arena(measure(candidate.architecture, Workload(shape, 5, 4, 4)))
        assert found == of_whole_graph(candidate.architecture, shape, 5, 4, 4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("combiner", list(Combiner))
def test_each_pair_of_operations_in_each_place(combiner: Combiner, stride: int) -> None:
    # Every operation beside every other one, reading the block's input and a concatenation.
    shape = Shape(1, 4, 4)
    source = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.CONV_3X3), Combiner.CONCAT, included=False)
    for first in OPERATIONS:
        for second in OPERATIONS:
            cells = source, Cell(Branch(0, first), Branch(1, second), combiner, included=True)
            architecture = Architecture((Block(cells, stride),), 4)
            assert without_arena(measure(architecture, Workload(shape, 2, 1, 1))) == of_whole_graph(
                architecture, shape, 2, 1, 1
            )


def test_wide_blocks_are_exact() -> None:
    rng = random.Random(3)
    for count in (6, 8, 10):
        cells = [
            Cell(
                Branch(0, rng.choice(tuple(OPERATIONS))),
                Branch(0, rng.choice(tuple(OPERATIONS))),
                rng.choice(list(Combiner)),
                included=number >= 4,
            )
            for number in range(count)
        ]
        for number in (1, 3):  # what is not included is read
            reader = Cell(
                Branch(number, ops.CONV_3X3),
                Branch(number + 1, ops.MAX_POOL_3X3),
                Combiner.CONCAT,
                True,
            )
            cells.append(reader)
        architecture = Architecture((Block(tuple(cells), 2),), 4)
        shape = Shape(1, 4, 4)
        assert without_arena(measure(architecture, Workload(shape, 2, 1, 1))) == of_whole_graph(
            architecture, shape, 2, 1, 1
        )


def test_sixteen_blocks() -> None:
    block = random_walk(random.Random(1), 8, strides=(1,)).blocks[0]
    strides = [1, 2, 1, 1] * 4
    architecture = Architecture(tuple(Block(block.cells, stride) for stride in strides), 8)
    shape = Shape(3, 32, 32)
    assert without_arena(measure(architecture, Workload(shape, 1000, 4, 4))) == of_whole_graph(
        architecture, shape, 1000, 4, 4
    )


def test_minimum_is_not_above_sequential_and_each_convention_is_looked_up_by_name() -> None:
    for architecture in random_walks(seed=6, count=50):
        side = architecture.reduction
        figures = measure(architecture, Workload(Shape(1, side, side), 2, 4, 4))
        assert figures.minimum_bytes <= figures.sequential_bytes
        assert figures.activation_bytes("paper") == figures.paper_bytes
        assert figures.activation_bytes("sequential") == figures.sequential_bytes
        assert figures.activation_bytes("minimum") == figures.minimum_bytes
        assert figures.activation_bytes("arena") == figures.arena_bytes


def test_an_arena_that_is_not_known_is_refused() -> None:
    with pytest.raises(RecordError, match="arena_bytes: expected this figure of a network, found none"):
        MemoryFigures(1, 2, 3, 4).activation_bytes("arena")


def test_bytes_scale_with_their_widths() -> None:
    architecture = random_walk(random.Random(7), 8)
    one = measure(architecture, Workload(Shape(1, 8, 8), 10, 1, 1))
    assert without_arena(measure(architecture, Workload(Shape(1, 8, 8), 10, 2, 4))) == PeakFigures(
        2 * one.param_bytes, 4 * one.paper_bytes, 4 * one.sequential_bytes, 4 * one.minimum_bytes
    )


def test_sides_that_strides_cannot_halve_are_refused() -> None:
    with pytest.raises(GraphError, match="image side 10: expected a multiple of 4"):
        measure(seed_architecture((2, 2), 4), Workload(Shape(1, 8, 10), 10, 4, 4))
