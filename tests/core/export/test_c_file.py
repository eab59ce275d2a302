"""C against the int8 `.pte` of the same network, and against the integer arithmetic in numpy."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from memnas_core.export import cortex_m, program_runner
from memnas_core.export.c_file import C
from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.file_format import ExportError
from memnas_core.export.lowered import quantised_network, read_lowered
from memnas_core.export.quantise import TakesChannelsLast, channels_last, export_int8
from memnas_core.export.vectors import Vectors
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.interface import read_interface
from memnas_core.firmware.layout import lay_out
from memnas_core.firmware.quantised import QuantisedNetwork
from memnas_core.firmware.source import pixel_tables
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import build_network
from tests.core.export.test_formats import FACTS
from tests.core.firmware import reference
from tests.core.firmware.made_up import prepared
from tests.core.random_architectures import bare_architecture


@pytest.fixture(scope="module")
def quantised(network: torch.nn.Module, images: Tensor) -> QuantisedNetwork:
    return quantised_network(deploy(network), images)  # type: ignore[arg-type]


def integers(quantised: QuantisedNetwork, images: Tensor) -> np.ndarray:
    """Return normalised images as the quantised program takes them, in the same order of dimensions."""
    cortex_m.register_operators()
    scale, zero = quantised.image
    quantise = torch.ops.quantized_decomposed.quantize_per_tensor.default
    return np.asarray(quantise(images, scale, zero, -128, 127, torch.int8).numpy())


def test_the_integers_are_those_of_the_program_for_a_cortex_m(
    quantised: QuantisedNetwork,
    deployed: DeployedNetwork,
    images: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ExecuTorch's references give the same scores, but that they average in float32: a half may go either way."""
    path = tmp_path / "network.pte"
    path.write_bytes(EXECUTORCH.write(deployed, images, int8=True, facts=""))
    scores = np.array([reference.run(quantised, image) for image in integers(quantised, channels_last(images))])

    def theirs() -> np.ndarray:
        opened = EXECUTORCH.open(path, int8=True)
        return quantised.scores.integers(np.concatenate([opened.run(image).numpy() for image in images.split(1)]))

    assert np.abs(theirs().astype(int) - scores).max() <= 3
    np.testing.assert_array_equal(theirs().argmax(1), scores.argmax(1))
    operator = program_runner._operator
    average = "cortex_m::quantized_avg_pool2d_nhwc"
    monkeypatch.setattr(
        program_runner,
        "_operator",
        lambda name, overload: average_of_integers if name == average else operator(name, overload),
    )
    np.testing.assert_array_equal(theirs(), scores)


def average_of_integers(arguments: Sequence[object]) -> None:
    """Average as CMSIS-NN does: sum and count are integers, and halves go away from zero."""
    image, kernel, stride, padding, *_, output = arguments
    assert isinstance(image, Tensor)
    assert isinstance(output, Tensor)
    values = image.permute(0, 3, 1, 2).double()
    sums, counts = (
        functional.avg_pool2d(one, kernel, stride, padding, divisor_override=1)  # type: ignore[arg-type]
        for one in (values, torch.ones_like(values))
    )
    means = torch.sign(sums) * torch.floor((2 * sums.abs() + counts) / (2 * counts))
    output.copy_(means.permute(0, 2, 3, 1).to(torch.int8))


def test_bytes_of_pixels_become_what_torch_quantises_them_to(quantised: QuantisedNetwork) -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    pixels = torch.arange(256, dtype=torch.uint8).expand(3, 256)
    normal = (pixels.float() / 255 - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]
    np.testing.assert_array_equal(pixel_tables(quantised.image, mean, std), integers(quantised, normal))


def test_a_written_source(
    deployed: DeployedNetwork, quantised: QuantisedNetwork, images: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "network.c"
    content = C.write(deployed, images, int8=True, facts=json.dumps(FACTS))
    path.write_bytes(content)
    opened = C.open(path, int8=True)
    interface = read_interface(content.decode(), "network.c")
    assert interface.prefix == "letters"
    assert opened.planned_bytes == interface.arena_bytes == lay_out(deployed.graph).bytes
    assert opened.planned_bytes == C.predicted_bytes(deployed.graph, int8=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    table = pixel_tables(quantised.image, FACTS["channel_mean"], FACTS["channel_std"])  # type: ignore[arg-type]
    scores = np.array([reference.run(quantised, prepared(image, table)) for image in pixels])
    normal = torch.from_numpy((pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.125)
    real = np.concatenate([opened.run(image).numpy() for image in normal.split(1)])
    np.testing.assert_array_equal(interface.scores.integers(real), scores)
    np.testing.assert_array_equal(interface.scores.real(scores), real)
    source, header = C.finished(content, Vectors((0, 1, 2), pixels, pixels, True, scores))
    path.write_bytes(source)
    carried = HostNetwork.compile(path).test_images()
    assert carried is not None
    np.testing.assert_array_equal(carried.pixels, pixels)
    np.testing.assert_array_equal(carried.scores, scores)
    assert source.startswith(header)
    assert C.beside("digits-1-int8.c") == ("digits-1-int8.h",)


def network_of(architecture: Architecture, shape: Shape) -> DeployedNetwork:
    return deploy(build_network(lower(architecture, shape, 3), seed=0).eval())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_network(channels: int) -> None:
    """One grey channel, whose convolution ExecuTorch takes for a depthwise one, and subsamplings."""
    images = torch.randn(8, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    deployed = network_of(bare_architecture((2, 2), 4), Shape(channels, 8, 8))
    quantised = quantised_network(deployed, images)
    stem = quantised.weighted(quantised.graph.layers[0])
    scales = np.abs(deployed.layers["stem"][0].weight.numpy()).max((1, 2, 3)) / 127.5  # type: ignore[index]
    expected = deployed.layers["stem"][0].weight.permute(0, 2, 3, 1).numpy() / scales[:, None, None, None]  # type: ignore[index]
    assert np.abs(stem.weights - expected).max() < 1.01


def test_a_program_with_other_layers_is_refused(images: Tensor) -> None:
    deployed = network_of(bare_architecture((2,), 4), Shape(3, 8, 8))
    other = network_of(bare_architecture((1,), 4), Shape(3, 8, 8))
    with cortex_m.quiet():
        program = export_int8(TakesChannelsLast(other), channels_last(images))
        lowered = cortex_m.to_cortex_m(program, "cortex-m0").exported_program()
    subsample = next(layer for layer in deployed.graph.layers if layer.kind is LayerKind.SUBSAMPLE)
    with pytest.raises(ExportError, match=f"layer {subsample.name}: expected aten::slice_copy, found cortex_m::"):
        read_lowered(deployed, lowered)
