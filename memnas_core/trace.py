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
- What the network returns lives to the end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from memnas_core.graph import IMAGE
from memnas_core.recorder import INPUT_VALUE, Operation, Recording, Value, record


class TracedLayer(NamedTuple):
    """One layer: an operation and the element-wise operations that overwrite its result.

    Attributes:
        name: Unique: the module that runs it, with the operation where a module runs several.
        operations: Torch's names of its operations (`convolution`, `native_batch_norm`, `hardtanh`).
        inputs: Names of the activations that it reads.
        outputs: Names of those that it writes; the first bears the layer's name.
        weights: Trainable weights that it reads and no layer before it does.
    """

    name: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: int


@dataclass(frozen=True, slots=True)
class TracedGraph:
    """A network as layers in the order in which it ran them.

    Attributes:
        layers: The layers.
        tensors: Shape and elements of each activation, the image included.
        weights: Number of trainable weights of the whole network.
        unread_weights: How many of them inference does not read (auxiliary classifiers).
    """

    layers: tuple[TracedLayer, ...]
    tensors: Mapping[str, Value]
    weights: int
    unread_weights: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every activation without the leading batch dimension of 1."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def plain(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs), as `memnas_core.memory` takes it."""
        return {layer.name: (layer.inputs, layer.outputs) for layer in self.layers}

    def sizes(self, element_bytes: int) -> dict[str, int]:
        """Return the bytes of every activation at batch 1; integers count like all others."""
        return {name: tensor.elements * element_bytes for name, tensor in self.tensors.items()}


def trace(module: nn.Module, input_shape: Sequence[int]) -> TracedGraph:
    """Run a network once without data and return its graph.

    Args:
        module: A network that takes one float32 tensor. It is left as it was found. Built under
            `memnas_core.recorder.weightless`, it takes no memory.
        input_shape: Shape of one input without the batch (channels, height, width).

    Raises:
        InputError: The network does not run on this shape; the message names the module that refused.
    """
    recording = record(module, input_shape)
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
    operations: list[str] = field(default_factory=list)
    weights: set[str] = field(default_factory=set)


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
            and source in writer  # the image has none
            and source not in recording.outputs
            and values[source].elements == values[result].elements
        )
        if overwrites:
            layer = writer[source]
            layer.outputs[layer.outputs.index(source)] = result
        else:
            layer = _OpenLayer(_layer_name(operation), operation.reads, list(operation.writes))
            layers.append(layer)
        layer.operations.append(operation.name)
        layer.weights |= operation.weights
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
    tensor_names = {INPUT_VALUE: names.unique(IMAGE)}
    unread = dict(recording.weights)
    layers = []
    for layer in open_layers:
        name = names.unique(layer.name)
        for place, value in enumerate(layer.outputs):
            tensor_names[value] = f"{name}:{place}" if place else name
        inputs = tuple(tensor_names[value] for value in layer.inputs)
        outputs = tuple(tensor_names[value] for value in layer.outputs)
        weights = sum(unread.pop(weight, 0) for weight in layer.weights)
        layers.append(TracedLayer(name, tuple(layer.operations), inputs, outputs, weights))
    tensors = {name: recording.values[value] for value, name in tensor_names.items()}
    returned = tuple(tensor_names[value] for value in sorted(recording.outputs))
    if any(name in layer.inputs for layer in layers for name in returned):
        # In a plain graph only what nothing reads lives to the end: add a last reader that writes nothing.
        end = names.unique("output")
        layers.append(TracedLayer(end, (), returned, (end,), 0))
        tensors[end] = Value((0,), 0)
    return TracedGraph(tuple(layers), tensors, sum(recording.weights.values()), sum(unread.values()))


class _Names:
    """Gives each name once."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """Return the name, numbered from the second time on."""
        self._uses[name] += 1
        return name if self._uses[name] == 1 else self.unique(f"{name}_{self._uses[name]}")
