"""The calls of kernels that compute a network, with the places of their tensors: what the C consists of, as values."""

from collections.abc import Iterator
from typing import NamedTuple

from memnas_core.errors import GraphError
from memnas_core.firmware.layout import Layout, Place
from memnas_core.firmware.quantised import is_depthwise, padding
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind, Shape

LARGEST_SIZE = 2**15 - 1
"""Largest size of a tensor in one dimension, and largest step between pixels."""

CONVOLVE, DEPTHWISE, AVERAGE_POOL, MAX_POOL, ADD, COPY = (
    *("convolve", "convolve_depthwise", "average_pool", "max_pool", "add", "copy"),
)
KERNELS = (CONVOLVE, DEPTHWISE, AVERAGE_POOL, MAX_POOL, ADD, COPY)
"""Names of the kernels, each a file in `c/`."""

_KERNELS = {
    LayerKind.CONV: CONVOLVE,
    LayerKind.LINEAR: CONVOLVE,
    LayerKind.AVERAGE_POOL: AVERAGE_POOL,
    LayerKind.GLOBAL_AVERAGE_POOL: AVERAGE_POOL,
    LayerKind.MAX_POOL: MAX_POOL,
    LayerKind.SUM: ADD,
    LayerKind.SUBSAMPLE: COPY,
    LayerKind.CONCAT: COPY,
}


class Window(NamedTuple):
    """What `memnas_window` in `c/types.c` has, in the same order."""

    in_height: int
    in_width: int
    in_channels: int
    in_step: int
    out_height: int
    out_width: int
    out_channels: int
    out_step: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    pad_y: int
    pad_x: int
    dilation: int


class Call(NamedTuple):
    """A call of a kernel.

    Attributes:
        kernel: One of `KERNELS`.
        name: Name of its constants, a C identifier.
        layer: Layer that it computes, or a part of it.
        window: Sizes and steps; those of the first input, if there are two.
        inputs: Place of each input.
        output: Place of the output; None: the scores.
    """

    kernel: str
    name: str
    layer: Layer
    window: Window
    inputs: tuple[Place, ...]
    output: Place | None


def calls(graph: Graph, layout: Layout) -> list[Call]:
    """Return the calls that compute a network, in running order.

    A concatenation takes one for each input that does not lie in its place already.

    Args:
        graph: The network in running order.
        layout: Places of its tensors.

    Raises:
        GraphError: A size is larger than `LARGEST_SIZE`.
    """
    shapes = graph.shapes()
    return [call for layer in graph.layers for call in _calls(layer, shapes, graph.output, layout)]


def _calls(layer: Layer, shapes: dict[str, Shape], scores: str, layout: Layout) -> Iterator[Call]:
    kernel = _KERNELS[layer.kind]
    if layer.kind is LayerKind.CONCAT:
        whole, first = layout.places[layer.name], 0
        for number, source in enumerate(layer.inputs):
            shape, place = shapes[source], layout.places[source]
            destination = Place(whole.offset + first, whole.step)
            if place != destination:
                window = _window(shape, place.step, shape, destination.step, (1, 1), (1, 1), (0, 0), 1)
                yield Call(kernel, f"{layer.name}_{number}", layer, window, (place,), destination)
            first += shape.channels
        return
    output = None if layer.name == scores else layout.places[layer.name]
    places = tuple(layout.places[source] for source in layer.inputs)
    read = shapes[layer.inputs[0]]
    size = (read.height, read.width) if layer.kind is LayerKind.GLOBAL_AVERAGE_POOL else layer.kernel
    step = layer.output.channels if output is None else output.step
    window = _window(read, places[0].step, layer.output, step, size, layer.stride, padding(layer), layer.dilation)
    yield Call(DEPTHWISE if is_depthwise(layer) else kernel, layer.name, layer, window, places, output)


def _window(
    read: Shape,
    read_step: int,
    written: Shape,
    written_step: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: int,
) -> Window:
    window = Window(
        *(read.height, read.width, read.channels, read_step),
        *(written.height, written.width, written.channels, written_step),
        *(*kernel, *stride, *pad, dilation),
    )
    if max(window) > LARGEST_SIZE:
        raise GraphError(f"C source: expected sizes of tensors up to {LARGEST_SIZE:,}, found {max(window):,}")
    return window
