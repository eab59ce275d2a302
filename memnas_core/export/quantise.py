"""Post-training quantisation to int8 by PT2E, calibrated on training images."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memnas_core.deployed import DeployedNetwork
from memnas_core.export import cortex_m

if TYPE_CHECKING:
    from torch.export import ExportedProgram

CALIBRATION_IMAGES = 256


def export_float(network: DeployedNetwork, image: Tensor) -> "ExportedProgram":
    """Return the network as torch's exported program for one image.

    Args:
        network: What to export.
        image: Shape (1, channels, height, width).
    """
    return torch.export.export(network, (channels_first(image),))


def export_int8(network: DeployedNetwork, calibration: Tensor) -> "ExportedProgram":
    """Return the quantised network as an exported program for one image in channels-last layout.

    It has int8 weights, and computes in float32 between pairs of operations that quantise and dequantise, for a
    backend to make one int8 operator of.

    Args:
        network: What to quantise.
        calibration: Normalised training images, shape (n, channels, height, width).
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    images = [channels_last(image) for image in calibration.split(1)]
    laid_out = copy.deepcopy(network).to(memory_format=torch.channels_last)
    program = torch.export.export(laid_out, (images[0],))
    observed = prepare_pt2e(program.module(check_guards=False), cortex_m.quantizer())
    for image in images:
        observed(image)
    return torch.export.export(convert_pt2e(observed), (images[0],))


def channels_last(image: Tensor) -> Tensor:
    """Return a copy with the channels last in memory; with one channel strides alone would not tell."""
    return image.clone(memory_format=torch.channels_last)


def channels_first(image: Tensor) -> Tensor:
    """Return a copy with the channels first in memory."""
    return image.clone(memory_format=torch.contiguous_format)
