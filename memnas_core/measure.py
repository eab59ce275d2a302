"""Memory figures of an architecture, block by block.

Every tensor of a block is needed for the block's output, so that at a block's end this one tensor is all that
is in memory. The peak of a network is therefore the largest peak of its parts (stem, blocks, classifier), and the
best order of the network is the best orders of the parts in a row. Parts are cached: the candidates of a
round share almost all of their blocks, and blocks at several resolutions differ by a factor only.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from memnas_core.architecture import Architecture, Block
from memnas_core.graph import Layer, Shape, check_input_side, head, lower_block, stem
from memnas_core.memory import least_peak, peak_activation_bytes


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Memory of a network at batch 1 under each convention of `memnas_core.memory`, in bytes."""

    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int

    def activation_bytes(self, convention: Literal["paper", "sequential", "minimum"]) -> int:
        """Return the peak under one convention."""
        return {
            "paper": self.paper_bytes,
            "sequential": self.sequential_bytes,
            "minimum": self.minimum_bytes,
        }[convention]


@dataclass(frozen=True, slots=True)
class _PartFigures:
    """Weights and peaks of a part; peaks in elements, or in elements per output pixel for a block."""

    weights: int
    paper: int
    sequential: int
    minimum: int
    channels: int


def measure(
    architecture: Architecture, input_shape: Shape, classes: int, weight_bytes: int, activation_bytes: int
) -> MemoryFigures:
    """Return the memory figures of an architecture.

    Args:
        architecture: What to measure.
        input_shape: Channels, height and width of an image.
        classes: Outputs of the classifier.
        weight_bytes: Bytes of one weight.
        activation_bytes: Bytes of one activation.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    check_input_side(architecture, input_shape.height)
    check_input_side(architecture, input_shape.width)
    first = stem(architecture.filters, input_shape)
    own = input_shape.elements + first.output.elements
    weights, paper, sequential, minimum = first.weights, max(input_shape.elements, first.output.elements), own, own
    shape = first.output
    for block in architecture.blocks:
        part = _block_figures(block, architecture.filters, shape.channels)
        height, width = shape.height // block.stride, shape.width // block.stride
        weights += part.weights
        paper = max(paper, part.paper * height * width)
        sequential = max(sequential, part.sequential * height * width)
        minimum = max(minimum, part.minimum * height * width)
        shape = Shape(part.channels, height, width)
    last = _part_figures(head("", shape, classes), "", shape)
    return MemoryFigures(
        param_bytes=(weights + last.weights) * weight_bytes,
        paper_bytes=max(paper, last.paper) * activation_bytes,
        sequential_bytes=max(sequential, last.sequential) * activation_bytes,
        minimum_bytes=max(minimum, last.minimum) * activation_bytes,
    )


@lru_cache(maxsize=1 << 18)
def _block_figures(block: Block, filters: int, in_channels: int) -> _PartFigures:
    """Measure a block whose output is one pixel; every tensor of it grows with the output's area."""
    shape = Shape(in_channels, block.stride, block.stride)
    fragment = lower_block(block, filters, "", shape, 0)
    return _part_figures(fragment.layers, "", shape, fragment.shape.channels)


def _part_figures(layers: tuple[Layer, ...], source: str, shape: Shape, channels: int = 0) -> _PartFigures:
    if not layers:  # identities only: the input is passed on
        return _PartFigures(0, shape.elements, shape.elements, shape.elements, channels)
    plain = {layer.name: (layer.inputs, (layer.name,)) for layer in layers}
    sizes = {source: shape.elements} | {layer.name: layer.output.elements for layer in layers}
    return _PartFigures(
        weights=sum(layer.weights for layer in layers),
        paper=peak_activation_bytes(plain, sizes, "paper"),
        sequential=peak_activation_bytes(plain, sizes, "sequential"),
        minimum=least_peak(plain, sizes).bytes,
        channels=channels,
    )
