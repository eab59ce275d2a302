"""The layers that networks consist of: what each computes and reads, and the shape of its output."""

from enum import StrEnum
from typing import NamedTuple


class Shape(NamedTuple):
    """Channels, height and width of a tensor for one image; a vector is (n, 1, 1)."""

    channels: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.channels * self.height * self.width


class Workload(NamedTuple):
    """Images, classes and element widths: all that a network's memory depends on besides its architecture.

    Attributes:
        input_shape: Shape of an image.
        classes: Number of outputs of the classifier.
        weight_bytes: Bytes per weight.
        activation_bytes: Bytes per activation.
    """

    input_shape: Shape
    classes: int
    weight_bytes: int
    activation_bytes: int


class LayerKind(StrEnum):
    """What a layer computes."""

    CONV = "conv"  # convolution, batch norm, ReLU
    AVERAGE_POOL = "average_pool"
    MAX_POOL = "max_pool"
    SUBSAMPLE = "subsample"  # every stride-th pixel
    SUM = "sum"
    CONCAT = "concat"
    GLOBAL_AVERAGE_POOL = "global_average_pool"
    LINEAR = "linear"


class Layer(NamedTuple):
    """One layer; its output tensor has the same name.

    Attributes:
        name: Unique in its graph and a valid Python identifier.
        kind: Kind of computation.
        inputs: Names of the tensors that it reads, in order.
        in_channels: Channels of all inputs together (of one input for SUM).
        output: Shape of the output tensor.
        kernel: Height and width of the window.
        stride: Vertical and horizontal step.
        dilation: Distance between the window's taps.
        groups: Groups of the convolution; equal to `in_channels` when depthwise.
        block: Number of the block from 1, or 0 for the stem and the classifier.
    """

    name: str
    kind: LayerKind
    inputs: tuple[str, ...]
    in_channels: int
    output: Shape
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    groups: int = 1
    block: int = 0

    @property
    def weights(self) -> int:
        """Number of trainable weights."""
        channels = self.output.channels
        if self.kind is LayerKind.CONV:
            height, width = self.kernel
            return height * width * (self.in_channels // self.groups) * channels + 2 * channels
        if self.kind is LayerKind.LINEAR:
            return (self.in_channels + 1) * channels
        return 0
