"""Memory figures of an architecture, block by block.

Every tensor of a block is needed for the block's output, so that at a block's end this one tensor is all that
is in memory. The peak of a network is therefore the largest peak of its parts (stem, blocks, classifier), and
the best order of the network is the best orders of the parts in a row. Peaks of blocks are cached: the same
block at two resolutions differs by a factor only, and blocks whose tensors have the same sizes have the same
peaks, so that a round with thousands of candidates has a few hundred different blocks.

So it is with the arena (`memnas_core.block_arena`); a block whose tensors all together fit into the arena of another
part needs no plan.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from memnas_core.architecture import Architecture, Block, Branch, Cell, Operation
from memnas_core.block_arena import ARENA, block_arena, end_arena, largest
from memnas_core.errors import RecordError
from memnas_core.graph import (
    IMAGE,
    Graph,
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
    """Memory of a network at batch 1, in bytes.

    Attributes:
        param_bytes: Weights.
        paper_bytes: Peak activations under `paper` of `memnas_core.memory`.
        sequential_bytes: The same under `sequential`.
        minimum_bytes: The same under `minimum`.
        arena_bytes: The arena that holds all activations at their offsets (`memnas_core.block_arena`); None where it
            comes from a table that was made before there was this figure.
    """

    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int
    arena_bytes: int | None = None

    def activation_bytes(self, convention: Literal["paper", "sequential", "minimum", "arena"]) -> int:
        """Return the activation memory under one convention.

        Raises:
            RecordError: It is not known.
        """
        found = {
            "paper": self.paper_bytes,
            "sequential": self.sequential_bytes,
            "minimum": self.minimum_bytes,
            "arena": self.arena_bytes,
        }[convention]
        if found is None:
            raise RecordError(
                "arena_bytes: expected the arena of a network, found none in a table that an older memnas made; "
                "search again, or choose another objective.activation_convention"
            )
        return found


class _Part(NamedTuple):
    """A part of a network.

    Attributes:
        peaks: Its peaks.
        total: Its tensors all together.
        tensors: Their number.
    """

    peaks: Peaks
    total: int
    tensors: int


class _BlockFigures(NamedTuple):
    """Weights and output channels of a block and, for one pixel of the output, what its tensors need in elements.

    Attributes:
        weights: Number of its weights.
        channels: Channels of its output.
        cells: Its cells, or others whose tensors have the same sizes.
        part: Peaks and sizes.
    """

    weights: int
    channels: int
    cells: tuple[Cell, ...]
    part: _Part


class _Planning(NamedTuple):
    """A block whose arena may have to be planned.

    Attributes:
        least: Its `minimum` peak in bytes.
        most: No arena of it is larger.
        figures: The block.
        stride: Its stride.
        in_channels: Channels of its input.
        output: Height and width of its output.
    """

    least: int
    most: int
    figures: _BlockFigures
    stride: int
    in_channels: int
    output: tuple[int, int]


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
    filters, first = architecture.filters, stem(architecture.filters, input_shape)
    weights, shape = first.weights, first.output
    found = [_part_peaks((first,), IMAGE, input_shape).peaks]
    blocks = []
    for block in architecture.blocks:
        figures = _block_figures(block, filters, shape.channels)
        in_channels = shape.channels
        shape = Shape(figures.channels, shape.height // block.stride, shape.width // block.stride)
        weights += figures.weights
        pixels = shape.height * shape.width
        found.append(Peaks(*(peak * pixels for peak in figures.part.peaks)))
        least = found[-1].minimum * activation_bytes
        most = figures.part.total * pixels * activation_bytes + figures.part.tensors * ARENA.alignment
        blocks.append(_Planning(least, most, figures, block.stride, in_channels, (shape.height, shape.width)))
    last = head(IMAGE, shape, classes)
    weights += sum(layer.weights for layer in last)
    found.append(_part_peaks(last, IMAGE, shape).peaks)
    paper, sequential, minimum = (max(peak) * activation_bytes for peak in zip(*found, strict=True))
    arena = largest(
        (
            end_arena(Graph(input_shape, (first,), first.name), activation_bytes, is_first=True),
            end_arena(Graph(shape, last, last[-1].name), activation_bytes, is_first=False),
        )
    )
    for planning in sorted(blocks, key=lambda planning: -planning.least):
        if planning.most > arena.bytes:
            cells, stride, in_channels = planning.figures.cells, planning.stride, planning.in_channels
            part = block_arena(cells, stride, filters, in_channels, planning.output, activation_bytes)
            arena = largest((arena, part))
    return MemoryFigures(weights * weight_bytes, paper, sequential, minimum, arena.bytes)


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
    cells = _stand_ins(block.cells, widths, filters)
    return _BlockFigures(weights, channels, cells, _block_peaks(cells, block.stride, filters, in_channels))


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
def _block_peaks(cells: tuple[Cell, ...], stride: int, filters: int, in_channels: int) -> _Part:
    shape = Shape(in_channels, stride, stride)
    return _part_peaks(lower_block(Block(cells, stride), filters, "", shape, 0).layers, "", shape)


@lru_cache
def _part_peaks(layers: tuple[Layer, ...], source: str, shape: Shape) -> _Part:
    plain = {layer.name: (layer.inputs, (layer.name,)) for layer in layers}
    sizes = {source: shape.elements} | {layer.name: layer.output.elements for layer in layers}
    return _Part(peaks(plain, sizes), sum(sizes.values()), len(sizes))
