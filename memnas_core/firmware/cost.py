"""Flash, stack and instructions of a network on a core, predicted from its graph before it has weights.

The kernels are the same functions in every network, so that each has a size, and a number of instructions that is a sum
of terms: so many for a call, a row, a pixel, a value, a tap. `kernels.csv` has the sizes and the terms' factors of each
core, measured once by `python -m benchmarks.firmware kernels`. Constants follow from the graph exactly. The function
that calls the kernels takes about as many bytes for each call.

A kernel's branches hardly depend on the values; only the division of a Cortex-M0+, which has none, does.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from memnas_core.firmware.calls import ADD, CONVOLVE, COPY, DEPTHWISE, Call, calls
from memnas_core.firmware.layout import lay_out
from memnas_core.memory.steps import aligned
from memnas_core.space.graph import Graph

FIRMWARE = "firmware"
"""What is in every firmware: start, vector table, preparation of the image, choice of the class."""

BYTES = "bytes"
"""The term that stands for a kernel's size."""

STACK_BYTES = "stack bytes"
"""The term of `FIRMWARE` that stands for the stack that a network takes at the most."""

STACK_MARGIN = 32
"""Bytes by which the stack of a network may differ from that of the networks that were measured: what the function that
calls the kernels keeps depends on the network a little."""

_WORD = 4
_WINDOW_BYTES, _WEIGHTED_BYTES, _SUM_BYTES = 30, 52, 36
"""Bytes of the constants beside weights, as a 32-bit compiler lays them out (`c/types.c`, `weighted.c`, `add.c`)."""


class Cost(NamedTuple):
    """What a network takes on a core.

    Attributes:
        flash_bytes: Flash of the least firmware around it.
        stack_bytes: Stack that it takes at the most, from the call of its function.
        instructions: Instructions of one image.
    """

    flash_bytes: int
    stack_bytes: int
    instructions: int


def predicted_cost(graph: Graph, core: str) -> Cost:
    """Return what a network takes on a core.

    Args:
        graph: The network in running order.
        core: A key of `memnas_core.firmware.boards.BOARDS`.

    Raises:
        GraphError: A tensor is too large for the kernels.
    """
    table = kernel_table()[core]
    made = calls(graph, lay_out(graph))
    flash = table[FIRMWARE][BYTES] + sum(table[kernel][BYTES] for kernel in {call.kernel for call in made})
    flash += constant_bytes(graph, made) + table[FIRMWARE]["bytes a call"] * len(made)
    work = [(FIRMWARE, image_terms(graph)), *((call.kernel, call_terms(call)) for call in made)]
    instructions = sum(table[kernel][term] * count for kernel, terms in work for term, count in terms.items())
    stack = round(table[FIRMWARE][STACK_BYTES]) + STACK_MARGIN
    return Cost(round(flash), stack, round(instructions))


def constant_bytes(graph: Graph, made: list[Call]) -> int:
    """Return the bytes of a network's constants, each beginning at a word, with the tables for the bytes of pixels."""
    sizes = [256 * graph.input_shape.channels]
    for call in made:
        if call.kernel in (CONVOLVE, DEPTHWISE):
            window, channels = call.window, call.window.out_channels
            inputs = 1 if call.kernel == DEPTHWISE else window.in_channels
            weights = window.kernel_height * window.kernel_width * inputs * channels
            sizes += [weights, 4 * channels, 4 * channels, channels, _WEIGHTED_BYTES]
        else:
            sizes.append(_SUM_BYTES if call.kernel == ADD else _WINDOW_BYTES)
    return sum(aligned(size, _WORD) for size in sizes)


def image_terms(graph: Graph) -> dict[str, int]:
    """Return the work on an image and its scores outside the kernels."""
    shape, classes = graph.input_shape, graph.layers[-1].output.channels
    return {"run": 1, "pixel": shape.height * shape.width, "value": shape.elements, "class": classes}


def call_terms(call: Call) -> dict[str, int]:
    """Return how often a kernel does each of its pieces of work in a call."""
    window = call.window
    rows, pixels = window.out_height, window.out_height * window.out_width
    channels = window.out_channels
    if call.kernel == CONVOLVE:
        channels += channels % 2  # two at a time
    values = pixels * channels
    if call.kernel == ADD:
        return {"call": 1, "pixel": pixels, "value": values}
    terms = {"call": 1, "row": rows, "pixel": pixels, "value": values}
    if call.kernel == COPY:
        return terms
    high, skipped_high = _taps(
        window.in_height, window.out_height, window.kernel_height, window.stride_y, window.pad_y, window.dilation
    )
    wide, skipped_wide = _taps(
        window.in_width, window.out_width, window.kernel_width, window.stride_x, window.pad_x, window.dilation
    )
    # Taps outside the image are skipped one by one: those of rows once a row, those of columns once a pixel.
    terms["skipped tap"] = skipped_high + rows * skipped_wide
    terms["tap row"] = high * window.out_width * channels
    terms["tap"] = high * wide * channels
    if call.kernel == CONVOLVE:
        terms["product"] = terms["tap"] * window.in_channels
    return terms


def _taps(size: int, places: int, taps: int, stride: int, pad: int, dilation: int) -> tuple[int, int]:
    """Return how many taps lie in the image, over all places of a window in one dimension, and how many do not."""
    firsts = [place * stride - pad for place in range(places)]
    inside = sum(0 <= first + tap * dilation < size for first in firsts for tap in range(taps))
    return inside, places * taps - inside


@cache
def kernel_table() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """Return core -> kernel -> term -> factor, as `kernels.csv` has them; a term that it lacks has the factor 0."""
    text = (files("memnas_core.firmware") / "kernels.csv").read_text(encoding="utf-8")
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    for row in csv.DictReader(text.splitlines()):
        table[row["core"]][row["kernel"]][row["term"]] = float(row["value"])
    return table
