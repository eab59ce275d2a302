"""The C that a quantised network becomes: one source file that compiles by itself, and the header inside it.

The source has, in this order: its interface (`memnas_core.firmware.interface`), the kernels that the network needs
(the files in `c/`, as they are), the constants of each layer, the arena, and one function that calls a kernel for each
layer with the places of its tensors. It takes C99, ints of 32 bits and no library.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

import numpy as np

from memnas_core.firmware.calls import (
    ADD,
    AVERAGE_POOL,
    CONVOLVE,
    COPY,
    DEPTHWISE,
    MAX_POOL,
    Call,
    calls,
)
from memnas_core.firmware.interface import Interface
from memnas_core.firmware.layout import lay_out
from memnas_core.firmware.quantised import (
    LEAST,
    MOST,
    Quantisation,
    QuantisedNetwork,
    SumNumbers,
    WeightedNumbers,
)
from memnas_core.space.graph import IMAGE

_PARTS = {
    CONVOLVE: ("types", "scale", "weighted"),
    DEPTHWISE: ("types", "scale", "weighted"),
    AVERAGE_POOL: ("types",),
    MAX_POOL: ("types",),
    ADD: ("scale",),
    COPY: ("types",),
    "prepare": (),
}
"""Kernel -> the other files of `c/` that it needs, and all kernels in the order in which they are written."""

_WIDTH = 116


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
    made = calls(network.graph, layout)
    constants = "\n".join(line for call in made for line in _constants(network, call))
    statements = "\n".join(f"    {_statement(call)}" for call in made)
    prefix, image = interface.prefix, layout.places[IMAGE].offset
    shape, tables = network.graph.input_shape, pixel_tables(network.image, interface.mean, interface.std)
    return f"""{interface.text()}
{_kernels({call.kernel for call in made} | {"prepare"})}
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
{statements}
    return memnas_largest(scores, {interface.macro}_CLASSES);
}}
"""


def _constants(network: QuantisedNetwork, call: Call) -> Iterator[str]:
    """Yield the definitions of a call's constants."""
    if call.kernel in (CONVOLVE, DEPTHWISE):
        yield from _weighted(call, network.weighted(call.layer))
    elif call.kernel == ADD:
        yield _sum(call, network.sum(call.layer))
    else:
        yield f"static const memnas_window {call.name} = {_braces(call.window)};"


def _weighted(call: Call, numbers: WeightedNumbers) -> Iterator[str]:
    name = call.name
    yield _array(f"{name}_weights", "int8_t", numbers.weights)
    yield _array(f"{name}_biases", "int32_t", numbers.biases)
    yield _array(f"{name}_multipliers", "int32_t", numbers.multipliers)
    yield _array(f"{name}_shifts", "int8_t", numbers.shifts)
    yield (
        f"static const memnas_weighted {name} = {{\n    {_braces(call.window)},\n"
        f"    {numbers.input_zero}, {numbers.output_zero}, {numbers.least},\n"
        f"    {name}_weights, {name}_shifts, {name}_biases, {name}_multipliers,\n}};"
    )


def _sum(call: Call, numbers: SumNumbers) -> str:
    (one, other), out, window = numbers.factors, numbers.output_factor, call.window
    steps, multipliers = [place.step for place in call.inputs], (one.multiplier, other.multiplier)
    return (
        f"static const memnas_sum {call.name} = {{\n"
        f"    {window.out_height * window.out_width}, {_braces(multipliers)}, {out.multiplier},\n"
        f"    {window.out_channels}, {_braces(steps)}, {window.out_step}, {_braces(numbers.zeros)}, "
        f"{numbers.output_zero}, {numbers.least},\n"
        f"    {_braces((one.shift, other.shift))}, {out.shift},\n}};"
    )


def _statement(call: Call) -> str:
    inputs = ", ".join(f"arena + {place.offset}" for place in call.inputs)
    output = "scores" if call.output is None else f"arena + {call.output.offset}"
    shape = call.layer.output
    remark = f"/* {call.layer.name}: {shape.height}x{shape.width}x{shape.channels} */"
    return f"memnas_{call.kernel}(&{call.name}, {inputs}, {output}); {remark}"


def _braces(values: Iterable[int]) -> str:
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
