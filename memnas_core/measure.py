"""Memory figures of an architecture, block by block.

Every tensor of a block is needed for the block's output, so that at a block's end this one tensor is all that
is in memory. The peak of a network is therefore the largest peak of its parts (stem, blocks, classifier), and
the best order of the network is the best orders of the parts in a row. Peaks of blocks are cached: the same
block at two resolutions differs by a factor only, and blocks whose tensors have the same sizes have the same
peaks, so that a round with thousands of candidates has a few hundred different blocks.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from memnas_core.architecture import Architecture, Block, Branch, Cell, Operation
from memnas_core.graph import (
    IMAGE,
    Layer,
    Shape,
    branch_weights,
    cell_channels,
    check_input_side,
    head,
    lower_block,
    projection_weights,
    stem,
)
from memnas_core.memory import Peaks, peaks


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


class _BlockFigures(NamedTuple):
    """Weights, output channels and, in elements for each pixel of the output, the peaks of a block."""

    weights: int
    channels: int
    peaks: Peaks


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
    weights, shape = first.weights, first.output
    found = [_part_peaks((first,), IMAGE, input_shape)]
    for block in architecture.blocks:
        figures = _block_figures(block, architecture.filters, shape.channels)
        shape = Shape(figures.channels, shape.height // block.stride, shape.width // block.stride)
        weights += figures.weights
        pixels = shape.height * shape.width
        found.append(Peaks(*(peak * pixels for peak in figures.peaks)))
    last = head("", shape, classes)
    weights += sum(layer.weights for layer in last)
    found.append(_part_peaks(last, "", shape))
    paper, sequential, minimum = (max(peak) * activation_bytes for peak in zip(*found, strict=True))
    return MemoryFigures(weights * weight_bytes, paper, sequential, minimum)


_SAME_TENSORS = {
    Operation.DILATED_3X3: Operation.CONV_3X3,
    Operation.DEPTHWISE_3X3: Operation.MAX_POOL_3X3,
    Operation.DEPTHWISE_5X5: Operation.MAX_POOL_3X3,
    Operation.AVERAGE_POOL_3X3: Operation.MAX_POOL_3X3,
}
"""Operations that make tensors of the same sizes as another one does from the same input."""


def _block_figures(block: Block, filters: int, in_channels: int) -> _BlockFigures:
    """Measure a block whose output is one pixel; every tensor of it grows with the output's area."""
    widths = [filters, *(cell_channels(cell, filters) for cell in block.cells)]
    weights = 0 if in_channels == filters else projection_weights(in_channels, filters)
    for cell in block.cells:
        for branch in cell.branches:
            weights += branch_weights(branch.operation, widths[branch.input], filters)
    channels = sum(width for cell, width in zip(block.cells, widths[1:], strict=True) if cell.included)
    found = _block_peaks(_stand_ins(block.cells, widths, filters), block.stride, filters, in_channels)
    return _BlockFigures(weights, channels, found)


def _stand_ins(cells: tuple[Cell, ...], widths: list[int], filters: int) -> tuple[Cell, ...]:
    """Replace operations so that cells whose tensors have the same sizes become equal."""

    def stand_in(branch: Branch | None) -> Branch | None:
        if branch is None:
            return None
        operation = _SAME_TENSORS.get(branch.operation, branch.operation)
        if operation is Operation.CONV_3X3 and widths[branch.input] == filters:
            operation = Operation.MAX_POOL_3X3  # it needs no projection there, and so makes the same tensors
        return Branch(branch.input, operation)

    return tuple(Cell(stand_in(cell.first), stand_in(cell.second), *cell[2:]) for cell in cells)


@lru_cache(maxsize=1 << 14)
def _block_peaks(cells: tuple[Cell, ...], stride: int, filters: int, in_channels: int) -> Peaks:
    shape = Shape(in_channels, stride, stride)
    return _part_peaks(lower_block(Block(cells, stride), filters, "", shape, 0).layers, "", shape)


@lru_cache
def _part_peaks(layers: tuple[Layer, ...], source: str, shape: Shape) -> Peaks:
    plain = {layer.name: (layer.inputs, (layer.name,)) for layer in layers}
    return peaks(plain, {source: shape.elements} | {layer.name: layer.output.elements for layer in layers})
