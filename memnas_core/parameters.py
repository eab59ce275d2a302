"""Bytes of a network's parameters as a device stores them."""

from typing import NamedTuple, Protocol

from memnas_core.graph import Graph, Layer, LayerKind


class ParameterCount(NamedTuple):
    """Numbers of parameters by how they are stored.

    Attributes:
        kernels: Elements of kernels and matrices.
        vectors: Elements of what has one value a channel: biases, scales and shifts. Networks in int8 commonly keep
            them in int32.
    """

    kernels: int
    vectors: int

    @property
    def total(self) -> int:
        """Return all of them."""
        return self.kernels + self.vectors

    def bytes(self, weight_bytes: int, bias_bytes: int) -> int:
        """Return their bytes.

        Args:
            weight_bytes: Bytes of one element of a kernel or matrix.
            bias_bytes: Bytes of one bias, scale or shift.
        """
        return self.kernels * weight_bytes + self.vectors * bias_bytes


class CountsParameters(Protocol):
    """A graph that counts its own parameters, as a traced network does."""

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return how many there are of each kind."""


def parameter_count(graph: Graph | CountsParameters, fold_batch_norm: bool) -> ParameterCount:
    """Return a network's numbers of parameters.

    With batch norm folded into it, a convolution keeps its kernel and one bias a channel. Otherwise batch norm's
    scale and shift are counted, two a channel; that is `graph.weights` in all. Its running mean and variance, which
    a runtime that does not fold needs too, are not parameters and not counted, as in `memnas_core.graph`.

    Args:
        graph: The network.
        fold_batch_norm: Whether batch norm is folded into the convolutions.
    """
    if not isinstance(graph, Graph):
        return graph.parameters(fold_batch_norm)
    kernels = vectors = 0
    for layer in graph.layers:
        for_each_channel = _vectors(layer)
        kernels += layer.weights - for_each_channel * layer.output.channels
        vectors += (min(for_each_channel, 1) if fold_batch_norm else for_each_channel) * layer.output.channels
    return ParameterCount(kernels, vectors)


def parameter_bytes(graph: Graph | CountsParameters, weight_bytes: int, bias_bytes: int, fold_batch_norm: bool) -> int:
    """Return the bytes of all parameters.

    Args:
        graph: The network.
        weight_bytes: Bytes of one element of a kernel or matrix.
        bias_bytes: Bytes of one bias, scale or shift.
        fold_batch_norm: Whether batch norm is folded into the convolutions; see `parameter_count`.
    """
    return parameter_count(graph, fold_batch_norm).bytes(weight_bytes, bias_bytes)


def _vectors(layer: Layer) -> int:
    """Return how many parameters a layer has for each output channel beside its kernel."""
    return {LayerKind.CONV: 2, LayerKind.LINEAR: 1}.get(layer.kind, 0)
