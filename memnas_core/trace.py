"""Tracing: any torch network and an input shape become one plain graph, as `memnas_core.graph` has for ours.

`memnas_core.recorder` says what the network does at batch 1. What of that makes a layer, and what takes
memory, follows the rules of our own graph:

- Tensors that share memory are one: views, reshapes, permutes, flatten, slices, dropout at inference. A slice
  keeps the whole tensor in memory.
- An operation that works element by element on one tensor (activation, batch norm, scaling by a weight,
  copy) belongs to the layer that wrote this tensor, and overwrites it, if nothing else reads it and the
  network does not return it. Otherwise it is a layer of its own, even where the author wrote it in place
  (`relu_`, `x += y`). So convolution, batch norm and ReLU in a row are one layer, and an addition of two
  tensors always is one.
- Weights, buffers and what is computed from them alone are no activations; the image is one.
- Memory inside an operation is not seen. What nothing reads and the network does not return (the indices of
  a max pooling, say) is left out, with the operations that lead only there.
- Attention is products and a softmax, as torch spells it out where it has no fused kernel.
- What the network returns lives to the end. An input that nothing reads takes no memory.

For arenas (`TracedGraph.roles`), a layer may write over an input if its first operation works element by element,
all that it reads of its result's size lies in memory as the result does, and it has one result. A concatenation
joins its inputs in memory if they are whole, different activations and the joined dimension is the slowest.

Folded, a batch norm right behind a convolution or matrix product that nothing else reads is gone, with its scale and
shift; the convolution has one bias a channel. Weights that several layers share are not folded.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from torch import nn

from memnas_core.arena_rules import LayerRoles
from memnas_core.graph import IMAGE
from memnas_core.parameters import ParameterCount
from memnas_core.recorder import BATCH_NORM, NetworkInput, Operation, Recording, Value, record

_FOLDS = frozenset(("convolution", "addmm", "mm"))
"""Operations into which a batch norm behind them can be folded."""


class TracedLayer(NamedTuple):
    """One layer: an operation and the element-wise operations that overwrite its result.

    Attributes:
        name: Unique: the module that runs it, with the operation where a module runs several.
        operations: Torch's names of its operations (`convolution`, `native_batch_norm`, `hardtanh`).
        inputs: Names of the activations that it reads.
        outputs: Names of those that it writes; the first bears the layer's name.
        weights: Trainable weights that it reads and no layer before it does.
        keeps_places: Whether it may write over an input.
        joins: Whether it joins its inputs one behind the other in memory.
    """

    name: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: int
    keeps_places: bool = False
    joins: bool = False


@dataclass(frozen=True, slots=True)
class TracedGraph:
    """A network as layers in the order in which it ran them.

    Attributes:
        layers: The layers.
        tensors: Shape and elements of each activation, the image included.
        returned: Names of the activations that the network returns.
        weights: Number of trainable weights of the whole network.
        unread_weights: How many of them inference does not read (auxiliary classifiers).
        unfolded: The weights by kind.
        folded: The same with batch norm folded.
    """

    layers: tuple[TracedLayer, ...]
    tensors: Mapping[str, Value]
    returned: tuple[str, ...]
    weights: int
    unread_weights: int
    unfolded: ParameterCount
    folded: ParameterCount

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every activation without the leading batch dimension of 1."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def plain(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs), as `memnas_core.memory` takes it."""
        return {layer.name: (layer.inputs, layer.outputs) for layer in self.layers}

    def sizes(self, element_bytes: int) -> dict[str, int]:
        """Return the bytes of every activation at batch 1; integers count like all others."""
        return {name: tensor.elements * element_bytes for name, tensor in self.tensors.items()}

    def roles(self) -> LayerRoles:
        """Return which layers may run in place or join tensors, and what the network returns."""
        return LayerRoles(
            frozenset(layer.name for layer in self.layers if layer.keeps_places),
            frozenset(layer.name for layer in self.layers if layer.joins),
            frozenset(self.returned),
        )

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return how many weights there are of each kind."""
        return self.folded if fold_batch_norm else self.unfolded


def trace(module: nn.Module, input_shape: Sequence[int]) -> TracedGraph:
    """Run a network once without data and return its graph.

    Args:
        module: A network that takes one float32 tensor. It is left as it was found. Built under
            `memnas_core.recorder.weightless`, it takes no memory.
        input_shape: Shape of one input without the batch (channels, height, width).

    Raises:
        InputError: The network does not run on this shape; the message names the module that refused.
    """
    return trace_inputs(module, (NetworkInput(tuple(input_shape)),))


def trace_inputs(module: nn.Module, inputs: Sequence[NetworkInput]) -> TracedGraph:
    """Do the same for a network that takes several tensors, or integers.

    Raises:
        InputError: As `trace`.
    """
    return graph_of(record(module, inputs))


def graph_of(recording: Recording) -> TracedGraph:
    """Return the graph of what was recorded."""
    return _named(recording, _fused(recording, _needed(recording)))


def _needed(recording: Recording) -> list[Operation]:
    """Drop operations and values that lead to no output."""
    needed = set(recording.outputs)
    kept = []
    for operation in reversed(recording.operations):
        writes = tuple(value for value in operation.writes if value in needed)
        if writes:
            needed.update(operation.reads)
            kept.append(operation._replace(writes=writes))
    return kept[::-1]


@dataclass(slots=True)
class _OpenLayer:
    """A layer to which element-wise operations may still be added; values by number."""

    name: str
    inputs: tuple[int, ...]
    outputs: list[int]
    operations: list[Operation] = field(default_factory=list)


def _fused(recording: Recording, operations: Sequence[Operation]) -> list[_OpenLayer]:
    """Join each element-wise operation with the layer whose result it may overwrite."""
    values = recording.values
    readers = Counter(value for operation in operations for value in operation.reads)
    layers: list[_OpenLayer] = []
    writer: dict[int, _OpenLayer] = {}
    for operation in operations:
        source, result = operation.reads[0], operation.writes[0]
        overwrites = (
            operation.is_elementwise
            and readers[source] == 1
            and source in writer  # an input has none
            and source not in recording.outputs
            and values[source].elements == values[result].elements
        )
        if overwrites:
            layer = writer[source]
            layer.outputs[layer.outputs.index(source)] = result
        else:
            layer = _OpenLayer(_layer_name(operation), operation.reads, list(operation.writes))
            layers.append(layer)
        layer.operations.append(operation)
        writer.update(dict.fromkeys(operation.writes, layer))
    return layers


def _layer_name(operation: Operation) -> str:
    name, is_leaf = operation.module
    if not name:
        return operation.name
    return name if is_leaf else f"{name}.{operation.name}"


def _named(recording: Recording, open_layers: Sequence[_OpenLayer]) -> TracedGraph:
    """Give layers and values their names, and weights to the first layer that reads them."""
    names = _Names()
    read = {value for layer in open_layers for value in layer.inputs}
    tensor_names = {
        value: names.unique(IMAGE if len(recording.values[value].shape) == 3 else "input")
        for value in range(recording.inputs)
        if value in read
    }
    sizes = {name: math.prod(shape) for name, shape in recording.weights.items()}
    unread = dict(sizes)
    layers = []
    for layer in open_layers:
        name = names.unique(layer.name)
        for place, value in enumerate(layer.outputs):
            tensor_names[value] = f"{name}:{place}" if place else name
        inputs = tuple(tensor_names[value] for value in layer.inputs)
        outputs = tuple(tensor_names[value] for value in layer.outputs)
        weights = sum(unread.pop(weight, 0) for operation in layer.operations for weight in operation.weights)
        operations, first = tuple(operation.name for operation in layer.operations), layer.operations[0]
        layers.append(TracedLayer(name, operations, inputs, outputs, weights, first.keeps_places, first.joins))
    tensors = {name: recording.values[value] for value, name in tensor_names.items()}
    returned = tuple(tensor_names[value] for value in sorted(recording.outputs))
    if any(name in layer.inputs for layer in layers for name in returned):
        # In a plain graph only what nothing reads lives to the end: add a last reader that writes nothing.
        end = names.unique("output")
        layers.append(TracedLayer(end, (), returned, (end,), 0))
        tensors[end] = Value((0,), 0)
    vectors = sum(size for name, size in sizes.items() if len(recording.weights[name]) <= 1)
    unfolded = ParameterCount(sum(sizes.values()) - vectors, vectors)
    return TracedGraph(
        tuple(layers),
        tensors,
        returned,
        unfolded.total,
        sum(unread.values()),
        unfolded,
        unfolded._replace(vectors=vectors + _change_by_folding(recording, open_layers)),
    )


def _change_by_folding(recording: Recording, layers: Sequence[_OpenLayer]) -> int:
    """Return by how many elements the vectors among the weights grow when batch norm is folded; mostly negative."""
    readers = Counter(weight for layer in layers for operation in layer.operations for weight in operation.weights)
    change = 0
    for layer in layers:
        for first, second in pairwise(layer.operations):
            weights = first.weights | second.weights
            if first.name in _FOLDS and second.name in BATCH_NORM and all(readers[weight] == 1 for weight in weights):
                shapes = [recording.weights[weight] for weight in weights]
                channels = recording.values[second.writes[0]].shape[0]
                change += channels - sum(math.prod(shape) for shape in shapes if len(shape) <= 1)
    return change


class _Names:
    """Gives each name once."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """Return the name, numbered from the second time on."""
        self._uses[name] += 1
        return name if self._uses[name] == 1 else self.unique(f"{name}_{self._uses[name]}")
