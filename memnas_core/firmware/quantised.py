"""A network in integers: its graph, and the numbers that each layer computes with.

A value x of a tensor stands for the real number (x - zero) * scale. A convolution sums (input - input zero) * weight in
32 bits, with a bias of 32 bits, and brings the sum to the output's scale by a factor for each channel:

    output = clamp(round(sum * multiplier * 2 ** (shift - 31)) + output zero)

The factor is a multiplier of 31 bits and a shift, so that all of it is integer arithmetic. Max and average pooling,
concatenation and subsampling have the same scale and zero before and after, and need no numbers.

Source: TensorFlow Lite's specification of int8 quantisation, which CMSIS-NN follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from memnas_core.errors import GraphError
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind

LEAST, MOST = -128, 127
"""Smallest and largest int8."""

SHIFTS = range(-31, 31)
"""Shifts that the kernels can do on 32 bits."""

_LARGEST_SUM = 2**31 - 1
_LARGEST_PRODUCT = 2**63 - 1


class Quantisation(NamedTuple):
    """What the integers of a tensor stand for: (integer - zero) * scale."""

    scale: float
    zero: int

    def real(self, integers: np.ndarray) -> np.ndarray:
        """Return what integers stand for, float32 of the same shape."""
        return (integers.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)

    def integers(self, real: np.ndarray) -> np.ndarray:
        """Return the int8 that stand for what `real` returned, of the same shape."""
        found: np.ndarray = np.round(real / np.float32(self.scale)) + self.zero
        return found.astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class WeightedNumbers:
    """Numbers of a convolution with its ReLU, or of the classifier.

    Attributes:
        weights: int8, shape (outputs, kernel height, kernel width, inputs); depthwise (kernel height, kernel width,
            channels); the classifier's (classes, 1, 1, inputs).
        biases: int32, one an output channel.
        multipliers: int32, one an output channel, from 2 ** 30 to 2 ** 31 - 1, or 0.
        shifts: int8, one an output channel, positive to the left.
        input_zero: Zero of the input.
        output_zero: Zero of the output.
        least: Smallest value of the output; the output's zero after a ReLU.
    """

    weights: np.ndarray
    biases: np.ndarray
    multipliers: np.ndarray
    shifts: np.ndarray
    input_zero: int
    output_zero: int
    least: int


class Factor(NamedTuple):
    """A factor multiplier * 2 ** (shift - 31)."""

    multiplier: int
    shift: int


@dataclass(frozen=True, slots=True)
class SumNumbers:
    """Numbers of a sum; each input minus its zero is multiplied by 2 ** 20 and its factor before the addition.

    Attributes:
        zeros: Zero of each of the two inputs.
        factors: Factor of each of the two inputs.
        output_zero: Zero of the output.
        output_factor: Factor that brings the sum to the output's scale.
        least: Smallest value of the output.
    """

    zeros: tuple[int, int]
    factors: tuple[Factor, Factor]
    output_zero: int
    output_factor: Factor
    least: int


Numbers = WeightedNumbers | SumNumbers


@dataclass(frozen=True, slots=True)
class QuantisedNetwork:
    """A network in integers.

    Attributes:
        graph: The network in running order.
        numbers: Name of a layer -> its numbers, for convolutions, sums and the classifier.
        image: Quantisation of the image after normalisation.
        scores: Quantisation of the scores.
    """

    graph: Graph
    numbers: Mapping[str, Numbers]
    image: Quantisation
    scores: Quantisation

    def __post_init__(self) -> None:
        """Check that each layer has the numbers that it needs, and that no sum can overflow.

        Raises:
            GraphError: Names the layer, what was expected and what was found.
        """
        for layer in self.graph.layers:
            numbers = self.numbers.get(layer.name)
            match layer.kind:
                case LayerKind.CONV | LayerKind.LINEAR:
                    _check_weighted(layer, numbers)
                case LayerKind.SUM:
                    if not isinstance(numbers, SumNumbers):
                        raise GraphError(f"layer {layer.name!r}: expected the numbers of a sum, found {numbers}")
                    for factor in (*numbers.factors, numbers.output_factor):
                        _check_shift(layer, factor.shift)

    def weighted(self, layer: Layer) -> WeightedNumbers:
        """Return the numbers of a convolution or of the classifier."""
        numbers = self.numbers[layer.name]
        assert isinstance(numbers, WeightedNumbers), "checked when the network was made"
        return numbers

    def sum(self, layer: Layer) -> SumNumbers:
        """Return the numbers of a sum."""
        numbers = self.numbers[layer.name]
        assert isinstance(numbers, SumNumbers), "checked when the network was made"
        return numbers


def is_depthwise(layer: Layer) -> bool:
    """Return whether a convolution has one kernel a channel; one of a single channel is taken for a plain one."""
    return layer.kind is LayerKind.CONV and layer.groups > 1


def padding(layer: Layer) -> tuple[int, int]:
    """Return the rows and columns that a window may begin before the image."""
    if layer.kind in (LayerKind.CONV, LayerKind.AVERAGE_POOL, LayerKind.MAX_POOL):
        height, width = layer.kernel
        return layer.dilation * (height // 2), layer.dilation * (width // 2)
    return 0, 0


def _check_weighted(layer: Layer, numbers: Numbers | None) -> None:
    if not isinstance(numbers, WeightedNumbers):
        raise GraphError(f"layer {layer.name!r}: expected the numbers of a convolution, found {numbers}")
    channels = layer.output.channels
    if is_depthwise(layer):
        if not layer.groups == layer.in_channels == channels:
            raise GraphError(
                f"layer {layer.name!r}: expected one group, or one a channel and as many outputs, found {layer.groups} "
                f"groups, {layer.in_channels} inputs and {channels} outputs"
            )
        shape: tuple[int, ...] = (*layer.kernel, channels)
    else:
        shape = (channels, *layer.kernel, layer.in_channels)
    found = numbers.weights.shape
    if found != shape:
        raise GraphError(f"layer {layer.name!r}: expected weights of shape {shape}, found {found}")
    for name, values in (("biases", numbers.biases), ("multipliers", numbers.multipliers), ("shifts", numbers.shifts)):
        if values.shape != (channels,):
            raise GraphError(f"layer {layer.name!r}: expected {channels} {name}, found an array of {values.shape}")
    for shift in numbers.shifts:
        _check_shift(layer, int(shift))
    over = (0, 1) if is_depthwise(layer) else (1, 2, 3)
    reach = max(MOST - numbers.input_zero, numbers.input_zero - LEAST)
    largest = np.abs(numbers.weights.astype(np.int64)).sum(over) * reach + np.abs(numbers.biases.astype(np.int64))
    lefts = np.left_shift(np.int64(1), np.maximum(numbers.shifts.astype(np.int64), 0))
    products = [int(a) * int(b) * int(c) for a, b, c in zip(largest, numbers.multipliers, lefts, strict=True)]
    if largest.max() > _LARGEST_SUM or max(products) > _LARGEST_PRODUCT:
        raise GraphError(
            f"layer {layer.name!r}: expected sums of 32 bits, found that they may reach {int(largest.max()):,}"
        )


def _check_shift(layer: Layer, shift: int) -> None:
    if shift not in SHIFTS:
        raise GraphError(f"layer {layer.name!r}: expected a shift from {SHIFTS[0]} to {SHIFTS[-1]}, found {shift}")
