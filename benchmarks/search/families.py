"""Networks that an engineer scales by hand, without any search: families of one design at many widths.

Within each memory limit, the widest member that fits is handed over; nothing is trained to choose it.

    ResNet-8 family              that of MLPerf Tiny (Banbury et al., 2021)
    depthwise-separable family   after MobileNet (Howard et al., 2017): a strided convolution, then pairs
    MobileNetV2 family           inverted residuals (Sandler et al., 2018), expansion 4
    plain family                 pairs of 3x3 convolutions, widths doubled where the image is halved
    first network family         memnas's first network, with more or fewer filters
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from benchmarks.own_images import resnet_8
from benchmarks.search.contestant import Contestant
from benchmarks.search.methods.trainer import Task
from benchmarks.search.yardstick import LIMITS
from memnas_core.memory.report import memory_report
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Shape
from memnas_core.space.moves import scaled_seed
from memnas_core.tracing.trace import trace

WIDTHS = range(2, 49)
EXPANSION = 4


def convolution(read: int, width: int, side: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution, batch norm and ReLU."""
    conv = nn.Conv2d(read, width, side, stride, side // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU()]


def classified(features: list[nn.Module], width: int, classes: int) -> nn.Module:
    """Return a classifier on features of a width."""
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def depthwise_separable(channels: int, classes: int, width: int) -> nn.Module:
    """Return a network of depthwise and 1x1 convolutions."""
    layers = convolution(channels, width, stride=2)
    for read, wide, stride in ((1, 2, 1), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 4, 1)):
        layers += convolution(read * width, read * width, 3, stride, groups=read * width)
        layers += convolution(read * width, wide * width, 1)
    return classified(layers, 4 * width, classes)


def mobilenet_v2(channels: int, classes: int, width: int) -> nn.Module:
    """Return a network of inverted residuals."""
    layers = convolution(channels, width, stride=2)
    for read, wide, stride in ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 3, 2), (3, 3, 1)):
        layers.append(InvertedResidual(read * width, wide * width, stride, EXPANSION))
    return classified([*layers, *convolution(3 * width, 8 * width, 1)], 8 * width, classes)


def plain(channels: int, classes: int, width: int) -> nn.Module:
    """Return a network of convolutions in a row."""
    layers = convolution(channels, width)
    for read, wide, stride in ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1)):
        layers += convolution(read * width, wide * width, 3, stride)
    return classified(layers, 4 * width, classes)


Builder = Callable[[int, int, int], nn.Module]

FIRST = "first network family"

BUILDERS: Mapping[str, Builder] = {
    "ResNet-8 family": resnet_8,
    "depthwise-separable family": depthwise_separable,
    "MobileNetV2 family": mobilenet_v2,
    "plain family": plain,
}

FAMILIES = (*BUILDERS, FIRST)


def drawn(family: str, channels: int, classes: int, width: int, seed: int) -> nn.Module:
    """Return a member with weights drawn with a seed."""
    torch.manual_seed(seed)
    return BUILDERS[family](channels, classes, width)


def first_network(task: Task, filters: int) -> Architecture:
    """Return the larger of the networks that memnas begins with, with a number of filters."""
    network = task.settings.network
    every = (
        scaled_seed(network.strides, filters, pair, network.stem_stride) for pair in task.settings.search.seed_cells
    )
    return max(every, key=task.total_bytes)


@cache
def traced_bytes(family: str, width: int, shape: Shape, classes: int) -> tuple[int, int]:
    """Return the bytes of weights and of activations of a member, in the order that needs the least.

    Scales and shifts of batch norms count, as in the figures of memnas's networks.
    """
    report = memory_report(trace(BUILDERS[family](shape.channels, classes, width), shape), 4, 4)
    return report.param_bytes, report.peaks["minimum"]


def members(family: str, task: Task) -> Iterator[Contestant]:
    """Yield the members of a family, the narrowest first."""
    shape, classes = Shape(*task.info.shape), len(task.info.classes)
    for width in WIDTHS:
        if family == FIRST:
            yield Contestant.of(first_network(task, width), task)
        else:
            build = partial(drawn, family, shape.channels, classes, width)
            weights, activations = traced_bytes(family, width, shape, classes)
            yield Contestant(f"{family} {width}", weights, activations, build)


def widest(family: str, task: Task) -> tuple[Contestant, ...]:
    """Return the widest member of a family within each limit that any fits."""
    every = tuple(members(family, task))
    found = [[one for one in every if one.total_bytes <= limit][-1:] for limit in LIMITS]
    return tuple(dict.fromkeys(one for some in found for one in some))
