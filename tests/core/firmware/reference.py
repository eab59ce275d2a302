"""The integer arithmetic of int8 networks in numpy, written from its definition: exact integers, no shifts, no offsets.

It knows neither the C nor the arena: each tensor is an array of its own, shape (height, width, channels), and a window
is an array that is padded with the input's zero.
"""

import numpy as np

from memnas_core.firmware.quantised import QuantisedNetwork, SumNumbers, WeightedNumbers, is_depthwise, padding
from memnas_core.space.graph import IMAGE
from memnas_core.space.layers import Layer, LayerKind


def scaled(value: int, multiplier: int, shift: int) -> int:
    """Return value * multiplier * 2 ** (shift - 31), rounded twice: halves up at 2 ** -31, then away from zero."""
    high = (value * multiplier * 2 ** max(shift, 0) + 2**30) // 2**31
    divisor = 2 ** max(-shift, 0)
    size = (2 * abs(high) + divisor) // (2 * divisor) if divisor > 1 else abs(high)
    return size if high >= 0 else -size


def run(network: QuantisedNetwork, image: np.ndarray) -> np.ndarray:
    """Return the scores of an image that is already in integers, int8 of shape (classes,)."""
    tensors = {IMAGE: image.astype(np.int64)}
    for layer in network.graph.layers:
        inputs = [tensors[name] for name in layer.inputs]
        tensors[layer.name] = output = _compute(network, layer, inputs)
        shape = layer.output
        assert output.shape == (shape.height, shape.width, shape.channels)
        assert output.min() >= -128
        assert output.max() <= 127
    return tensors[network.graph.output].reshape(-1).astype(np.int8)


def _compute(network: QuantisedNetwork, layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    match layer.kind:
        case LayerKind.CONV | LayerKind.LINEAR:
            return _convolution(layer, network.weighted(layer), inputs[0])
        case LayerKind.SUM:
            return _sum(network.sum(layer), *inputs)
        case LayerKind.CONCAT:
            return np.concatenate(inputs, axis=2)
        case LayerKind.SUBSAMPLE:
            return inputs[0][:: layer.stride[0], :: layer.stride[1]]
        case LayerKind.MAX_POOL:
            return _windows(layer, inputs[0], -128, layer.kernel).max(axis=(2, 3))
        case LayerKind.AVERAGE_POOL:
            return _mean(layer, inputs[0], layer.kernel)
        case LayerKind.GLOBAL_AVERAGE_POOL:
            return _mean(layer, inputs[0], inputs[0].shape[:2])


def _windows(layer: Layer, image: np.ndarray, outside: int, kernel: tuple[int, ...]) -> np.ndarray:
    """Return the values under each window, shape (height, width, kernel height, kernel width, channels)."""
    (top, left), (down, right) = padding(layer), layer.stride
    padded = np.pad(image, ((top, top), (left, left), (0, 0)), constant_values=outside)
    rows = down * np.arange(layer.output.height)[:, None] + layer.dilation * np.arange(kernel[0])
    columns = right * np.arange(layer.output.width)[:, None] + layer.dilation * np.arange(kernel[1])
    return padded[rows[:, None, :, None], columns[None, :, None, :]]


def _convolution(layer: Layer, numbers: WeightedNumbers, image: np.ndarray) -> np.ndarray:
    taps = _windows(layer, image, numbers.input_zero, layer.kernel) - numbers.input_zero
    letters = "yxhwc,hwc->yxc" if is_depthwise(layer) else "yxhwi,chwi->yxc"
    sums = np.einsum(letters, taps, numbers.weights.astype(np.int64)) + numbers.biases
    output = np.empty_like(sums)
    for place, value in np.ndenumerate(sums):
        channel = place[2]
        factor = int(numbers.multipliers[channel]), int(numbers.shifts[channel])
        output[place] = scaled(int(value), *factor) + numbers.output_zero
    return output.clip(numbers.least, 127)


def _sum(numbers: SumNumbers, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    output = np.empty_like(first)
    for place in np.ndindex(first.shape):
        terms = [
            scaled((int(one[place]) - zero) * 2**20, *factor)
            for one, zero, factor in zip((first, second), numbers.zeros, numbers.factors, strict=True)
        ]
        output[place] = scaled(sum(terms), *numbers.output_factor) + numbers.output_zero
    return output.clip(numbers.least, 127)


def _mean(layer: Layer, image: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    sums = _windows(layer, image, 0, kernel).sum(axis=(2, 3))
    counts = _windows(layer, np.ones_like(image), 0, kernel).sum(axis=(2, 3))
    return np.sign(sums) * ((2 * np.abs(sums) + counts) // (2 * counts))
