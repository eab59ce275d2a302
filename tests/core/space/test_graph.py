"""Lowering by hand, and what must hold of the graph of every architecture."""

import re
from itertools import pairwise

import pytest

from memnas_core.errors import GraphError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import (
    IMAGE,
    Graph,
    branch_weights,
    cell_channels,
    check_input_side,
    lower,
    projection_weights,
)
from memnas_core.space.layers import Layer, LayerKind, Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.space.operations import OPERATIONS, Operation
from tests.core.random_architectures import random_walks

SUM, CONCAT = Combiner.SUM, Combiner.CONCAT
CONV, DEPTHWISE, POOL, IDENTITY = (
    ops.CONV_3X3,
    ops.DEPTHWISE_3X3,
    ops.MAX_POOL_3X3,
    ops.IDENTITY,
)


def one_block(*cells: Cell, stride: int = 1, filters: int = 4) -> Architecture:
    return Architecture((Block(cells, stride),), filters)


def layers_of(graph: Graph) -> dict[str, Layer]:
    return {layer.name: layer for layer in graph.layers}


# ---- by hand


def test_a_small_network_by_hand() -> None:
    # F = 4, a 3-channel 8x8 image, stride 2. C1 concatenates a convolution and an identity of the block's
    # input, C2 sums a depthwise layer of C1 (projected first: 8 channels) and a pooling of the block's input.
    c1 = Cell(Branch(0, CONV), Branch(0, IDENTITY), CONCAT, included=True)
    c2 = Cell(Branch(1, DEPTHWISE), Branch(0, POOL), SUM, included=True)
    graph = lower(one_block(c1, c2, stride=2), Shape(3, 8, 8), classes=10)
    expected = [
        # name, kind, reads, output shape, weights
        ("stem", "conv", [IMAGE], (4, 8, 8), 3 * 3 * 3 * 4 + 2 * 4),
        ("b1_c1_a", "conv", ["stem"], (4, 4, 4), 3 * 3 * 4 * 4 + 8),
        ("b1_c1_b", "subsample", ["stem"], (4, 4, 4), 0),
        ("b1_c1_concat", "concat", ["b1_c1_a", "b1_c1_b"], (8, 4, 4), 0),
        ("b1_c2_a_project", "conv", ["b1_c1_concat"], (4, 4, 4), 8 * 4 + 8),
        ("b1_c2_a", "conv", ["b1_c2_a_project"], (4, 4, 4), 3 * 3 * 4 + 8),
        ("b1_c2_b", "max_pool", ["stem"], (4, 4, 4), 0),
        ("b1_c2_sum", "sum", ["b1_c2_a", "b1_c2_b"], (4, 4, 4), 0),
        ("b1_output", "concat", ["b1_c1_concat", "b1_c2_sum"], (12, 4, 4), 0),
        ("pool", "global_average_pool", ["b1_output"], (12, 1, 1), 0),
        ("classifier", "linear", ["pool"], (10, 1, 1), 12 * 10 + 10),
    ]
    found = [
        (layer.name, layer.kind.value, list(layer.inputs), tuple(layer.output), layer.weights) for layer in graph.layers
    ]
    assert found == expected
    assert graph.output == "classifier"
    assert graph.weights == sum(row[-1] for row in expected)
    assert graph.sizes(4)["b1_output"] == 4 * 12 * 4 * 4
    assert graph.sizes(2)[IMAGE] == 2 * 3 * 8 * 8
    assert graph.plain()["b1_c2_sum"] == (("b1_c2_a", "b1_c2_b"), ("b1_c2_sum",))


@pytest.mark.parametrize(
    ("operation", "weights_narrow", "weights_wide"),
    [
        # F = 8. Each convolution has 2F more for batch norm. Wide is a concatenation of 16 channels: what
        # keeps its channel count is projected first, with 16 * 8 + 16 = 144 weights.
        (ops.CONV_3X3, 9 * 64 + 16, 9 * 128 + 16),
        (ops.DILATED_3X3, 9 * 64 + 16, 9 * 128 + 16),
        (ops.DEPTHWISE_3X3, 9 * 8 + 16, 144 + 9 * 8 + 16),
        (ops.DEPTHWISE_5X5, 25 * 8 + 16, 144 + 25 * 8 + 16),
        (ops.FACTORIZED_7X7, 2 * (7 * 64 + 16), 7 * 128 + 16 + 7 * 64 + 16),
        (ops.AVERAGE_POOL_3X3, 0, 144),
        (ops.MAX_POOL_3X3, 0, 144),
        (ops.IDENTITY, 0, 144),
    ],
)
def test_weights_of_operations_by_hand(operation: Operation, weights_narrow: int, weights_wide: int) -> None:
    assert branch_weights(operation, 8, filters=8) == weights_narrow
    assert branch_weights(operation, 16, filters=8) == weights_wide
    assert projection_weights(16, filters=8) == 144
    for combiner, expected in ((SUM, weights_narrow), (CONCAT, weights_wide)):
        source = Cell(Branch(0, POOL), Branch(0, POOL), combiner, included=False)
        reader = Cell(Branch(1, operation), Branch(0, POOL), SUM, included=True)
        graph = lower(one_block(source, reader, filters=8), Shape(1, 4, 4), classes=2)
        assert sum(layer.weights for layer in graph.layers if layer.block) == expected


def test_the_factorized_layer_strides_one_side_at_a_time() -> None:
    cell = Cell(Branch(0, ops.FACTORIZED_7X7), None, SUM, included=True)
    layers = layers_of(lower(one_block(cell, stride=2), Shape(1, 8, 8), classes=2))
    row, column = layers["b1_c1_a_1x7"], layers["b1_c1_a_7x1"]
    assert (row.kernel, row.stride, row.output) == ((1, 7), (1, 2), Shape(4, 8, 4))
    assert (column.kernel, column.stride, column.output) == ((7, 1), (2, 1), Shape(4, 4, 4))
    assert column.inputs == ("b1_c1_a_1x7",)


def test_windows_dilation_and_groups() -> None:
    cells = [Cell(Branch(0, operation), None, SUM, included=True) for operation in OPERATIONS]
    layers = layers_of(lower(one_block(*cells), Shape(1, 8, 8), classes=2))
    found = {
        n: (layers[f"b1_c{n}_a"].kernel, layers[f"b1_c{n}_a"].dilation, layers[f"b1_c{n}_a"].groups)
        for n in (1, 2, 3, 5, 6, 7)
    }
    assert found == {
        1: ((3, 3), 1, 1),
        2: ((3, 3), 1, 4),
        3: ((5, 5), 1, 4),
        5: ((3, 3), 1, 1),
        6: ((3, 3), 1, 1),
        7: ((3, 3), 2, 1),
    }
    assert "b1_c8_a" not in layers, "an identity with stride 1 is no layer"


def test_only_layers_that_read_the_blocks_input_have_its_stride() -> None:
    cells = (
        Cell(Branch(0, CONV), Branch(0, IDENTITY), SUM, included=False),
        Cell(Branch(1, CONV), Branch(0, DEPTHWISE), SUM, included=True),
    )
    layers = layers_of(lower(one_block(*cells, stride=2), Shape(1, 8, 8), classes=2))
    strided = {name for name, layer in layers.items() if layer.stride == (2, 2)}
    assert strided == {"b1_c1_a", "b1_c1_b", "b1_c2_b"}
    assert layers["b1_c1_b"].kind is LayerKind.SUBSAMPLE


def test_a_blocks_input_is_projected_once_where_it_is_not_f() -> None:
    wide = Cell(Branch(0, CONV), Branch(0, CONV), CONCAT, included=True)
    reading_twice = Cell(Branch(0, CONV), Branch(0, POOL), SUM, included=True)
    architecture = Architecture((Block((wide,), 1), Block((reading_twice,), 1)), 4)
    layers = layers_of(lower(architecture, Shape(1, 8, 8), classes=2))
    assert layers["b2_project"].inputs == ("b1_c1_concat",)
    assert layers["b2_project"].weights == 8 * 4 + 8
    assert layers["b2_c1_a"].inputs == layers["b2_c1_b"].inputs == ("b2_project",)
    assert "b1_project" not in layers, "the stem gives F channels"


def test_a_block_with_its_own_filters_by_hand() -> None:
    # F = 4 and 8 filters in the second of three blocks: a projection before it, and one after it. The first block's two
    # layers make 8 channels, which the second reads without one.
    both = Branch(0, CONV), Branch(0, CONV)
    wide, plain = Cell(*both, CONCAT, included=True), Cell(*both, SUM, included=True)
    blocks = Block((plain,), 1), Block((plain,), 2, filters=8), Block((plain,), 1)
    layers = layers_of(lower(Architecture(blocks, 4), Shape(1, 8, 8), classes=2))
    assert [name for name in layers if name.endswith("project")] == ["b2_project", "b3_project"]
    assert layers["b2_project"].weights == 4 * 8 + 16
    assert layers["b2_c1_a"].weights == 9 * 8 * 8 + 16
    assert layers["b3_project"].weights == 8 * 4 + 8
    assert layers["classifier"].in_channels == 4
    joined = layers_of(lower(Architecture((Block((wide,), 1), *blocks[1:]), 4), Shape(1, 8, 8), classes=2))
    assert [name for name in joined if name.endswith("project")] == ["b3_project"]


def test_a_block_of_identities_passes_its_input_on() -> None:
    alone = Cell(Branch(0, IDENTITY), None, SUM, included=True)
    graph = lower(one_block(alone), Shape(1, 8, 8), classes=2)
    assert [layer.name for layer in graph.layers] == ["stem", "pool", "classifier"]
    twice = lower(one_block(alone, alone), Shape(1, 8, 8), classes=2)
    assert layers_of(twice)["b1_output"].inputs == ("stem", "stem")


def test_channels_of_cells() -> None:
    both = Branch(0, CONV), Branch(0, CONV)
    assert cell_channels(Cell(*both, SUM, True), 8) == 8
    assert cell_channels(Cell(*both, CONCAT, True), 8) == 16
    assert cell_channels(Cell(both[0], None, CONCAT, True), 8) == 8


# ---- what holds of every graph


def check_layer(layer: Layer, shapes: dict[str, Shape], filters: int) -> None:
    """Check a layer's shapes from those of its inputs, as an independent shape inference would."""
    sources = [shapes[name] for name in layer.inputs]
    sides = {(source.height, source.width) for source in sources}
    assert len(sides) == 1, f"{layer.name} joins different sides"
    (height, width) = sides.pop()
    output = layer.output
    if layer.kind is LayerKind.SUM:
        assert {source.channels for source in sources} == {filters} == {output.channels}
        assert layer.in_channels == filters
    else:
        assert layer.in_channels == sum(source.channels for source in sources)
    if layer.kind is LayerKind.CONCAT:
        assert output.channels == layer.in_channels
        assert len(sources) >= 2
    elif layer.kind is LayerKind.CONV:
        is_depthwise = layer.groups > 1 and layer.name.endswith("_depthwise")  # of a separable one
        assert output.channels == (layer.in_channels if is_depthwise else filters)
        assert layer.groups in (1, layer.in_channels)
    elif layer.kind in (LayerKind.AVERAGE_POOL, LayerKind.MAX_POOL, LayerKind.SUBSAMPLE):
        assert output.channels == layer.in_channels == filters
    if layer.kind in (LayerKind.GLOBAL_AVERAGE_POOL, LayerKind.LINEAR):
        assert (output.height, output.width) == (1, 1)
    else:  # padded to keep the side, then strided
        assert output.height == -(-height // layer.stride[0])
        assert output.width == -(-width // layer.stride[1])


def test_what_holds_of_every_graph() -> None:
    for architecture in (*random_walks(seed=1, count=200), *random_walks(seed=1, count=200, widths=True)):
        side = 3 * architecture.reduction
        graph = lower(architecture, Shape(3, side, side), classes=7)
        shapes = {IMAGE: Shape(3, side, side)}
        for layer in graph.layers:
            assert layer.name.isidentifier()
            assert layer.name not in shapes, "names are unique"
            assert set(layer.inputs) <= shapes.keys(), "layers come in an order in which they can run"
            check_layer(layer, shapes, architecture.widths[layer.block - 1] if layer.block else architecture.filters)
            shapes[layer.name] = layer.output
        assert graph.shapes() == shapes
        assert graph.output == graph.layers[-1].name
        assert graph.layers[-1].output == Shape(7, 1, 1)
        assert graph.layers[-2].in_channels * 3 * 3 == shapes[graph.layers[-2].inputs[0]].elements
        read = {tensor for layer in graph.layers for tensor in layer.inputs}
        assert read == shapes.keys() - {graph.output}, "everything leads to the output"
        blocks = [layer.block for layer in graph.layers[1:-2]]
        assert all(a <= b for a, b in pairwise(blocks))
        assert set(blocks) <= set(range(1, len(architecture.blocks) + 1))


# ---- what is refused


@pytest.mark.parametrize(
    ("side", "advice"),
    [(30, "use 28 or 32"), (2, "use 4"), (0, "use 4"), (-4, "use 4")],
)
def test_sides_that_strides_cannot_halve(side: int, advice: str) -> None:
    architecture = seed_architecture((1, 2, 1, 2, 1), 4)
    message = f"image side {side}: expected a multiple of 4, .* strides \\[1, 2, 1, 2, 1\\] .*; {advice}$"
    with pytest.raises(GraphError, match=message):
        check_input_side(architecture, side)
    for shape in (Shape(1, side, 32), Shape(1, 32, side)):
        with pytest.raises(GraphError, match=re.escape(advice)):
            lower(architecture, shape, classes=2)


def test_sides_that_strides_can_halve() -> None:
    for side in (4, 8, 28, 224):
        check_input_side(seed_architecture((1, 2, 1, 2, 1), 4), side)
