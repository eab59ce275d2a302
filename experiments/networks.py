"""The public definition that stands for each row of the paper's Tables 1 and 2, and what differs in it.

The definition is taken from the first of torchvision, timm and pytorchcv that has the network of the row's figures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, ParamSpec

import timm
from pytorchcv.model_provider import get_model
from pytorchcv.models.shufflenet import get_shufflenet
from torch import nn
from torchvision import models

from experiments.fbnet_a import fbnet_a
from experiments.small_networks import (
    condensenet_small,
    mobilenet_v2_small,
    resnet_small,
    select_evenly,
    shufflenet_small,
)

Arguments = ParamSpec("Arguments")

HERE = "memnas"
"""Stands for a library where this project has its own definition."""


@dataclass(frozen=True, slots=True)
class Definition(Generic[Arguments]):
    """A network's public definition.

    Attributes:
        model: The row's name as the paper prints it.
        library: Package that defines it.
        name: The definition's name in that package.
        differs: How it differs from the network of the row; empty where it does not.
        build: Builds the network with newly drawn weights; nothing is downloaded.
    """

    model: str
    library: str
    name: str
    differs: str
    build: Callable[Arguments, nn.Module]

    @property
    def source(self) -> str:
        """Library, its version, definition and difference, for the table."""
        where = f"{self.library} {metadata.version(self.library)}: {self.name}"
        return f"{where}; {self.differs}" if self.differs else where


_SMALL_STEM = "first layer with stride 1"
_CONDENSED = (
    f"its class with the widths of the published recipe for CIFAR (growth 8-16-32, C = G = 4), {_SMALL_STEM}; the "
    "network as it is after condensation, its groups reading evenly spread channels, not learned ones"
)

SMALL: tuple[Definition[[int, int]], ...] = (
    Definition(
        "MobileNet-V2",
        "torchvision",
        "mobilenet_v2",
        "stem and second stage with stride 1, as is usual for CIFAR",
        mobilenet_v2_small,
    ),
    Definition(
        "ResNet-110",
        "pytorchcv",
        "resnet110_cifar10",
        "1x1 convolutions in the two shortcuts that change shape, where the original pads with zeros",
        lambda channels, classes: resnet_small(110, channels, classes),
    ),
    Definition(
        "ResNet-56",
        "pytorchcv",
        "resnet56_cifar10",
        "1x1 convolutions in the two shortcuts that change shape, where the original pads with zeros",
        lambda channels, classes: resnet_small(56, channels, classes),
    ),
    Definition(
        "ShuffleNet",
        "pytorchcv",
        "shufflenet_g3_w1",
        f"{_SMALL_STEM} and without max pooling; the paper does not say which ShuffleNet it had",
        shufflenet_small,
    ),
    Definition(
        "CondenseNet-86",
        "pytorchcv",
        "CondenseNet",
        _CONDENSED,
        lambda channels, classes: condensenet_small(14, channels, classes),
    ),
    Definition(
        "CondenseNet-50",
        "pytorchcv",
        "CondenseNet",
        _CONDENSED,
        lambda channels, classes: condensenet_small(8, channels, classes),
    ),
)
"""The definitions of Table 1, built from the channels of an image and the number of classes."""

_WITH_ATTENTION = "MnasNet-A1, with squeeze and excitation: DM=1 prints the accuracy and latency published for it"

LARGE: tuple[Definition[[]], ...] = (
    Definition(
        "CondenseNet (G=C=8)",
        "pytorchcv",
        "condensenet74_c8_g8",
        "",
        lambda: select_evenly(get_model("condensenet74_c8_g8")),
    ),
    Definition(
        "ShuffleNet V1 (1.5x)",
        "pytorchcv",
        "get_shufflenet(groups=3, width_scale=1.5)",
        "",
        lambda: get_shufflenet(groups=3, width_scale=1.5),
    ),
    Definition("MobileNet V2 (1.0x)", "torchvision", "mobilenet_v2", "", lambda: models.mobilenet_v2(weights=None)),
    Definition(
        "ShuffleNet V2 (1.5x)",
        "torchvision",
        "shufflenet_v2_x1_5",
        "",
        lambda: models.shufflenet_v2_x1_5(weights=None),
    ),
    Definition(
        "FBNet-A",
        HERE,
        "experiments.fbnet_a",
        "written for lack of a library's, from its authors' table; without their biases in front of batch norm",
        fbnet_a,
    ),
    Definition(
        "MnasNet (DM=0.75)", "timm", "semnasnet_075", _WITH_ATTENTION, lambda: timm.create_model("semnasnet_075")
    ),
    Definition("DARTS", "pytorchcv", "darts", "", lambda: get_model("darts")),
    Definition("NASNet (Mobile)", "pytorchcv", "nasnet_4a1056", "", lambda: get_model("nasnet_4a1056")),
    Definition(
        "CondenseNet (G=C=4)",
        "pytorchcv",
        "condensenet74_c4_g4",
        "",
        lambda: select_evenly(get_model("condensenet74_c4_g4")),
    ),
    Definition(
        "ShuffleNet V1 (2.0x)",
        "pytorchcv",
        "get_shufflenet(groups=3, width_scale=2.0)",
        "",
        lambda: get_shufflenet(groups=3, width_scale=2.0),
    ),
    Definition(
        "MobileNet V2 (1.4x)",
        "torchvision",
        "mobilenet_v2(width_mult=1.4)",
        "",
        lambda: models.mobilenet_v2(weights=None, width_mult=1.4),
    ),
    Definition(
        "ShuffleNet V2 (2.0x)",
        "torchvision",
        "shufflenet_v2_x2_0",
        "",
        lambda: models.shufflenet_v2_x2_0(weights=None),
    ),
    Definition("ProxylessNAS-M", "pytorchcv", "proxylessnas_mobile", "", lambda: get_model("proxylessnas_mobile")),
    Definition("FBNet-C", "timm", "fbnetc_100", "", lambda: timm.create_model("fbnetc_100")),
    Definition("MnasNet (DM=1)", "timm", "semnasnet_100", _WITH_ATTENTION, lambda: timm.create_model("semnasnet_100")),
)
"""The definitions of Table 2, for images of 3x224x224 and 1000 classes."""

_NO_DPPNET = "no public definition: none in the three libraries, and no code of its authors was found"
_NO_DVOLVER = "no public definition: its author's repository has the search, not the cells that it found"
UNDEFINED = {
    "DPPNet-P": _NO_DPPNET,
    "DPPNet-M": _NO_DPPNET,
    "DPPNet-P (PPPNet)": _NO_DPPNET,
    "DVOLER-C": _NO_DVOLVER,
    "DVOLER-A": _NO_DVOLVER,
    "EMNAS": "no public definition: none in the three libraries, and no code of its authors (LEMONADE) was found",
}
"""Why some rows have no definition."""
