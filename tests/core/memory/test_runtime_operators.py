"""Arenas of named runtimes: by hand, against ExecuTorch's own planner, and against each other."""

import random
from dataclasses import replace

import pytest

from memnas_core.memory.block_arena import ARENA
from memnas_core.memory.lifetimes import peak_activation_bytes
from memnas_core.memory.placement import Buffer, used_bytes
from memnas_core.memory.runtime_operators import (
    EXECUTORCH,
    EXECUTORCH_PLACED,
    EXECUTORCH_PLANNED,
    FUSED,
    runtime_arena,
    runtime_graph,
    shared_objects_bytes,
)
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.operations import Operation
from tests.core.random_architectures import random_walks


def one_cell(first: Operation, second: Operation, stride: int = 1) -> Graph:
    """Return a network of one block with one cell that adds two operations on the stem's output."""
    cell = Cell(Branch(0, first), Branch(0, second), Combiner.SUM, included=True).ordered()
    return lower(Architecture((Block((cell,), stride),), 4), Shape(4, 8, 8), 10)


def random_buffers(rng: random.Random) -> list[Buffer]:
    births = sorted(rng.randint(1, 12) for _ in range(rng.randint(1, 25)))
    sizes = (1, 2, 2, 4, 4, 8, rng.randint(1, 20))
    return [Buffer(16 * rng.choice(sizes), born, born + rng.randint(0, 5)) for born in births]


def test_operators_of_executorch_by_hand() -> None:
    graph = one_cell(ops.MAX_POOL_3X3, ops.IDENTITY, stride=2)
    made = runtime_graph(graph, EXECUTORCH, 4)
    # 4 channels: 8 x 8 is 1024 bytes, 4 x 8 is 512 and 4 x 4 is 256; an index of int64 takes twice a float32.
    sizes = [made.sizes[name] for name in made.layers if name in made.sizes]
    # stem and its ReLU; the pooling, the subsampling's rows and columns, the sum; mean, transposed matrix, result
    assert sorted(sizes) == sorted([1024, 1024, 256, 512, 256, 256, 16, 160, 40])
    assert [size for name, size in made.sizes.items() if name.endswith("indices")] == [512]
    assert made.roles.elementwise >= {"stem", "b1_c1_sum"}


def test_executorch_by_hand() -> None:
    # One convolution beside the stem's output, which an identity hands on: every tensor has 1024 bytes.
    graph = one_cell(ops.CONV_3X3, ops.IDENTITY)
    # Image and convolution, convolution and ReLU: 2 tensors. Beside the stem's output the cell's convolution and its
    # ReLU: 3, and their sum: 3.
    assert runtime_arena(graph, EXECUTORCH, 4).bytes == 3 * 1024
    # In place there are two at a time; the mean, the matrix and the result are smaller than what they follow.
    assert runtime_arena(graph, EXECUTORCH_PLANNED, 4).bytes == 2 * 1024
    assert runtime_arena(graph, FUSED, 4).bytes == 2 * 1024
    assert runtime_arena(graph, FUSED, 1).bytes == 2 * 256


def test_a_max_pooling_needs_its_indices() -> None:
    # While it runs: the stem's output, the other pooling's if that ran first, its own, and indices of twice its bytes.
    graph = one_cell(ops.MAX_POOL_3X3, ops.AVERAGE_POOL_3X3)
    second = [layer.kind for layer in graph.layers if "pool_" not in layer.name and "pool" in layer.kind][1]
    is_second = second is LayerKind.MAX_POOL
    assert runtime_arena(graph, EXECUTORCH_PLANNED, 4).bytes == (5 if is_second else 4) * 1024
    assert runtime_arena(graph, FUSED, 4).bytes == 3 * 1024


@pytest.mark.parametrize(
    ("buffers", "expected"),
    [
        ([Buffer(32, 1, 2), Buffer(16, 2, 3), Buffer(16, 3, 4)], 48),  # the last takes the first one's object
        # 16 at the top of 32's object while 16 lies at its bottom.
        ([Buffer(32, 1, 1), Buffer(16, 2, 3), Buffer(16, 3, 4)], 32),
        # 48 bytes would do: 32 and 16, then 16 and 32. Objects never grow, so the second 32 needs its own.
        ([Buffer(32, 1, 2), Buffer(16, 1, 3), Buffer(32, 3, 4), Buffer(16, 4, 5), Buffer(32, 4, 5)], 80),
        ([], 0),
    ],
)
def test_shared_objects_by_hand(buffers: list[Buffer], expected: int) -> None:
    assert shared_objects_bytes(buffers) == expected


def test_shared_objects_are_executorchs() -> None:
    pytest.importorskip("executorch")
    import torch
    from executorch.exir.memory_planning import greedy
    from executorch.exir.tensor import TensorSpec
    from torch.fx import Graph as FxGraph
    from torch.fx import GraphModule

    module = GraphModule(torch.nn.Module(), FxGraph())
    rng = random.Random(5)
    for _ in range(150):
        buffers = random_buffers(rng)
        specs = []
        for size, born, last in buffers:
            spec = TensorSpec(torch.uint8, torch.Size([size]))
            spec.lifetime = [born, last]
            specs.append(spec)
        assert shared_objects_bytes(buffers) == sum(greedy(16, specs, module, None, 0).bufsizes)


def test_models_are_ordered() -> None:
    """What a model does better can only help."""
    for architecture in (*random_walks(seed=41, count=25), *random_walks(seed=41, count=25, widths=True)):
        side = 4 * architecture.reduction
        graph = lower(architecture, Shape(3, side, side), 10)
        shipped, placed, planned, fused = (
            runtime_arena(graph, model, 4) for model in (EXECUTORCH, EXECUTORCH_PLACED, EXECUTORCH_PLANNED, FUSED)
        )
        assert shipped.lower_bound == placed.lower_bound
        assert shipped.lower_bound <= placed.bytes <= shipped.bytes
        assert planned.lower_bound <= planned.bytes
        assert fused.lower_bound <= planned.lower_bound <= placed.lower_bound
        padding = 15 * len(graph.shapes())
        assert fused.lower_bound <= peak_activation_bytes(graph.plain(), graph.sizes(4), "sequential") + padding


def test_shared_objects_are_no_less_than_what_is_in_use() -> None:
    rng = random.Random(6)
    for _ in range(200):
        buffers = random_buffers(rng)
        assert max(used_bytes(buffers)) <= shared_objects_bytes(buffers) <= sum(buffer.size for buffer in buffers)


def test_what_the_search_plans_for_is_what_is_exported() -> None:
    """A ReLU in place needs no memory of its own, so that it may be left out."""
    assert replace(ARENA, separate_relu=True) == EXECUTORCH_PLANNED
    for architecture in random_walks(seed=42, count=25):
        side = 4 * architecture.reduction
        graph = lower(architecture, Shape(3, side, side), 10)
        for element_bytes in (1, 4):
            assert runtime_arena(graph, ARENA, element_bytes) == runtime_arena(graph, EXECUTORCH_PLANNED, element_bytes)


def test_int8_poolings_have_no_index_and_int8_classifiers_no_copy() -> None:
    graph = one_cell(ops.MAX_POOL_3X3, ops.IDENTITY, stride=2)
    made = runtime_graph(graph, EXECUTORCH_PLANNED, 1)
    # stem and its ReLU; the pooling, the subsampling's rows and columns, the sum; mean, result; and the image
    assert sorted(made.sizes.values()) == sorted([256, 256, 64, 128, 64, 64, 4, 10, 256])
    assert made.shapes.keys() == made.sizes.keys()
