"""Size and instructions of each kernel on each core, measured: the table behind `memnas_core.firmware.cost`.

Networks with drawn layers are compiled for each core. Sizes of kernels are those of their symbols. Instructions are
counted from call to call by a timer, in steps of 40; for each kernel the factors of its terms are those that fit its
calls best, none of them negative.
"""

import random
import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from benchmarks.firmware.invented import invented
from memnas_core.firmware.boards import BOARDS
from memnas_core.firmware.calls import KERNELS, Call, calls
from memnas_core.firmware.cost import BYTES, FIRMWARE, STACK_BYTES, call_terms, constant_bytes, image_terms
from memnas_core.firmware.emulation import OPTIONS, emulate, section_sizes
from memnas_core.firmware.layout import lay_out
from memnas_core.firmware.source import c_source, interface_of
from memnas_core.firmware.tools import ARM_COMPILER, ARM_SIZE, EMULATOR, run_tool
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind, Shape

NETWORKS, SEED = 40, 0
_LOOP = 4_000_000
_NM = "arm-none-eabi-nm"
_MARK = "void memnas_mark(void);\n"
_COUNTER = 2**24
_LIBRARY = {"memcpy": "copy"}
"""Functions of the C library -> the kernel that needs them; those of every firmware count as its own."""


class Row(NamedTuple):
    """A line of `kernels.csv`."""

    core: str
    kernel: str
    term: str
    value: float


class Samples(NamedTuple):
    """What was counted on a core: terms and instructions of calls by kernel, and sizes."""

    work: dict[str, list[tuple[dict[str, int], float]]]
    sizes: dict[str, int]
    rest: list[tuple[int, int]]  # calls, and flash beside constants and kernels
    stacks: list[int]


def measured_table() -> Iterator[Row]:
    """Measure, and yield the table's rows."""
    rng = random.Random(SEED)
    graphs = [drawn_graph(rng) for _ in range(NETWORKS)]
    for core in BOARDS:
        samples = Samples(defaultdict(list), {}, [], [])
        for seed, graph in enumerate(graphs):
            _sample(core, graph, seed, samples)
        for kernel in KERNELS:
            yield Row(core, kernel, BYTES, samples.sizes[kernel])
        counts, rest = (np.array(values, float) for values in zip(*samples.rest, strict=True))
        slope, base = np.polyfit(counts, rest, 1)
        yield Row(core, FIRMWARE, BYTES, round(float(base)))
        yield Row(core, FIRMWARE, STACK_BYTES, max(samples.stacks))
        yield Row(core, FIRMWARE, "bytes a call", round(float(slope), 2))
        for kernel, found in samples.work.items():
            yield from (Row(core, kernel, term, value) for term, value in _fitted(found).items())


def drawn_graph(rng: random.Random) -> Graph:
    """Return a chain of layers of all kinds and many sizes."""
    side = rng.choice((8, 12, 16, 24))
    shape = image = Shape(rng.choice((1, 3)), side, side)
    layers: list[Layer] = []
    for number in range(rng.randint(5, 9)):
        source = layers[-1].name if layers else "image"
        layers.append(_drawn_layer(rng, f"l{number}", source, shape))
        shape = layers[-1].output
    vector = Shape(shape.channels, 1, 1)
    layers.append(Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, (layers[-1].name,), shape.channels, vector))
    layers.append(Layer("end", LayerKind.LINEAR, ("pool",), shape.channels, Shape(rng.randint(2, 20), 1, 1)))
    return Graph(image, tuple(layers), "end")


def _drawn_layer(rng: random.Random, name: str, source: str, shape: Shape) -> Layer:
    others: list[LayerKind] = [
        kind for kind in LayerKind if kind not in (LayerKind.GLOBAL_AVERAGE_POOL, LayerKind.LINEAR)
    ]
    kind = LayerKind.CONV if shape.channels < 4 else rng.choice([*[LayerKind.CONV] * 3, *others])
    read = shape.channels
    if kind is LayerKind.CONCAT and read > 24:
        kind = LayerKind.SUM
    if kind in (LayerKind.SUM, LayerKind.CONCAT):
        width = read * (2 if kind is LayerKind.CONCAT else 1)
        return Layer(name, kind, (source, source), read, shape._replace(channels=width))
    step = 2 if kind is LayerKind.SUBSAMPLE and shape.height > 4 else rng.choice((1, 1, 1, 2))
    kernels = ((1, 1), (3, 3), (5, 5), (1, 7), (7, 1))
    kernel = (1, 1) if kind is LayerKind.SUBSAMPLE else rng.choice(kernels) if kind is LayerKind.CONV else (3, 3)
    groups = read if kind is LayerKind.CONV and read > 1 and rng.random() < 0.4 else 1
    channels = rng.choice((4, 8, 16, 24)) if kind is LayerKind.CONV and groups == 1 else read
    output = Shape(channels, -(-shape.height // step), -(-shape.width // step))
    dilation = rng.choice((1, 2)) if kernel == (3, 3) and kind is LayerKind.CONV else 1
    return Layer(name, kind, (source,), read, output, kernel, (step, step), dilation, groups)


def _sample(core: str, graph: Graph, seed: int, samples: Samples) -> None:
    """Compile and run a network, and add what was found."""
    board, made = BOARDS[core], calls(graph, lay_out(graph))
    channels, classes = graph.input_shape.channels, graph.layers[-1].output.channels
    network = invented(graph, seed)
    names = [str(number) for number in range(classes)]
    text = c_source(network, interface_of(network, "net", names, [0.5] * channels, [0.25] * channels, []))
    defined = {"RUN": "net_run", "IMAGE": "net_image", "CLASSES": classes, "LOOP": _LOOP, "MARKS": len(made) + 8}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "board.ld").write_text(board.link_script())
        board_files = files("memnas_core.firmware") / "board"
        for part in ("start", "device"):
            (folder / f"{part}.c").write_text((board_files / f"{part}.c").read_text())
        (folder / "marks.c").write_text(Path(__file__).with_name("marks.c").read_text())
        (folder / "net.c").write_text(text)
        (folder / "marked.c").write_text(_MARK + re.sub(r"(?m)^(    memnas_\w+\(.*)$", r"\1 memnas_mark();", text))
        flags = (*board.options, *OPTIONS, *(f"-D{key}={value}" for key, value in defined.items()), "-T", "board.ld")
        for program, source in (("device", "net"), ("marks", "marked")):
            sources = ("start.c", f"{program}.c", f"{source}.c", "-o", f"{program}.elf")
            run_tool((ARM_COMPILER, *flags, *sources), folder)
        sizes = section_sizes(run_tool((ARM_SIZE, "-A", "device.elf"), folder))
        symbols = _symbols(run_tool((_NM, "-S", "device.elf"), folder))
        options = ("-display", "none", "-serial", "none", "-monitor", "none", "-icount", "shift=0")
        semihosting = ("-semihosting-config", "enable=on,target=native")
        run_tool((EMULATOR, "-machine", board.machine, *options, *semihosting, "-kernel", "marks.elf"), folder)
        content = (folder / "marks.bin").read_bytes()
        shape = graph.input_shape
        images = np.zeros((1, shape.height, shape.width, shape.channels), np.uint8)
        samples.stacks.append(emulate(folder / "net.c", core, images).stack_bytes)
    _add_sizes(sizes, symbols, made, constant_bytes(graph, made), samples)
    _add_work(struct.unpack(f"<{len(content) // 4}I", content), graph, made, samples)


def _symbols(printed: str) -> dict[str, int]:
    rows = (line.split() for line in printed.splitlines())
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4 and row[2] in "tT"}


def _add_sizes(
    sizes: Mapping[str, int], symbols: Mapping[str, int], made: Sequence[Call], constants: int, samples: Samples
) -> None:
    used = {call.kernel for call in made}
    own = {kernel: symbols[f"memnas_{kernel}"] for kernel in used}
    for function, kernel in _LIBRARY.items():
        if kernel in used:
            own[kernel] += symbols.get(function, 0)
    samples.sizes.update({kernel: -(-size // 4) * 4 for kernel, size in own.items()})
    samples.rest.append(
        (len(made), sizes[".vectors"] + sizes[".text"] - constants - sum(samples.sizes[kernel] for kernel in used))
    )


def _add_work(marks: Sequence[int], graph: Graph, made: Sequence[Call], samples: Samples) -> None:
    """Add the calls; the marks are: start, after the loop, after preparation and each call, after the last."""
    ticks = [(before - after) % _COUNTER for before, after in pairwise(marks)]
    loop, prepare, *kernels, choice = ticks
    instructions = _LOOP / loop
    assert len(kernels) == len(made), "a mark a call"
    samples.work[FIRMWARE].append((image_terms(graph), (prepare + choice) * instructions))
    for call, count in zip(made, kernels, strict=True):
        samples.work[call.kernel].append((call_terms(call), count * instructions))


def _fitted(found: Sequence[tuple[dict[str, int], float]]) -> dict[str, float]:
    """Return the factors with the least relative errors, none of them negative."""
    names = list(found[0][0])
    weights = np.array([1 / max(count, 200) for _, count in found])
    terms = np.array([[one[name] for name in names] for one, _ in found], float)
    counts = np.array([count for _, count in found])
    factors, _ = nnls(terms * weights[:, None], counts * weights)
    return {name: round(float(factor), 3) for name, factor in zip(names, factors, strict=True)}
