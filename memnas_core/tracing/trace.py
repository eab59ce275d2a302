"""Tracing: any torch network and an input shape become a plain graph, as an architecture does.

`memnas_core.tracing.recorder` records what the network does. What counts as a layer, and what takes memory, follows
the rules of `memnas_core.space.graph`:

- Tensors that share memory are one: views, reshapes, permutes, flatten, slices, dropout at inference. A slice
  keeps the whole tensor in memory.
- An operation that works element by element on one tensor (activation, batch norm, scaling by a weight) belongs to the
  layer that wrote this tensor, and overwrites it, if every element stays in its place in memory, nothing else reads
  the tensor, and the network does not return it. Otherwise it is a layer of its own, even where the author wrote it in
  place (`relu_`, `x += y`). So convolution, batch norm and ReLU in a row are one layer, and an addition of two
  tensors is always a layer of its own, as is a copy into another layout (`x.permute(...).reshape(...)`).
- Weights, buffers and what is computed from them alone are no activations; the image is one, and so is noise.
- Memory inside an operation is not seen. A tensor that no layer reads and the network does not return (the
  indices of a max pooling, say) is left out, and so are the operations that lead only to it.
- Attention counts as matrix products and a softmax, as torch computes it without a fused kernel.
- Tensors that the network returns stay in memory to the end, inputs among them. An input that is neither read nor
  returned takes no memory.
- Persistent state (`memnas_core.tracing.state`) stays in memory from the first layer to the last. What is written into
  it has the state's memory and takes none of its own; who reads what was there before, must run before.

For arenas (`TracedGraph.roles`), a layer may write over an input if it has one result, its first operation works
element by element, and every input of the result's size has the result's layout in memory. A concatenation joins
its inputs in memory if they are whole, different activations and the joined dimension is the slowest.

Which batch norms can be folded, `memnas_core.tracing.folding` says.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from memnas_core.memory.arena_rules import LayerRoles
from memnas_core.memory.parameters import ParameterCount
from memnas_core.space.graph import IMAGE
from memnas_core.tracing.folding import change_by_folding
from memnas_core.tracing.inputs import NetworkInput
from memnas_core.tracing.recorder import record
from memnas_core.tracing.recording import Call, Recording, Value


class TracedLayer(NamedTuple):
    """One layer: an operation and the element-wise operations that overwrite its result.

    Attributes:
        name: Unique name: the module that runs the layer, followed by the operation unless the module is a leaf.
        operations: Torch's names of the layer's operations (`convolution`, `native_batch_norm`, `hardtanh`).
        inputs: Names of the activations that the layer reads.
        outputs: Names of the activations that the layer writes; the first is the layer's name.
        weights: Number of weights that this layer is the first to read.
        keeps_places: Whether the layer may write over an input.
        joins: Whether the layer joins its inputs one behind the other in memory.
        is_depthwise: Whether the layer is a depthwise convolution.
    """

    name: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: int
    keeps_places: bool = False
    joins: bool = False
    is_depthwise: bool = False


@dataclass(frozen=True, slots=True)
class TracedGraph:
    """A network as layers in the order in which they ran.

    Attributes:
        layers: Layers in the order in which they ran.
        tensors: Shape and number of elements of each activation, the image included.
        returned: Names of the activations that the network returns.
        state: Names of the tensors that stay in memory from one run to the next.
        weights: Number of weights of the whole network, frozen ones included.
        unread_weights: Number of weights that inference does not read (auxiliary classifiers).
        unfolded: Number of weights by kind, before batch norm is folded.
        folded: Number of weights by kind, with batch norm folded.
    """

    layers: tuple[TracedLayer, ...]
    tensors: Mapping[str, Value]
    returned: tuple[str, ...]
    state: tuple[str, ...]
    weights: int
    unread_weights: int
    unfolded: ParameterCount
    folded: ParameterCount

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every activation without the leading batch dimension of 1."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def plain(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs), as `memnas_core.memory.lifetimes` takes it."""
        return {layer.name: (layer.inputs, layer.outputs) for layer in self.layers}

    def sizes(self, element_bytes: int) -> dict[str, int]:
        """Return the bytes of every activation; an integer takes `element_bytes` like any other element."""
        return {name: tensor.elements * element_bytes for name, tensor in self.tensors.items()}

    def roles(self) -> LayerRoles:
        """Return which layers may run in place or join tensors, and what the network returns."""
        return LayerRoles(
            frozenset(layer.name for layer in self.layers if layer.keeps_places),
            frozenset(layer.name for layer in self.layers if layer.joins),
            frozenset(self.returned),
            frozenset(self.state),
        )

    def depthwise(self) -> frozenset[str]:
        """Return the depthwise convolutions."""
        return frozenset(layer.name for layer in self.layers if layer.is_depthwise)

    def computations(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """Return layer name -> (operations, number of weights that the layer is the first to read)."""
        return {layer.name: (layer.operations, layer.weights) for layer in self.layers}

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return the number of weights of each kind."""
        return self.folded if fold_batch_norm else self.unfolded


def trace(module: nn.Module, input_shape: Sequence[int]) -> TracedGraph:
    """Return the graph of a network, which is run once without data.

    Args:
        module: Network that takes one float32 tensor. It is left as it was found. Built under
            `memnas_core.tracing.recorder.weightless`, it takes no memory.
        input_shape: Shape of one input without the batch (channels, height, width).

    Raises:
        InputError: The network does not run on this shape; the message names the module that refused.
    """
    return trace_inputs(module, (NetworkInput(tuple(input_shape)),))


def trace_inputs(module: nn.Module, inputs: Sequence[NetworkInput], batch: int = 1) -> TracedGraph:
    """Return the graph of a network that takes several tensors, or other types than float32.

    Args:
        module: The network, as for `trace`.
        inputs: Inputs of the network, in order.
        batch: Number of images.

    Raises:
        InputError: The network does not run on these inputs; the message names the module that refused.
    """
    return graph_of(record(module, inputs, batch))


def graph_of(recording: Recording) -> TracedGraph:
    """Return the graph of a recorded run."""
    needed = _needed(recording)
    folding = change_by_folding(needed, recording.kept, recording.weights)
    layers = _fused(recording, needed)
    _wait_for_readers(recording, layers)
    return _named(recording, layers, folding)


def _needed(recording: Recording) -> list[Call]:
    """Return the operations that lead to an output, without the values that lead to none."""
    needed = set(recording.kept)
    kept = []
    for operation in reversed(recording.operations):
        writes = tuple(value for value in operation.writes if value in needed)
        if writes:
            needed.update(operation.reads)
            kept.append(operation._replace(writes=writes))
    return kept[::-1]


@dataclass(slots=True)
class _OpenLayer:
    """A layer to which element-wise operations may still be added; its inputs and outputs are numbers of values."""

    name: str
    inputs: tuple[int, ...]
    outputs: list[int]
    operations: list[Call] = field(default_factory=list)


def _fused(recording: Recording, operations: Sequence[Call]) -> list[_OpenLayer]:
    """Return layers, each element-wise operation joined with the layer whose result it may overwrite."""
    values = recording.values
    readers = Counter(value for operation in operations for value in operation.reads)
    layers: list[_OpenLayer] = []
    writer: dict[int, _OpenLayer] = {}
    for operation in operations:
        source, result = next(iter(operation.reads), -1), operation.writes[0]  # random numbers are made of nothing
        overwrites = (
            operation.is_elementwise
            and operation.keeps_places  # a copy into another layout does not
            and len(operation.writes) == 1
            and readers[source] == 1
            and source in writer  # an input of the network has no writer
            and source not in recording.kept
            and recording.places.get(source) == recording.places.get(result)
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


def _wait_for_readers(recording: Recording, layers: Sequence[_OpenLayer]) -> None:
    """Let each layer that writes into a persistent state wait for those that read what the state held before.

    The layers that read it get one more output, which takes no memory.
    """
    token = len(recording.values)
    readers: dict[int, list[_OpenLayer]] = {state: [] for state in recording.state}
    for layer in layers:
        read = {recording.places.get(value, value) for value in layer.inputs} & readers.keys()
        written = {recording.places[value] for value in layer.outputs if value in recording.places}
        for state in written:
            for reader in readers[state]:
                reader.outputs.append(token)
                layer.inputs += (token,)
                token += 1
            readers[state] = []
        for state in read - written:
            readers[state].append(layer)


def _layer_name(operation: Call) -> str:
    name, is_leaf = operation.module
    if not name:
        return operation.name
    return name if is_leaf else f"{name}.{operation.name}"


def _named(recording: Recording, open_layers: Sequence[_OpenLayer], folding: int) -> TracedGraph:
    """Return the graph with names; weights count for the first layer that reads them.

    Args:
        recording: The recorded run.
        open_layers: Layers of the network.
        folding: Change in the number of biases, scales and shifts by folding.
    """
    names, values, nothing = _Names(), recording.values, Value((0,), 0)
    in_state = recording.state.keys() | recording.places.keys()
    room = {value: values[value] for value in range(len(values)) if value not in recording.places}
    read = {value for layer in open_layers for value in layer.inputs}
    tensor_names = {
        value: names.unique(IMAGE if len(recording.values[value].shape) == 3 else "input")
        for value in range(recording.inputs)
        if value in read | recording.kept
    }
    tensor_names |= {value: names.unique(name) for value, name in recording.state.items()}
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
        joins = first.joins and not in_state.intersection(layer.inputs)
        places = first.keeps_places, joins, first.is_depthwise
        layers.append(TracedLayer(name, operations, inputs, outputs, weights, *places))
    tensors = {name: room.get(value, nothing) for value, name in tensor_names.items()}
    kept = tuple(tensor_names[value] for value in sorted(recording.kept | recording.state.keys()))
    read_names = {name for layer in layers for name in layer.inputs}
    if read_names.intersection(kept):
        # In a plain graph only tensors that no layer reads stay in memory to the end. So a last layer is added, which
        # reads the tensors that must stay and writes a tensor of 0 bytes.
        end = names.unique("output")
        layers.append(TracedLayer(end, (), kept, (end,), 0))
        tensors[end] = nothing
    complex_weights = recording.complex_weights
    vectors = sum(
        size for name, size in sizes.items() if len(recording.weights[name]) <= 1 and name not in complex_weights
    )
    kernels = sum(sizes.values()) - vectors + sum(sizes[name] for name in complex_weights)
    unfolded = ParameterCount(kernels, vectors)
    return TracedGraph(
        tuple(layers),
        tensors,
        tuple(tensor_names[value] for value in sorted(recording.outputs)),
        tuple(tensor_names[value] for value in recording.state),
        sum(sizes.values()),
        sum(unread.values()),
        unfolded,
        unfolded._replace(vectors=vectors + folding),
    )


class _Names:
    """Source of names that hands out each name only once."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        """Return the name, numbered from the second time on."""
        self._uses[name] += 1
        return name if self._uses[name] == 1 else self.unique(f"{name}_{self._uses[name]}")
