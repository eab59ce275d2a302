"""Bytes of a network's parameters as a device stores them."""

from memnas_core.graph import Graph, Layer, LayerKind


def parameter_bytes(graph: Graph, weight_bytes: int, bias_bytes: int, fold_batch_norm: bool) -> int:
    """Return the bytes of all parameters.

    With batch norm folded into it, a convolution keeps its kernel and one bias a channel. Otherwise batch norm's
    scale and shift are counted, two a channel; with equal widths that is `graph.weights`. Its running mean and
    variance, which a runtime that does not fold needs too, are not parameters and not counted, as in
    `memnas_core.graph`.

    Args:
        graph: The network.
        weight_bytes: Bytes of one element of a kernel or matrix.
        bias_bytes: Bytes of one bias, scale or shift; networks in int8 commonly keep biases as int32.
        fold_batch_norm: Whether batch norm is folded into the convolutions.
    """
    total = 0
    for layer in graph.layers:
        vectors = _vectors(layer)
        kernel = layer.weights - vectors * layer.output.channels
        if fold_batch_norm:
            vectors = min(vectors, 1)
        total += kernel * weight_bytes + vectors * layer.output.channels * bias_bytes
    return total


def _vectors(layer: Layer) -> int:
    """Return how many parameters a layer has for each output channel beside its kernel."""
    return {LayerKind.CONV: 2, LayerKind.LINEAR: 1}.get(layer.kind, 0)
