"""Places of tensors, byte by byte: what a layer reads is what was written there for it."""

import random
from dataclasses import replace

import numpy as np
import pytest

from memnas_core.errors import GraphError
from memnas_core.firmware.calls import calls
from memnas_core.firmware.layout import ALIGNMENT, RULES, Place, lay_out
from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import LayerRoles, shared_graph
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import IMAGE, Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape
from tests.core.export.conftest import EVERY_LAYER
from tests.core.random_architectures import random_walks, tangled


def random_graphs() -> list[Graph]:
    rng = random.Random(1)
    walks = [*random_walks(seed=11, count=150), *(tangled(rng, rng.randint(2, 5)) for _ in range(50)), EVERY_LAYER]
    shapes = [Shape(rng.choice((1, 3)), 8 * rng.randint(1, 2), 8) for _ in walks]
    graphs = [(walk, shape) for walk, shape in zip(walks, shapes, strict=True) if walk.reduction <= 8]
    return [best_order(lower(walk, shape, 5))[0] for walk, shape in graphs]


GRAPHS = random_graphs()


def indices(shape: Shape, place: Place) -> np.ndarray:
    """Return the byte of the arena of each value, in the order height, width, channels."""
    pixels = place.offset + place.step * np.arange(shape.height * shape.width)
    return (pixels[:, None] + np.arange(shape.channels)).ravel()


def check(graph: Graph) -> None:
    """Write a number of its own for each value of each tensor, and look for it where it is read."""
    layout, shapes = lay_out(graph), graph.shapes()
    firsts = np.cumsum([0, *(shape.elements for shape in shapes.values())])
    values = {
        name: np.arange(shape.elements) + first for (name, shape), first in zip(shapes.items(), firsts, strict=False)
    }
    arena = np.full(layout.bytes, -1)

    def put(name: str) -> None:
        arena[indices(shapes[name], layout.places[name])] = values[name]

    put(IMAGE)
    for layer in graph.layers:
        if layer.kind is not LayerKind.CONCAT:
            for source in layer.inputs:
                found = arena[indices(shapes[source], layout.places[source])]
                np.testing.assert_array_equal(found, values[source], err_msg=f"{layer.name} reads {source}")
        else:
            for call in calls(graph, layout):
                if call.layer is layer:
                    (place,), shape = (
                        call.inputs,
                        Shape(call.window.in_channels, layer.output.height, layer.output.width),
                    )
                    assert call.output is not None
                    arena[indices(shape, call.output)] = arena[indices(shape, place)]
            parts = [values[source].reshape(-1, shapes[source].channels) for source in layer.inputs]
            found = arena[indices(layer.output, layout.places[layer.name])]
            np.testing.assert_array_equal(found, np.concatenate(parts, axis=1).ravel(), err_msg=layer.name)
            values[layer.name] = found
            continue
        if layer.name != graph.output:
            put(layer.name)


def test_every_layer_finds_its_inputs() -> None:
    assert len(GRAPHS) > 120
    for graph in GRAPHS:
        check(graph)


def test_concatenations_are_written_in_place() -> None:
    copied = sum(call.layer.kind is LayerKind.CONCAT for graph in GRAPHS for call in calls(graph, lay_out(graph)))
    joined = sum(len(layer.inputs) for graph in GRAPHS for layer in graph.layers if layer.kind is LayerKind.CONCAT)
    assert joined > 200
    assert copied < joined / 3


def test_the_arena_is_the_smaller_of_two_plans() -> None:
    smaller = 0
    for graph in GRAPHS:
        kinds = {kind: frozenset(layer.name for layer in graph.layers if layer.kind is kind) for kind in LayerKind}
        roles = LayerRoles(kinds[LayerKind.SUM], kinds[LayerKind.CONCAT], frozenset({graph.output}))
        direct, copied = (
            plan_shared(shared_graph(graph.plain(), graph.sizes(1), roles, rules), ALIGNMENT).bytes
            for rules in (RULES, replace(RULES, direct_concats=False))
        )
        assert lay_out(graph).bytes == min(direct, copied)
        smaller += direct < copied
    assert smaller > 10


def test_a_concatenation_by_hand() -> None:
    """Two convolutions to two and three channels, joined, on 2x2 pixels: pixels of the parts are five bytes apart."""
    image, joined = Shape(1, 2, 2), Shape(5, 2, 2)
    graph = Graph(
        image,
        (
            Layer("a", LayerKind.CONV, (IMAGE,), 1, Shape(2, 2, 2)),
            Layer("b", LayerKind.CONV, (IMAGE,), 1, Shape(3, 2, 2)),
            Layer("both", LayerKind.CONCAT, ("a", "b"), 5, joined),
            Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, ("both",), 5, Shape(5, 1, 1)),
            Layer("end", LayerKind.LINEAR, ("pool",), 5, Shape(2, 1, 1)),
        ),
        "end",
    )
    layout = lay_out(graph)
    start = layout.places["both"].offset
    assert layout.places["a"] == Place(start, 5)
    assert layout.places["b"] == Place(start + 2, 5)
    assert layout.places["both"] == Place(start, 5)
    assert layout.bytes == 20 + 8  # the concatenation, beside it first the image and then the pool, five in two words
    assert [call.name for call in calls(graph, layout)] == ["a", "b", "pool", "end"]


def test_sizes_beyond_16_bits_are_refused() -> None:
    graph = best_order(lower(EVERY_LAYER, Shape(1, 40_000, 2), 5))[0]
    with pytest.raises(GraphError, match=r"expected sizes of tensors up to 32,767, found 40,000"):
        calls(graph, lay_out(graph))
