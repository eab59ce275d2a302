"""The arena of an architecture as one named runtime would plan it.

A runtime does not see an architecture's layers but its own operators. A `RuntimeModel` says how the two differ and
how memory is given to tensors; `operators` and `runtime_graph` write the operators down, `runtime_arena` plans their
arena. What is modelled was read off the runtimes' own plans and holds for the version that `docs/runtime-memory.md`
names. `memnas_core.block_arena` finds the same arena fast, for the search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from memnas_core.arena import plan_shared
from memnas_core.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.dataflow import Layers, Sizes
from memnas_core.graph import IMAGE, Graph, Layer, LayerKind, Shape
from memnas_core.memory import lifetimes
from memnas_core.placement import Buffer, used_bytes
from memnas_core.sharing import SharedGraph

INDEX_BYTES = 8
"""Of an index that a max pooling writes for each of its outputs (int64)."""


class Planner(StrEnum):
    """How offsets are found."""

    BEST = "best"  # memnas_core.placement
    SHARED_OBJECTS = "shared_objects"  # ExecuTorch's greedy planner


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeModel:
    """What a runtime makes of an architecture's layers, and how it plans memory.

    Attributes:
        rules: Which tensors share memory, and which lie outside.
        alignment: Every tensor takes a multiple of so many bytes.
        planner: How offsets are found.
        separate_relu: A convolution's ReLU is an operator of its own, with an output of its own.
        pool_indices: A max pooling of floats also writes the index of each maximum, which nothing reads. Those of
            int8 (CMSIS-NN's, on a Cortex-M) don't.
        transposed_classifier: The classifier's matrix of floats is transposed at run time, into the arena. One of int8
            is stored as it is needed.
        subsample_steps: A subsampling takes rows first and columns then, with a tensor between.
    """

    rules: ArenaRules
    alignment: int
    planner: Planner
    separate_relu: bool
    pool_indices: bool
    transposed_classifier: bool
    subsample_steps: bool


EXECUTORCH = RuntimeModel(
    rules=ArenaRules(in_place=False, direct_concats=False, counts_inputs=True, counts_outputs=True),
    alignment=16,
    planner=Planner.SHARED_OBJECTS,
    separate_relu=True,
    pool_indices=True,
    transposed_classifier=True,
    subsample_steps=True,
)
"""ExecuTorch with portable operators and its default settings, batch norm folded."""

EXECUTORCH_PLACED = replace(EXECUTORCH, planner=Planner.BEST)
"""The same tensors with the same lifetimes in the places that `memnas_core.placement` finds."""

EXECUTORCH_PLANNED = replace(EXECUTORCH, rules=replace(EXECUTORCH.rules, in_place=True), planner=Planner.BEST)
"""ExecuTorch with `memnas_core.executorch_plan` as its planner: the same, and ReLUs and additions in place."""

FUSED = RuntimeModel(
    rules=EXECUTORCH_PLANNED.rules,
    alignment=16,
    planner=Planner.BEST,
    separate_relu=False,
    pool_indices=False,
    transposed_classifier=False,
    subsample_steps=False,
)
"""A runtime that adds nothing to the layers of the graph and overwrites where it can."""


class RuntimeArena(NamedTuple):
    """An arena and what none can fall below.

    Attributes:
        bytes: What the runtime reserves.
        lower_bound: The most bytes that are in memory in one step; no placement of the same tensors needs less.
    """

    bytes: int
    lower_bound: int


@dataclass(frozen=True, slots=True)
class RuntimeGraph:
    """The operators of a runtime in the order in which they run, in plain values.

    Attributes:
        layers: Operator name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        shapes: Tensor name -> shape.
        roles: Which operators the rules are about.
    """

    layers: Layers
    sizes: Sizes
    shapes: Mapping[str, Shape]
    roles: LayerRoles


class Operator(NamedTuple):
    """What a runtime runs; its output bears its name.

    Attributes:
        name: Unique; the last operator of a layer bears the layer's name.
        reads: The tensors that it reads.
        output: Shape of what it writes.
        is_elementwise: Whether it may write over an input.
        index_bytes: Bytes of an index that it writes beside its output.
    """

    name: str
    reads: tuple[str, ...]
    output: Shape
    is_elementwise: bool = False
    index_bytes: int = 0


def operators(layer: Layer, model: RuntimeModel, element_bytes: int) -> Iterator[Operator]:
    """Yield what a runtime runs for a layer.

    Args:
        layer: The layer.
        model: The runtime.
        element_bytes: Bytes of one activation; 1 is int8.
    """
    name, reads, output = layer.name, layer.inputs, layer.output
    is_float = element_bytes > 1
    if layer.kind is LayerKind.CONV and model.separate_relu:
        yield Operator(f"{name} before ReLU", reads, output)
        yield Operator(name, (f"{name} before ReLU",), output, is_elementwise=True)
    elif layer.kind is LayerKind.SUBSAMPLE and model.subsample_steps:
        rows = Shape(output.channels, output.height, output.width * layer.stride[1])
        yield Operator(f"{name} rows", reads, rows)
        yield Operator(name, (f"{name} rows",), output)
    elif layer.kind is LayerKind.LINEAR and model.transposed_classifier and is_float:
        yield Operator(f"{name} matrix", (), Shape(layer.in_channels, output.channels, 1))
        yield Operator(name, (*reads, f"{name} matrix"), output)
    elif layer.kind is LayerKind.MAX_POOL and model.pool_indices and is_float:
        yield Operator(name, reads, output, index_bytes=output.elements * INDEX_BYTES)
    else:
        yield Operator(name, reads, output, is_elementwise=layer.kind is LayerKind.SUM)


def runtime_graph(graph: Graph, model: RuntimeModel, element_bytes: int) -> RuntimeGraph:
    """Return the operators that a runtime makes of a network.

    Args:
        graph: The network, in running order.
        model: The runtime.
        element_bytes: Bytes of one activation.
    """
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    shapes = {IMAGE: graph.input_shape}
    sizes = {IMAGE: graph.input_shape.elements * element_bytes}
    elementwise = set()
    for operator in (operator for layer in graph.layers for operator in operators(layer, model, element_bytes)):
        name = operator.name
        shapes[name] = operator.output
        sizes[name] = operator.output.elements * element_bytes
        layers[name] = operator.reads, (name,)
        if operator.is_elementwise:
            elementwise.add(name)
        if operator.index_bytes:
            index = f"{name} indices"
            shapes[index], sizes[index] = operator.output, operator.index_bytes
            layers[name] = operator.reads, (name, index)
            layers[f"{index} done"] = (index,), ()  # what nothing reads would live to the end
    concats = frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.CONCAT)
    return RuntimeGraph(layers, sizes, shapes, LayerRoles(frozenset(elementwise), concats, frozenset((graph.output,))))


def runtime_arena(graph: Graph, model: RuntimeModel, element_bytes: int) -> RuntimeArena:
    """Return the arena that a runtime reserves for a network's activations at batch 1.

    Arguments as `runtime_graph`.
    """
    made = runtime_graph(graph, model, element_bytes)
    shared = shared_graph(made.layers, made.sizes, made.roles, model.rules, alignment=model.alignment)
    if model.planner is Planner.BEST:
        plan = plan_shared(shared, model.alignment)
        return RuntimeArena(plan.bytes, plan.lower_bound)
    buffers = _buffers(shared, model.alignment)
    return RuntimeArena(shared_objects_bytes(buffers), max(used_bytes(buffers)))


def shared_objects_bytes(buffers: Sequence[Buffer]) -> int:
    """Return the arena of ExecuTorch's greedy planner.

    Tensors are taken by size, the largest first and among equals the last first. Each goes into the first object in
    which nothing lives in its time, to the bottom; else into the first in which it fits on top of all that lives in its
    time; else it begins an object of its own size. Objects lie one behind the other and never grow.

    Args:
        buffers: What is to be placed, in the order in which the program mentions them.

    Source: `executorch.exir.memory_planning.greedy`, ExecuTorch 1.5.
    """
    objects: list[_SharedObject] = []
    for buffer in sorted(buffers, key=lambda buffer: buffer.size)[::-1]:
        tops = [shared.top_beside(buffer) for shared in objects]
        free = (number for number, top in enumerate(tops) if top == 0)
        fitting = (number for number, top in enumerate(tops) if top + buffer.size <= objects[number].size)
        number = next(free, next(fitting, len(objects)))
        if number == len(objects):
            objects.append(_SharedObject(buffer.size, []))
            tops.append(0)
        objects[number].tenants.append((tops[number] + buffer.size, buffer))
    return sum(shared.size for shared in objects)


@dataclass(frozen=True, slots=True)
class _SharedObject:
    """Memory that tensors take in turn; `tenants` has where each ends."""

    size: int
    tenants: list[tuple[int, Buffer]]

    def top_beside(self, buffer: Buffer) -> int:
        """Return where the highest tenant that lives in a buffer's time ends."""
        together = (end for end, tenant in self.tenants if tenant.born <= buffer.last and buffer.born <= tenant.last)
        return max(together, default=0)


def _buffers(shared: SharedGraph, alignment: int) -> list[Buffer]:
    """Return the pieces of memory of a shared graph with their lifetimes, in order of birth."""
    names = {name: home for home, name in shared.memory_names().items()}
    return [
        Buffer(-(-row.bytes // alignment) * alignment, row.born, row.last)
        for row in lifetimes(*shared.plain(), "sequential").rows
        if row.tensor in names
    ]
