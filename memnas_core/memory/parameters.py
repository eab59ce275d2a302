"""Number and bytes of a network's parameters as a device stores them."""

from typing import NamedTuple, Protocol, runtime_checkable

from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind


class ParameterCount(NamedTuple):
    """Numbers of parameters by how they are stored; a complex one is two numbers, both among the kernels.

    Attributes:
        kernels: Number of elements of kernels and matrices.
        vectors: Number of biases, scales and shifts, which have one value per channel. Networks in int8 commonly keep
            them in int32.
    """

    kernels: int
    vectors: int

    @property
    def total(self) -> int:
        """Number of all parameters."""
        return self.kernels + self.vectors

    def bytes(self, weight_bytes: int, bias_bytes: int) -> int:
        """Return the bytes of all parameters.

        Args:
            weight_bytes: Bytes of one element of a kernel or matrix.
            bias_bytes: Bytes of one bias, scale or shift.
        """
        return self.kernels * weight_bytes + self.vectors * bias_bytes


@runtime_checkable
class CountsParameters(Protocol):
    """A graph that counts its own parameters, as a traced network does."""

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return the number of parameters of each kind."""


def parameter_count(graph: Graph | CountsParameters, fold_batch_norm: bool) -> ParameterCount:
    """Return a network's numbers of parameters.

    With batch norm folded into it, a convolution has its kernel and one bias per channel. Otherwise batch norm's scale
    and shift count, two values per channel; the total is then `graph.weights`. Its running mean and variance, which a
    runtime that does not fold needs too, are not parameters and do not count, as in `memnas_core.space.graph`.

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
    """Return the number of a layer's parameters per output channel, without its kernel."""
    return {LayerKind.CONV: 2, LayerKind.LINEAR: 1}.get(layer.kind, 0)
