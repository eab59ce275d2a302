"""The layers of a network as rows of a table."""

from dataclasses import dataclass

from memnas_core.memory.report import DescribedGraph, tensor_bytes
from memnas_core.space.graph import Graph


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer.

    Attributes:
        layer: Name of the layer.
        operations: What it computes.
        inputs: Tensors that it reads.
        shape: Shape of its first output.
        bytes: Bytes of all its outputs.
        weights: Number of weights that it is the first to read.
    """

    layer: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    bytes: int
    weights: int


def layer_rows(graph: Graph | DescribedGraph, activation_bytes: float) -> tuple[LayerRow, ...]:
    """Return the layers in the order in which the network is written.

    Args:
        graph: The network.
        activation_bytes: Bytes of one activation.
    """
    shapes, sizes = graph.shapes(), tensor_bytes(graph, activation_bytes)
    described = (
        {layer.name: ((layer.kind.value,), layer.weights) for layer in graph.layers}
        if isinstance(graph, Graph)
        else graph.computations()
    )
    return tuple(
        LayerRow(
            name,
            described[name][0],
            tuple(inputs),
            tuple(shapes[outputs[0]]),
            sum(sizes[tensor] for tensor in outputs),
            described[name][1],
        )
        for name, (inputs, outputs) in graph.plain().items()
        if described[name][0]  # the last layer may only stand for what the network returns
    )
