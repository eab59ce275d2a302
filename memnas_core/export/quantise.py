"""Post-training quantisation to int8 by PT2E, calibrated on training images."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from memnas_core.export import cortex_m
from memnas_core.training.deployed import DeployedNetwork

if TYPE_CHECKING:
    from torch.export import ExportedProgram

CALIBRATION_IMAGES = 256


def export_float(network: DeployedNetwork, image: Tensor) -> "ExportedProgram":
    """Return the network as torch's exported program for one image.

    Args:
        network: Network to export.
        image: Normalised image, shape (1, channels, height, width).
    """
    return torch.export.export(network, (channels_first(image),))


def export_int8(network: nn.Module, calibration: Tensor) -> "ExportedProgram":
    """Return the quantised network as an exported program for one image.

    The program has int8 weights, and computes in float32 between operations that quantise and dequantise; a backend
    fuses each such group into one int8 operator.

    Args:
        network: Network to quantise, in evaluation mode.
        calibration: Normalised training images as the network takes them; the first dimension counts them.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    # A file holds the storage of its example: a copy of one image, not all the images of the calibration.
    images = [image.clone(memory_format=torch.contiguous_format) for image in calibration.split(1)]
    program = torch.export.export(network, (images[0],))
    observed = prepare_pt2e(program.module(check_guards=False), cortex_m.quantizer())
    for image in images:
        observed(image)
    return torch.export.export(convert_pt2e(observed), (images[0],))


class TakesChannelsLast(nn.Module):
    """A network whose image has the shape (1, height, width, channels)."""

    def __init__(self, network: DeployedNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores, shape (1, classes)."""
        scores = self.network(image.permute(0, 3, 1, 2))
        assert isinstance(scores, Tensor), "a network returns a tensor"
        return scores


def channels_last(images: Tensor) -> Tensor:
    """Return a copy of shape (n, height, width, channels)."""
    return images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)


def channels_first(image: Tensor) -> Tensor:
    """Return a copy of the same shape, (n, channels, height, width), whose memory has this order too."""
    return image.clone(memory_format=torch.contiguous_format)
