"""Networks in integers with drawn numbers, which need neither torch nor a calibration."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.firmware.invented import invented
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.quantised import QuantisedNetwork
from memnas_core.firmware.source import c_source, interface_of, pixel_tables
from memnas_core.memory.running_order import best_order
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape


def made_up_network(architecture: Architecture, shape: Shape, classes: int, seed: int) -> QuantisedNetwork:
    """Return an architecture's network with drawn numbers, its layers in the best order."""
    return invented(best_order(lower(architecture, shape, classes))[0], seed)


def means(channels: int) -> tuple[float, ...]:
    """Return a mean for each channel."""
    return tuple(0.4 + 0.05 * channel for channel in range(channels))


def stds(channels: int) -> tuple[float, ...]:
    """Return a standard deviation for each channel."""
    return tuple(0.25 + 0.01 * channel for channel in range(channels))


def tables(network: QuantisedNetwork) -> np.ndarray:
    """Return the value of each byte of each channel, int8 of shape (channels, 256)."""
    channels = network.graph.input_shape.channels
    return pixel_tables(network.image, means(channels), stds(channels))


def pixels(shape: Shape, count: int, seed: int = 0) -> np.ndarray:
    """Return drawn images, uint8 of shape (count, height, width, channels)."""
    size = (count, shape.height, shape.width, shape.channels)
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def prepared(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return an image after the table, int8 of the same shape."""
    return np.stack([table[channel][image[:, :, channel]] for channel in range(image.shape[2])], axis=2)


def write_c(network: QuantisedNetwork, path: Path, classes: Sequence[str] | None = None) -> Path:
    """Write a network's source with drawn tables, and return its path."""
    names = classes or [f"class {number}" for number in range(network.graph.layers[-1].output.channels)]
    channels = network.graph.input_shape.channels
    interface = interface_of(network, "sketch", names, means(channels), stds(channels), ["A network of a test."])
    path.write_text(c_source(network, interface))
    return path


def compiled(network: QuantisedNetwork, folder: Path) -> HostNetwork:
    """Return a network's C, compiled for this machine."""
    return HostNetwork.compile(write_c(network, folder / "network.c"))


def chain(rng: random.Random) -> Graph:
    """Return a graph of a few layers with sizes that the search space does not have: odd, narrow, dilated, strided."""
    shape = image = Shape(rng.choice((1, 2, 3, 5)), rng.randint(1, 9), rng.randint(1, 9))
    layers: list[Layer] = []
    for number in range(rng.randint(1, 5)):
        source = layers[-1].name if layers else "image"
        layer = _drawn(rng, f"l{number}", source, shape)
        shape = layer.output
        layers.append(layer)
    pool = Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, (layers[-1].name,), shape.channels, Shape(shape.channels, 1, 1))
    linear = Layer("classifier", LayerKind.LINEAR, ("pool",), shape.channels, Shape(rng.randint(1, 6), 1, 1))
    return Graph(image, (*layers, pool, linear), "classifier")


def _drawn(rng: random.Random, name: str, source: str, shape: Shape) -> Layer:
    kind = rng.choice((LayerKind.CONV, LayerKind.CONV, LayerKind.CONV, LayerKind.MAX_POOL, LayerKind.AVERAGE_POOL,
                       LayerKind.SUBSAMPLE, LayerKind.SUM, LayerKind.CONCAT))  # fmt: skip
    read = shape.channels
    if kind is LayerKind.SUM:
        return Layer(name, kind, (source, source), read, shape)
    if kind is LayerKind.CONCAT:
        return Layer(name, kind, (source, source), 2 * read, shape._replace(channels=2 * read))
    stride = rng.randint(1, 3), rng.randint(1, 3)
    kernel = (1, 1) if kind is LayerKind.SUBSAMPLE else (rng.choice((1, 3, 5)), rng.choice((1, 3, 7)))
    dilation = rng.choice((1, 1, 2, 3)) if kind is LayerKind.CONV else 1
    groups = read if kind is LayerKind.CONV and rng.random() < 0.4 else 1
    channels = rng.randint(1, 7) if kind is LayerKind.CONV and groups == 1 else read
    output = Shape(channels, -(-shape.height // stride[0]), -(-shape.width // stride[1]))
    return Layer(name, kind, (source,), read, output, kernel, stride, dilation, groups)
