"""Drawn numbers for a network that has none yet, so that its firmware can be compiled, run and measured untrained."""

import numpy as np

from memnas_core.firmware.quantised import (
    LEAST,
    MOST,
    Factor,
    Numbers,
    Quantisation,
    QuantisedNetwork,
    SumNumbers,
    WeightedNumbers,
    is_depthwise,
)
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind

_SPREAD = 74 * 100
"""Standard deviation of a product of two independent bytes, about."""


def invented(graph: Graph, seed: int) -> QuantisedNetwork:
    """Return a network with drawn numbers, whose values spread over int8 and are cut off now and then.

    Args:
        graph: The network in running order.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    numbers: dict[str, Numbers] = {}
    for layer in graph.layers:
        if layer.kind in (LayerKind.CONV, LayerKind.LINEAR):
            numbers[layer.name] = _weighted(rng, layer)
        elif layer.kind is LayerKind.SUM:
            numbers[layer.name] = _sum(rng)
    return QuantisedNetwork(graph, numbers, Quantisation(0.018, -15), Quantisation(0.125, 7))


def _weighted(rng: np.random.Generator, layer: Layer) -> WeightedNumbers:
    channels = layer.output.channels
    whole = (channels, *layer.kernel, layer.in_channels)
    weights = rng.integers(-127, 128, (*layer.kernel, channels) if is_depthwise(layer) else whole, dtype=np.int8)
    spread = int(_SPREAD * (weights.size // channels) ** 0.5)
    shifts = np.floor(np.log2(80 / spread)) + rng.integers(0, 3, channels)
    zero = _byte(rng)
    return WeightedNumbers(
        weights,
        rng.integers(-spread, spread, channels, dtype=np.int32),
        rng.integers(2**30, 2**31, channels).astype(np.int32),
        shifts.astype(np.int8),
        _byte(rng),
        zero,
        zero if layer.kind is LayerKind.CONV else LEAST,
    )


def _sum(rng: np.random.Generator) -> SumNumbers:
    multipliers = [int(number) for number in rng.integers(2**30, 2**31, 3)]
    shifts = [int(number) for number in rng.integers(-3, 1, 2)]
    zero = _byte(rng)
    return SumNumbers(
        (_byte(rng), _byte(rng)),
        (Factor(multipliers[0], shifts[0]), Factor(multipliers[1], shifts[1])),
        zero,
        Factor(multipliers[2], -19),
        zero if rng.random() < 0.5 else LEAST,
    )


def _byte(rng: np.random.Generator) -> int:
    return int(rng.integers(LEAST, MOST + 1))
