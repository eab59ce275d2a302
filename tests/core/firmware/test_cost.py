"""What is predicted from a graph against what the linker and QEMU say, on networks that the table was not made from."""

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from memnas_core.firmware.boards import BOARDS
from memnas_core.firmware.calls import KERNELS, calls
from memnas_core.firmware.cost import BYTES, FIRMWARE, call_terms, constant_bytes, kernel_table, predicted_cost
from memnas_core.firmware.emulation import emulate
from memnas_core.firmware.layout import lay_out
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Layer, LayerKind, Shape
from tests.core.firmware.made_up import made_up_network, pixels, write_c
from tests.core.random_architectures import bare_architecture

TWO_BRANCHES = Architecture(
    (
        Block((Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.CONCAT, included=True),), 2),
        Block((Cell(Branch(0, ops.DEPTHWISE_5X5), Branch(0, ops.IDENTITY), Combiner.SUM, included=True),), 2),
    ),
    filters=12,
)


@pytest.mark.parametrize("core", list(BOARDS))
@pytest.mark.parametrize(("architecture", "side"), [(TWO_BRANCHES, 20), (bare_architecture((2, 1), 16), 16)])
def test_flash_stack_and_instructions(core: str, architecture: Architecture, side: int, tmp_path: Path) -> None:
    shape = Shape(3, side, side)
    network = made_up_network(architecture, shape, 7, seed=5)
    found = emulate(write_c(network, tmp_path / "sketch.c"), core, pixels(shape, 2))
    predicted = predicted_cost(network.graph, core)
    assert predicted.flash_bytes == pytest.approx(found.flash_bytes, rel=0.02)
    assert predicted.instructions == pytest.approx(found.instructions, rel=0.02)
    assert predicted.stack_bytes - 64 <= found.stack_bytes <= predicted.stack_bytes


def test_the_table_has_every_kernel_on_every_core() -> None:
    rows = list(csv.DictReader((files("memnas_core.firmware") / "kernels.csv").read_text().splitlines()))
    keys = [(row["core"], row["kernel"], row["term"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {key[:2] for key in keys} == {(core, kernel) for core in BOARDS for kernel in (*KERNELS, FIRMWARE)}
    assert all(kernel_table()[core][kernel][BYTES] > 0 for core in BOARDS for kernel in KERNELS)


def chain(layer: Layer, image: Shape) -> Graph:
    """Return image -> layer -> average -> a classifier of two classes."""
    pool = Layer(
        "pool", LayerKind.GLOBAL_AVERAGE_POOL, ("x",), layer.output.channels, Shape(layer.output.channels, 1, 1)
    )
    end = Layer("end", LayerKind.LINEAR, ("pool",), layer.output.channels, Shape(2, 1, 1))
    return Graph(image, (layer, pool, end), "end")


def test_terms_by_hand() -> None:
    """A 3x3 window on 4x4 pixels, padded by one, stride 2: its two places have 2 and 3 taps inside in each dimension.

    The first begins one before the image; the second ends with the image. So 5 of 6 taps of a dimension are inside.
    Three output channels are computed as four.
    """
    layer = Layer("x", LayerKind.CONV, ("image",), 2, Shape(3, 2, 2), (3, 3), (2, 2))
    graph = chain(layer, Shape(2, 4, 4))
    first, pool, end = calls(graph, lay_out(graph))
    assert call_terms(first) == {
        "call": 1,
        "row": 2,
        "pixel": 4,
        "value": 4 * 4,
        "skipped tap": 1 + 2 * 1,
        "tap row": 5 * 2 * 4,
        "tap": 5 * 5 * 4,
        "product": 5 * 5 * 4 * 2,
    }
    assert call_terms(pool)["tap"] == 4 * 3
    assert call_terms(end)["product"] == 3 * 2


def test_constants_by_hand() -> None:
    """Weights 54, biases and multipliers 12 each, shifts 3, descriptor 52; 30; 6, 8, 8, 2, 52; tables of 2 x 256."""
    layer = Layer("x", LayerKind.CONV, ("image",), 2, Shape(3, 2, 2), (3, 3), (2, 2))
    graph = chain(layer, Shape(2, 4, 4))
    expected = (56 + 12 + 12 + 4 + 52) + 32 + (8 + 8 + 8 + 4 + 52) + 512
    assert constant_bytes(graph, calls(graph, lay_out(graph))) == expected
