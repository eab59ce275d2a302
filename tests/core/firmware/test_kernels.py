"""The C of networks against integer arithmetic in numpy (`reference`), value by value."""

import ctypes
import random
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.firmware.invented import invented
from memnas_core.space.layers import LayerKind, Shape
from tests.core.export.conftest import EVERY_LAYER
from tests.core.firmware import reference
from tests.core.firmware.made_up import chain, compiled, made_up_network, pixels, prepared, tables
from tests.core.random_architectures import random_walks

INT32 = st.integers(-(2**31), 2**31 - 1)


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Return the C that multiplies by a factor, on its own, with a check for undefined behaviour."""
    folder = tmp_path_factory.mktemp("scale")
    text = (files("memnas_core.firmware") / "c" / "scale.c").read_text()
    (folder / "scale.c").write_text(
        f"#include <stdint.h>\n{text}\n"
        "int32_t scaled(int32_t v, int32_t m, int s) { return memnas_scale(v, m, s); }\n"
        "int clamped(int32_t v, int32_t l) { return memnas_clamp(v, l); }\n"
    )
    command = [
        "cc",
        "-std=c99",
        "-O1",
        "-shared",
        "-fPIC",
        "-fsanitize-undefined-trap-on-error",
        "-fsanitize=undefined",
    ]
    subprocess.run([*command, "scale.c", "-o", "scale.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "scale.so"))


@given(INT32, st.integers(2**30, 2**31 - 1) | st.just(0), st.integers(-31, 0))
@example(2**31 - 1, 2**31 - 1, 0)
@example(-(2**31), 2**31 - 1, 0)
@example(-3, 2**30, -1)  # -1.5 becomes -1 first (halves up), then -0.5 becomes -1 (away from zero)
@example(1, 2**30, 0)  # 0.5 becomes 1
@example(-1, 2**30, 0)  # -0.5 becomes 0
def test_a_factor_is_exact(scale: ctypes.CDLL, value: int, multiplier: int, shift: int) -> None:
    assert scale.scaled(value, multiplier, shift) == reference.scaled(value, multiplier, shift)


@given(st.integers(-(2**20), 2**20), st.integers(2**30, 2**31 - 1), st.integers(1, 9))
def test_a_factor_above_one_is_exact(scale: ctypes.CDLL, value: int, multiplier: int, shift: int) -> None:
    assert scale.scaled(value, multiplier, shift) == reference.scaled(value, multiplier, shift)


def test_values_are_cut_off_at_a_byte(scale: ctypes.CDLL) -> None:
    assert [scale.clamped(value, -5) for value in (-129, -5, 0, 127, 128)] == [-5, -5, 0, 127, 127]


@pytest.mark.parametrize("seed", range(24))
def test_layers_of_any_size(seed: int, tmp_path: Path) -> None:
    """Odd and narrow images, windows larger than them, strides that do not divide them, one to ten channels."""
    network = invented(chain(random.Random(seed)), seed)
    images, table = pixels(network.graph.input_shape, 3, seed), tables(network)
    expected = [reference.run(network, prepared(image, table)) for image in images]
    np.testing.assert_array_equal(compiled(network, tmp_path).run(images), expected)


def test_the_chains_have_all_kinds_of_layers() -> None:
    layers = [layer for seed in range(24) for layer in chain(random.Random(seed)).layers]
    assert {layer.kind for layer in layers} == set(LayerKind)
    assert any(layer.groups > 1 for layer in layers)
    assert any(layer.dilation > 1 and layer.kernel > (1, 1) for layer in layers)


def test_networks_of_the_space(tmp_path: Path) -> None:
    """The places of tensors too: a tensor that is overwritten too early changes the scores."""
    walks = [walk for walk in random_walks(seed=3, count=12) if walk.reduction <= 8]
    assert len(walks) > 6
    different = set()
    for seed, architecture in enumerate((EVERY_LAYER, *walks)):
        shape = Shape(1 + seed % 3, 8, 8)
        network = made_up_network(architecture, shape, 4, seed)
        images, table = pixels(shape, 2, seed), tables(network)
        expected = np.array([reference.run(network, prepared(image, table)) for image in images])
        np.testing.assert_array_equal(compiled(network, tmp_path).run(images), expected)
        different.update(map(bytes, expected))
    assert len(different) > 12  # no network gives the same scores whatever it sees


def test_a_run_leaves_nothing_behind(tmp_path: Path) -> None:
    network = made_up_network(EVERY_LAYER, Shape(3, 8, 8), 5, seed=0)
    opened, images = compiled(network, tmp_path), pixels(Shape(3, 8, 8), 3)
    first = opened.run(images)
    np.testing.assert_array_equal(opened.run(images[::-1])[::-1], first)
