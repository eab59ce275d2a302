"""The C that a quantised network becomes: one source file that compiles by itself, and the header inside it.

The source has, in this order: its interface (`memnas_core.firmware.interface`), the kernels that the network needs
(the files in `c/`, as they are), the constants of each layer, the arena, and one function that calls a kernel for each
layer with the places of its tensors. It takes C99, ints of 32 bits and no library.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

import numpy as np

from memnas_core.errors import GraphError
from memnas_core.firmware.interface import Interface
from memnas_core.firmware.layout import Layout, Place, lay_out
from memnas_core.firmware.quantised import (
    LEAST,
    MOST,
    Quantisation,
    QuantisedNetwork,
    SumNumbers,
    WeightedNumbers,
    is_depthwise,
    padding,
)
from memnas_core.space.graph import IMAGE
from memnas_core.space.layers import Layer, LayerKind, Shape

_KERNELS = {
    LayerKind.AVERAGE_POOL: "average_pool",
    LayerKind.GLOBAL_AVERAGE_POOL: "average_pool",
    LayerKind.MAX_POOL: "max_pool",
    LayerKind.SUBSAMPLE: "copy",
    LayerKind.CONCAT: "copy",
    LayerKind.SUM: "add",
    LayerKind.LINEAR: "convolve",
}

_PARTS = {
    "convolve": ("types", "scale", "weighted"),
    "convolve_depthwise": ("types", "scale", "weighted"),
    "average_pool": ("types",),
    "max_pool": ("types",),
    "add": ("scale",),
    "copy": ("types",),
    "prepare": (),
}
"""Kernel -> the other files of `c/` that it needs, and all kernels in the order in which they are written."""

_WIDTH = 116


def kernel_of(layer: Layer) -> str:
    """Return the name of the kernel that computes a layer, which is a file in `c/`."""
    if layer.kind is LayerKind.CONV:
        return "convolve_depthwise" if is_depthwise(layer) else "convolve"
    return _KERNELS[layer.kind]


def pixel_tables(image: Quantisation, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return the network's value of each byte of a pixel: int8, shape (channels, 256).

    It is the value of (byte / 255 - mean) / std in float32, rounded to the nearest, halves to the even, as torch
    quantises.

    Args:
        image: Quantisation of the image.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.
    """
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    means, stds = (np.array(values, dtype=np.float32)[:, None] for values in (mean, std))
    normal = (pixels - means) / stds
    inverse = np.float32(1) / np.float32(image.scale)
    values: np.ndarray = np.clip(np.round(normal * inverse) + image.zero, LEAST, MOST)
    return values.astype(np.int8)


def interface_of(
    network: QuantisedNetwork,
    prefix: str,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    notes: Sequence[str],
) -> Interface:
    """Return the interface of a network's C.

    Args:
        network: The network.
        prefix: What names of the C begin with.
        classes: Name of each class.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.
        notes: Lines about the network and its image, for the header.
    """
    graph = network.graph
    arena = lay_out(graph).bytes
    return Interface(
        prefix, graph.input_shape, tuple(classes), arena, network.scores, tuple(mean), tuple(std), tuple(notes)
    )


def c_source(network: QuantisedNetwork, interface: Interface) -> str:
    """Return the source.

    Args:
        network: The network.
        interface: Its interface.

    Raises:
        GraphError: The network has a tensor of more than 32,767 rows, columns or channels.
    """
    layout = lay_out(network.graph)
    writer = _Writer(network, layout)
    constants = "\n".join(line for layer in network.graph.layers for line in writer.constants(layer))
    calls = "\n".join(f"    {call}" for layer in network.graph.layers for call in writer.calls(layer))
    prefix, image = interface.prefix, layout.places[IMAGE].offset
    shape, tables = network.graph.input_shape, pixel_tables(network.image, interface.mean, interface.std)
    return f"""{interface.text()}
{_kernels({kernel_of(layer) for layer in writer.called} | {"prepare"})}
{_array(f"{prefix}_bytes", "int8_t", tables)}
{constants}

/* All activations but the scores; a call of {prefix}_run leaves nothing in it that the next one needs. */
static union {{
    int8_t bytes[{interface.macro}_ARENA_BYTES];
    int32_t aligned;
}} {prefix}_arena;

const char *const {prefix}_class_names[{interface.macro}_CLASSES] = {{
{chr(10).join(f"    {_quoted(name)}," for name in interface.classes)}
}};

uint8_t *{prefix}_image(void)
{{
    return (uint8_t *)({prefix}_arena.bytes + {image});
}}

int {prefix}_run(const uint8_t *pixels, int8_t *scores)
{{
    int8_t *const arena = {prefix}_arena.bytes;
    memnas_prepare({prefix}_bytes, {shape.height * shape.width}, {shape.channels}, pixels, arena + {image});
{calls}
    return memnas_largest(scores, {interface.macro}_CLASSES);
}}
"""


class _Writer:
    """Constants and calls of the layers of a network.

    Attributes:
        called: Layers that call a kernel; a concatenation whose inputs all lie in their places calls none.
    """

    def __init__(self, network: QuantisedNetwork, layout: Layout) -> None:
        self._network = network
        self._shapes = network.graph.shapes()
        scores = Place(0, network.graph.layers[-1].output.channels)
        self._places = {**layout.places, network.graph.output: scores}
        self._copies = {layer.name: list(self._copied(layer)) for layer in network.graph.layers}
        self.called = [layer for layer in network.graph.layers if self._copies[layer.name] or not _is_concat(layer)]

    def constants(self, layer: Layer) -> Iterator[str]:
        """Yield the definitions of a layer's constants."""
        name = layer.name
        if _is_concat(layer):
            for number, source, place in self._copies[name]:
                shape = self._shapes[source]
                window = _window(shape, self._places[source], shape, place)
                yield f"static const memnas_window {name}_{number} = {window};"
        elif layer.kind in (LayerKind.CONV, LayerKind.LINEAR):
            yield from self._weighted(layer, self._network.weighted(layer))
        elif layer.kind is LayerKind.SUM:
            yield self._sum(layer, self._network.sum(layer))
        else:
            yield f"static const memnas_window {name} = {self._window(layer)};"

    def calls(self, layer: Layer) -> Iterator[str]:
        """Yield the calls that compute a layer."""
        name, shape = layer.name, layer.output
        remark = f"/* {name}: {shape.height}x{shape.width}x{shape.channels} */"
        if _is_concat(layer):
            if not self._copies[name]:
                yield f"/* {name}: {shape.height}x{shape.width}x{shape.channels}, its inputs are written into it */"
            for number, source, place in self._copies[name]:
                yield f"memnas_copy(&{name}_{number}, {self._at(source)}, arena + {place.offset}); {remark}"
            return
        inputs = ", ".join(self._at(source) for source in layer.inputs)
        yield f"memnas_{kernel_of(layer)}(&{name}, {inputs}, {self._at(name)}); {remark}"

    def _at(self, tensor: str) -> str:
        return "scores" if tensor == self._network.graph.output else f"arena + {self._places[tensor].offset}"

    def _copied(self, layer: Layer) -> Iterator[tuple[int, str, Place]]:
        """Yield number, name and destination of each input of a concatenation that does not lie there already."""
        if not _is_concat(layer):
            return
        whole = self._places[layer.name]
        first = 0
        for number, source in enumerate(layer.inputs):
            destination = Place(whole.offset + first, whole.step)
            if self._places[source] != destination:
                yield number, source, destination
            first += self._shapes[source].channels

    def _window(self, layer: Layer) -> str:
        (source,) = layer.inputs
        shape = self._shapes[source]
        kernel = (shape.height, shape.width) if layer.kind is LayerKind.GLOBAL_AVERAGE_POOL else layer.kernel
        return _window(
            shape,
            self._places[source],
            layer.output,
            self._places[layer.name],
            kernel,
            layer.stride,
            padding(layer),
            layer.dilation,
        )

    def _weighted(self, layer: Layer, numbers: WeightedNumbers) -> Iterator[str]:
        name = layer.name
        yield _array(f"{name}_weights", "int8_t", numbers.weights)
        yield _array(f"{name}_biases", "int32_t", numbers.biases)
        yield _array(f"{name}_multipliers", "int32_t", numbers.multipliers)
        yield _array(f"{name}_shifts", "int8_t", numbers.shifts)
        yield (
            f"static const memnas_weighted {name} = {{\n    {self._window(layer)},\n"
            f"    {numbers.input_zero}, {numbers.output_zero}, {numbers.least},\n"
            f"    {name}_weights, {name}_shifts, {name}_biases, {name}_multipliers,\n}};"
        )

    def _sum(self, layer: Layer, numbers: SumNumbers) -> str:
        first, second = (self._places[source].step for source in layer.inputs)
        one, other, out = *numbers.factors, numbers.output_factor
        shape = layer.output
        return (
            f"static const memnas_sum {layer.name} = {{\n"
            f"    {shape.height * shape.width}, {{{one.multiplier}, {other.multiplier}}}, {out.multiplier},\n"
            f"    {shape.channels}, {{{first}, {second}}}, {self._places[layer.name].step}, "
            f"{{{numbers.zeros[0]}, {numbers.zeros[1]}}}, {numbers.output_zero}, {numbers.least},\n"
            f"    {{{one.shift}, {other.shift}}}, {out.shift},\n}};"
        )


def _is_concat(layer: Layer) -> bool:
    return layer.kind is LayerKind.CONCAT


def _window(
    read: Shape,
    place: Place,
    written: Shape,
    written_place: Place,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (0, 0),
    dilation: int = 1,
) -> str:
    values = (
        *(read.height, read.width, read.channels, place.step),
        *(written.height, written.width, written.channels, written_place.step),
        *(*kernel, *stride, *pad, dilation),
    )
    if max(values) >= 2**15:
        raise GraphError(f"C source: expected sizes of tensors up to {2**15 - 1:,}, found {max(values):,}")
    return f"{{{', '.join(map(str, values))}}}"


def _kernels(names: Iterable[str]) -> str:
    wanted = {*names, *(part for name in names for part in _PARTS[name])}
    parts = ["kernel", *(part for part in ("types", "scale", "weighted", *_PARTS) if part in wanted)]
    folder = files("memnas_core.firmware") / "c"
    return "\n".join((folder / f"{part}.c").read_text(encoding="utf-8") for part in parts)


def _array(name: str, kind: str, values: np.ndarray) -> str:
    lines, line = [], "   "
    for value in values.ravel():
        text = f" {value},"
        if len(line) + len(text) > _WIDTH:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join((f"static const {kind} {name}[{values.size}] = {{", *lines, line, "};"))


def _quoted(text: str) -> str:
    """Return a C string of UTF-8; octal escapes end by themselves, unlike hexadecimal ones."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'
