"""The arena of an architecture as a given runtime would plan it.

A runtime does not see an architecture's layers but its own operators. A `RuntimeModel` says how the two differ and
how tensors get memory; `operators` and `runtime_graph` list the operators, `runtime_arena` plans their arena. The
models were derived from the runtimes' own plans and hold for the versions in `docs/runtime-memory.md`.
`memnas_core.memory.block_arena` finds the same arena fast, for the search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.dataflow import Layers, Sizes
from memnas_core.memory.kernel_scratch import Kernels, scratch_bytes
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.placement import Buffer, used_bytes
from memnas_core.memory.sharing import SharedGraph
from memnas_core.memory.steps import aligned
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import Layer, LayerKind, Shape

INDEX_BYTES = 8
"""Bytes of an index (int64); a max pooling writes one for each of its outputs."""


class Planner(StrEnum):
    """The method by which offsets are found."""

    BEST = "best"  # memnas_core.memory.placement
    SHARED_OBJECTS = "shared_objects"  # ExecuTorch's greedy planner


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeModel:
    """The operators that a runtime makes of an architecture's layers, and how it plans memory.

    Attributes:
        rules: Rules that decide which tensors share memory, and which lie outside the arena.
        alignment: Number of bytes; every tensor takes a multiple of it.
        planner: Method by which offsets are found.
        separate_relu: Whether a convolution's ReLU is an operator of its own, with an output of its own.
        pool_indices: Whether a max pooling of floats also writes the index of each maximum, which nothing reads. Max
            poolings of int8 (CMSIS-NN's, on a Cortex-M) never do.
        transposed_classifier: Whether the classifier's matrix of floats is transposed at run time, into the arena. A
            matrix of int8 is stored as it is needed.
        subsample_steps: Whether a subsampling takes rows first and then columns, with a tensor in between.
        kernels: Kernels of the Cortex-M that runs int8, whose scratch memory lies in the arena; None: none counts.
    """

    rules: ArenaRules
    alignment: int
    planner: Planner
    separate_relu: bool
    pool_indices: bool
    transposed_classifier: bool
    subsample_steps: bool
    kernels: Kernels | None = None


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
"""ExecuTorch's tensors and lifetimes with the offsets that `memnas_core.memory.placement` finds."""

EXECUTORCH_PLANNED = replace(EXECUTORCH, rules=replace(EXECUTORCH.rules, in_place=True), planner=Planner.BEST)
"""ExecuTorch with the planner `memnas_core.export.executorch_plan`, which also lets ReLUs and additions work in
place."""

FUSED = RuntimeModel(
    rules=EXECUTORCH_PLANNED.rules,
    alignment=16,
    planner=Planner.BEST,
    separate_relu=False,
    pool_indices=False,
    transposed_classifier=False,
    subsample_steps=False,
)
"""A runtime that adds no tensors to those of the layers and works in place wherever it can."""


class RuntimeArena(NamedTuple):
    """An arena and a lower bound on its size.

    Attributes:
        bytes: Bytes that the runtime reserves.
        lower_bound: Largest number of bytes in memory in a step; every placement of these tensors needs at least that.
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
        roles: Operators and tensors that the rules apply to.
    """

    layers: Layers
    sizes: Sizes
    shapes: Mapping[str, Shape]
    roles: LayerRoles


class Operator(NamedTuple):
    """An operator of a runtime; its output has the operator's name.

    Attributes:
        name: Unique name; the last operator of a layer has the layer's name.
        reads: Names of the tensors that the operator reads.
        output: Shape of the output.
        is_elementwise: Whether the operator may write over an input.
        beside_bytes: Bytes that the operator needs beside its output while it runs: indices that it writes, or the
            scratch memory of its kernel.
    """

    name: str
    reads: tuple[str, ...]
    output: Shape
    is_elementwise: bool = False
    beside_bytes: int = 0


def operators(layer: Layer, model: RuntimeModel, element_bytes: int) -> Iterator[Operator]:
    """Yield the operators that a runtime runs for a layer.

    Args:
        layer: The layer.
        model: The runtime.
        element_bytes: Bytes of one activation; 1 means int8.
    """
    name, reads, output = layer.name, layer.inputs, layer.output
    is_float = element_bytes > 1
    scratch = 0 if is_float or model.kernels is None else scratch_bytes(layer, model.kernels)
    if layer.kind is LayerKind.CONV and model.separate_relu:
        yield Operator(f"{name} before ReLU", reads, output, beside_bytes=scratch)
        yield Operator(name, (f"{name} before ReLU",), output, is_elementwise=True)
    elif layer.kind is LayerKind.SUBSAMPLE and model.subsample_steps:
        rows = Shape(output.channels, output.height, output.width * layer.stride[1])
        yield Operator(f"{name} rows", reads, rows)
        yield Operator(name, (f"{name} rows",), output)
    elif layer.kind is LayerKind.LINEAR and model.transposed_classifier and is_float:
        yield Operator(f"{name} matrix", (), Shape(layer.in_channels, output.channels, 1))
        yield Operator(name, (*reads, f"{name} matrix"), output)
    elif layer.kind is LayerKind.MAX_POOL and model.pool_indices and is_float:
        yield Operator(name, reads, output, beside_bytes=output.elements * INDEX_BYTES)
    else:
        yield Operator(name, reads, output, is_elementwise=layer.kind is LayerKind.SUM, beside_bytes=scratch)


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
        if operator.beside_bytes:
            beside = f"{name} indices" if element_bytes > 1 else f"{name} scratch"
            shapes[beside] = operator.output if element_bytes > 1 else Shape(operator.beside_bytes, 1, 1)
            sizes[beside] = operator.beside_bytes
            layers[name] = operator.reads, (name, beside)
            layers[f"{beside} done"] = (beside,), ()  # an unread tensor would stay in memory to the end
    concats = frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.CONCAT)
    return RuntimeGraph(layers, sizes, shapes, LayerRoles(frozenset(elementwise), concats, frozenset((graph.output,))))


def runtime_arena(graph: Graph, model: RuntimeModel, element_bytes: int) -> RuntimeArena:
    """Return the arena that a runtime reserves for a network's activations at batch 1.

    Arguments are those of `runtime_graph`.
    """
    made = runtime_graph(graph, model, element_bytes)
    shared = shared_graph(made.layers, made.sizes, made.roles, model.rules, alignment=model.alignment)
    if model.planner is Planner.BEST:
        plan = plan_shared(shared, model.alignment)
        return RuntimeArena(plan.bytes, plan.lower_bound)
    buffers = _buffers(shared, model.alignment)
    return RuntimeArena(shared_objects_bytes(buffers), max(used_bytes(buffers)))


def shared_objects_bytes(buffers: Sequence[Buffer]) -> int:
    """Return the bytes of the arena of ExecuTorch's greedy planner.

    Tensors are taken by size, the largest first and among equals the last first. Each goes to the bottom of the first
    object in which no other tensor is in memory at the same time; otherwise into the first object in which it fits on
    top of the tensors in memory at the same time; otherwise it begins a new object of its size. Objects lie one behind
    the other and never grow.

    Args:
        buffers: Buffers to place, in the order in which the program mentions them.

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
    """Memory that tensors share; `tenants` has each tensor with the byte at which it ends."""

    size: int
    tenants: list[tuple[int, Buffer]]

    def top_beside(self, buffer: Buffer) -> int:
        """Return the end of the highest tenant that is in memory at the same time as a buffer; 0 if there is none."""
        together = (end for end, tenant in self.tenants if tenant.born <= buffer.last and buffer.born <= tenant.last)
        return max(together, default=0)


def _buffers(shared: SharedGraph, alignment: int) -> list[Buffer]:
    """Return the pieces of memory of a shared graph with their lifetimes, in order of birth."""
    names = {name: home for home, name in shared.memory_names().items()}
    return [
        Buffer(aligned(row.bytes, alignment), row.born, row.last)
        for row in lifetimes(*shared.plain(), "sequential").rows
        if row.tensor in names
    ]
