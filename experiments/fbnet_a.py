"""FBNet-A, written here from its authors' published table, as no library on the package index defines it.

Source: Wu et al., FBNet (CVPR 2019), Figure 4, with the channels of the last stages as in the authors' repository
facebookresearch/mobile-vision. The authors' convolutions have biases in front of batch norm. They are left out here,
as in timm's FBNet-C: they do not change what the network computes, and vanish when a runtime folds the two layers.
"""

from dataclasses import dataclass

from pytorchcv.models.common.tutti import ChannelShuffle
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation


@dataclass(frozen=True, slots=True)
class Stage:
    """The search's choice for one layer.

    Attributes:
        kernel: Side of the depthwise window in pixels.
        expansion: Channels of the depthwise convolution, as a multiple of the input's.
        groups: Groups of the 1x1 convolutions.
        channels: Channels of the output.
        stride: Stride of the depthwise convolution.
    """

    kernel: int
    expansion: int
    groups: int
    channels: int
    stride: int = 1


STEM_CHANNELS = 16
HEAD_CHANNELS = 1504
# Layers that the search chose to skip (the first, and the last two with 24 channels) are absent.
STAGES = (
    Stage(3, 3, 1, 24, 2),
    Stage(3, 1, 1, 24),
    Stage(5, 6, 1, 32, 2),
    Stage(3, 3, 1, 32),
    Stage(5, 1, 1, 32),
    Stage(3, 3, 1, 32),
    Stage(5, 6, 1, 64, 2),
    Stage(5, 3, 1, 64),
    Stage(5, 1, 2, 64),
    Stage(5, 6, 1, 64),
    Stage(3, 6, 1, 112),
    Stage(5, 1, 2, 112),
    Stage(5, 3, 1, 112),
    Stage(3, 1, 2, 112),
    Stage(5, 6, 1, 184, 2),
    Stage(5, 6, 1, 184),
    Stage(5, 3, 1, 184),
    Stage(5, 6, 1, 184),
    Stage(5, 6, 1, 352),
)


class InvertedResidual(nn.Module):
    """Inverted residual: 1x1 convolution if there is an expansion, shuffle, depthwise and 1x1 convolution, shortcut."""

    def __init__(self, channels: int, stage: Stage) -> None:
        super().__init__()
        middle = channels * stage.expansion
        layers: list[nn.Module] = []
        if stage.expansion > 1:
            layers.append(Conv2dNormActivation(channels, middle, 1, groups=stage.groups))
        if stage.groups > 1:
            layers.append(ChannelShuffle(middle, stage.groups))
        layers.append(Conv2dNormActivation(middle, middle, stage.kernel, stage.stride, groups=middle))
        layers.append(Conv2dNormActivation(middle, stage.channels, 1, groups=stage.groups, activation_layer=None))
        self.layers = nn.Sequential(*layers)
        self.has_shortcut = stage.stride == 1 and channels == stage.channels

    def forward(self, image: Tensor) -> Tensor:
        """Return shape (batch, stage.channels, height / stride, width / stride)."""
        result: Tensor = self.layers(image)
        return result + image if self.has_shortcut else result


def fbnet_a(classes: int = 1000) -> nn.Module:
    """Return FBNet-A with newly drawn weights, for images with 3 channels."""
    layers: list[nn.Module] = [Conv2dNormActivation(3, STEM_CHANNELS, 3, 2)]
    channels = STEM_CHANNELS
    for stage in STAGES:
        layers.append(InvertedResidual(channels, stage))
        channels = stage.channels
    layers += [Conv2dNormActivation(channels, HEAD_CHANNELS, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(HEAD_CHANNELS, classes))
