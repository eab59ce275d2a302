"""Table 1's reference networks for small images: definitions of well-kept libraries, with strides suited to CIFAR.

Only what keeps a network from reading small images is changed: strides of the first layers, the window of the last
pooling, input channels. `experiments.networks` describes each change for the table.
"""

from itertools import accumulate

import torch
from pytorchcv.models.condensenet import CondenseComplexConv, CondenseLinear, CondenseNet
from pytorchcv.models.resnet_cifar import get_resnet_cifar
from pytorchcv.models.shufflenet import get_shufflenet
from torch import nn
from torchvision.models import mobilenet_v2

# Expansion, channels, layers and stride of each stage; the second has stride 2 in the network for ImageNet.
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
    """Return MobileNet-V2 that halves images three times instead of five.

    Args:
        channels: Channels of an image.
        classes: Number of classes.
        width: Multiplies the channels of all layers; the last keeps at least 1280.
    """
    network = mobilenet_v2(
        weights=None, num_classes=classes, width_mult=width, inverted_residual_setting=MOBILENET_V2_STAGES
    )
    first = nn.Conv2d(channels, network.features[0][0].out_channels, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(first.weight, mode="fan_out")  # as torchvision initialises the others
    network.features[0][0] = first
    finished: nn.Module = network
    return finished


def resnet_small(depth: int, channels: int, classes: int) -> nn.Module:
    """Return the ResNet for CIFAR with the given number of layers."""
    network = get_resnet_cifar(num_classes=classes, blocks=depth, bottleneck=False, in_channels=channels)
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    finished: nn.Module = network
    return finished


def shufflenet_small(channels: int, classes: int) -> nn.Module:
    """Return ShuffleNet 1x with 3 groups that halves images three times instead of five."""
    network = get_shufflenet(groups=3, width_scale=1.0, in_channels=channels, num_classes=classes)
    network.features.init_block.conv.stride = (1, 1)
    network.features.init_block.pool = nn.Identity()
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    finished: nn.Module = network
    return finished


def condensenet_small(units: int, channels: int, classes: int) -> nn.Module:
    """Return the CondenseNet for CIFAR with a given number of units in each of its three stages.

    It is the network after condensation: the one with 86 layers has 14 units a stage, the one with 50 has 8.
    """
    growth = [step for step in CONDENSENET_GROWTH for _ in range(units)]
    widths = list(accumulate(growth, initial=CONDENSENET_STEM))[1:]
    stages = [widths[start : start + units] for start in range(0, len(widths), units)]
    network = CondenseNet(stages, CONDENSENET_STEM, CONDENSENET_GROUPS, in_channels=channels, num_classes=classes)
    network.features.init_block.conv.stride = (1, 1)
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return select_evenly(network)


def select_evenly(network: nn.Module) -> nn.Module:
    """Make the layers of a CondenseNet without trained weights read channels from the whole input.

    Condensation learns which channels a group of a 1x1 convolution reads. The library puts channel 0 for all of them,
    as it expects a trained network's choice to be loaded. Here group g reads every G-th channel from g on, and the
    classifier reads every other feature.

    Returns:
        The same network, changed in place.
    """
    for part in network.modules():
        if isinstance(part, CondenseComplexConv):
            part.index.copy_(torch.arange(len(part.index)).view(-1, part.conv.groups).t().flatten())
        elif isinstance(part, CondenseLinear):
            part.index.copy_(torch.arange(len(part.index)) * 2)
    return network
