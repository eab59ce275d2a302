"""Table 1's reference networks for small images: definitions of well-kept libraries, with the strides that CIFAR wants.

What is changed in each is only what lets it see small images (strides of the first layers, the window of the last
pooling, input channels); `experiments.networks` says it in words for the table.
"""

from itertools import accumulate

import torch
from pytorchcv.models.condensenet import CondenseComplexConv, CondenseLinear, CondenseNet
from pytorchcv.models.resnet_cifar import get_resnet_cifar
from pytorchcv.models.shufflenet import get_shufflenet
from torch import nn
from torchvision.models import mobilenet_v2

# Expansion, channels, layers, stride of each stage; the second has stride 2 in the network for ImageNet.
MOBILENET_V2_STAGES = [
    [1, 16, 1, 1],
    [6, 24, 2, 1],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]
CONDENSENET_STEM = 16
CONDENSENET_GROWTH = (8, 16, 32)
CONDENSENET_GROUPS = 4


def mobilenet_v2_small(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Return MobileNet-V2 that halves images three times in place of five.

    Args:
        channels: Of an image.
        classes: Number of classes.
        width: Multiplies the channels of all layers; the last has no fewer than 1280.
    """
    network = mobilenet_v2(
        weights=None, num_classes=classes, width_mult=width, inverted_residual_setting=MOBILENET_V2_STAGES
    )
    first = nn.Conv2d(channels, network.features[0][0].out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(first.weight, mode="fan_out")  # as torchvision draws the others
    network.features[0][0] = first
    finished: nn.Module = network
    return finished


def resnet_small(depth: int, channels: int, classes: int) -> nn.Module:
    """Return the ResNet for CIFAR with so many layers."""
    network = get_resnet_cifar(num_classes=classes, blocks=depth, bottleneck=False, in_channels=channels)
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    finished: nn.Module = network
    return finished


def shufflenet_small(channels: int, classes: int) -> nn.Module:
    """Return ShuffleNet 1x with 3 groups that halves images three times in place of five."""
    network = get_shufflenet(groups=3, width_scale=1.0, in_channels=channels, num_classes=classes)
    network.features.init_block.conv.stride = (1, 1)
    network.features.init_block.pool = nn.Identity()
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    finished: nn.Module = network
    return finished


def condensenet_small(units: int, channels: int, classes: int) -> nn.Module:
    """Return the CondenseNet for CIFAR with so many units in each of its three stages.

    It is the network after condensation: 86 layers have 14 units a stage, 50 have 8.
    """
    growth = [step for step in CONDENSENET_GROWTH for _ in range(units)]
    widths = list(accumulate(growth, initial=CONDENSENET_STEM))[1:]
    stages = [widths[start : start + units] for start in range(0, len(widths), units)]
    network = CondenseNet(stages, CONDENSENET_STEM, CONDENSENET_GROUPS, in_channels=channels, num_classes=classes)
    network.features.init_block.conv.stride = (1, 1)
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return select_evenly(network)


def select_evenly(network: nn.Module) -> nn.Module:
    """Let the layers of a CondenseNet without trained weights read channels from everywhere.

    Which channels a group of a 1x1 convolution reads is learned while it is condensed. The library leaves channel 0
    for all of them, for a trained network's choice to be loaded; here group g reads every G-th channel from g on, and
    the classifier every other feature.

    Returns:
        The same network.
    """
    for part in network.modules():
        if isinstance(part, CondenseComplexConv):
            part.index.copy_(torch.arange(len(part.index)).view(-1, part.conv.groups).t().flatten())
        elif isinstance(part, CondenseLinear):
            part.index.copy_(torch.arange(len(part.index)) * 2)
    return network
