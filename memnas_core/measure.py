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
from memnas_core.block_arena import ARENA, PlannedBlock, block_arena, end_arena, largest
from memnas_core.errors import RecordError
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
from memnas_core.memory import Peaks, given_peaks
from memnas_core.running_order import block_order
from memnas_core.runtime_arena import INDEX_BYTES


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
        order: Its layers in the order of `minimum`, by their places.
        total: Its tensors all together.
        tensors: Their number.
    """

    peaks: Peaks
    order: tuple[int, ...]
    total: int
    tensors: int


class _BlockFigures(NamedTuple):
    """Weights and output channels of a block and, for one pixel of the output, what its tensors need.

    Attributes:
        weights: Number of its weights.
        channels: Channels of its output.
        peaks: Its peaks, in elements.
        most: Elements that are more than its arena has, without indices.
        most_index: Bytes of indices.
        pieces: No more pieces of memory are in its arena.
        planned: What its arena depends on.
    """

    weights: int
    channels: int
    peaks: Peaks
    most: int
    most_index: int
    pieces: int
    planned: PlannedBlock


class _Planning(NamedTuple):
    """A block whose arena may have to be planned.

    Attributes:
        least: Its `minimum` peak in elements.
        most: No arena of it is larger.
        block: The block.
        output: Height and width of its output.
    """

    least: int
    most: int
    block: PlannedBlock
    output: tuple[int, int]


class _Whole(NamedTuple):
    """A network without its arena.

    Attributes:
        weights: Number of its weights.
        peaks: Its peaks, in elements.
        blocks: The figures of each block, and height and width of its output.
        end: Shape of what the classifier reads.
    """

    weights: int
    peaks: Peaks
    blocks: list[tuple[_BlockFigures, tuple[int, int]]]
    end: Shape


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
    whole = _whole(architecture, input_shape, classes)
    first, last = stem(architecture.filters, input_shape), head(IMAGE, whole.end, classes)
    arena = largest(
        (
            end_arena((first,), IMAGE, input_shape, activation_bytes),
            end_arena(last, IMAGE, whole.end, activation_bytes),
        )
    )
    blocks = []
    for figures, output in whole.blocks:
        pixels = output[0] * output[1]
        most = (figures.most * activation_bytes + figures.most_index) * pixels + figures.pieces * ARENA.alignment
        blocks.append(_Planning(figures.peaks.minimum * pixels, most, figures.planned, output))
    for planning in sorted(blocks, key=lambda planning: -planning.least):
        if planning.most > arena.bytes:
            arena = largest((arena, block_arena(planning.block, planning.output, activation_bytes)))
    paper, sequential, minimum = (peak * activation_bytes for peak in whole.peaks)
    return MemoryFigures(whole.weights * weight_bytes, paper, sequential, minimum, arena.bytes)


def measure_peaks(architecture: Architecture, input_shape: Shape, classes: int) -> MemoryFigures:
    """Return the memory figures of an architecture without its arena, which takes longest; a byte an element.

    Args:
        architecture: What to measure.
        input_shape: Channels, height and width of an image.
        classes: Outputs of the classifier.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    whole = _whole(architecture, input_shape, classes)
    return MemoryFigures(whole.weights, *whole.peaks)


def _whole(architecture: Architecture, input_shape: Shape, classes: int) -> _Whole:
    check_input_side(architecture, input_shape.height)
    check_input_side(architecture, input_shape.width)
    filters, first = architecture.filters, stem(architecture.filters, input_shape)
    weights, shape = first.weights, first.output
    paper, sequential, minimum = _end_peaks((first,), IMAGE, input_shape)
    blocks = []
    for block in architecture.blocks:
        figures = _block_figures(block, filters, shape.channels)
        shape = Shape(figures.channels, shape.height // block.stride, shape.width // block.stride)
        weights += figures.weights
        pixels = shape.height * shape.width
        paper = max(paper, figures.peaks.paper * pixels)
        sequential = max(sequential, figures.peaks.sequential * pixels)
        minimum = max(minimum, figures.peaks.minimum * pixels)
        blocks.append((figures, (shape.height, shape.width)))
    last = head(IMAGE, shape, classes)
    weights += sum(layer.weights for layer in last)
    end = _end_peaks(last, IMAGE, shape)
    peaks = Peaks(max(paper, end.paper), max(sequential, end.sequential), max(minimum, end.minimum))
    return _Whole(weights, peaks, blocks, shape)


_SAME_TENSORS = {
    Operation.DILATED_3X3: Operation.CONV_3X3,
    Operation.DEPTHWISE_3X3: Operation.AVERAGE_POOL_3X3,
    Operation.DEPTHWISE_5X5: Operation.AVERAGE_POOL_3X3,
    Operation.MAX_POOL_3X3: Operation.AVERAGE_POOL_3X3,
}
"""Operations that make tensors of the same sizes as another one does from the same input."""


class _CellFigures(NamedTuple):
    """What a cell adds to its block.

    Attributes:
        weights: Number of its weights.
        channels: Channels of its output.
        subsamplings: Its subsampling layers.
        poolings: Its max poolings.
        same: A cell whose layers write tensors of the same sizes, itself or another one.
        planned: The same at run time, where a max pooling also writes an index.
    """

    weights: int
    channels: int
    subsamplings: int
    poolings: int
    same: Cell
    planned: Cell


def _block_figures(block: Block, filters: int, in_channels: int) -> _BlockFigures:
    """Measure a block whose output is one pixel; every tensor of it grows with the output's area."""
    widths = [filters]
    cells = []
    for cell in block.cells:
        reads = (widths[cell.first.input] if cell.first else 0, widths[cell.second.input] if cell.second else 0)
        cells.append(_cell_figures(cell, reads, block.stride, filters))
        widths.append(cells[-1].channels)
    projection = 0 if in_channels == filters else _projection_weights(in_channels, filters)
    part = _block_peaks(tuple([cell.same for cell in cells]), block.stride, filters, in_channels)
    weights, subsamplings, poolings, channels = projection, 0, 0, 0
    for cell, (more, width, subsampled, pooled, _, _) in zip(block.cells, cells, strict=True):
        weights += more
        subsamplings += subsampled
        poolings += pooled
        channels += width if cell.included else 0
    return _BlockFigures(
        weights,
        channels,
        part.peaks,
        part.total + subsamplings * block.stride * filters,
        poolings * filters * INDEX_BYTES,
        part.tensors + subsamplings + poolings,
        PlannedBlock(tuple([cell.planned for cell in cells]), block.stride, filters, in_channels, part.order),
    )


_projection_weights = lru_cache(projection_weights)


@lru_cache(maxsize=1 << 14)
def _cell_figures(cell: Cell, reads: tuple[int, int], stride: int, filters: int) -> _CellFigures:
    """Measure a cell by itself.

    Args:
        cell: The cell.
        reads: Channels of what its branches read, 0 where there is none.
        stride: Of its block.
        filters: The paper's F.
    """
    weights = subsamplings = poolings = 0
    same: list[Branch | None] = []
    planned: list[Branch | None] = []
    for branch, channels in zip((cell.first, cell.second), reads, strict=True):
        if branch is None:
            same.append(None)
            planned.append(None)
            continue
        operation = _SAME_TENSORS.get(branch.operation, branch.operation)
        if operation is Operation.CONV_3X3 and channels == filters:
            operation = Operation.AVERAGE_POOL_3X3  # it needs no projection there, and so makes the same tensors
        same.append(Branch(branch.input, operation))
        has_index = branch.operation is Operation.MAX_POOL_3X3
        planned.append(branch if has_index else same[-1])
        weights += branch_weights(branch.operation, channels, filters)
        poolings += has_index
        subsamplings += branch.operation is Operation.IDENTITY and not branch.input and stride > 1
    return _CellFigures(
        weights,
        cell_channels(cell, filters),
        subsamplings,
        poolings,
        Cell(same[0], same[1], cell.combiner, cell.included),
        Cell(planned[0], planned[1], cell.combiner, cell.included),
    )


@lru_cache(maxsize=1 << 14)
def _block_peaks(cells: tuple[Cell, ...], stride: int, filters: int, in_channels: int) -> _Part:
    shape = Shape(in_channels, stride, stride)
    return _part(lower_block(Block(cells, stride), filters, "", shape, 0).layers, "", shape)


@lru_cache
def _end_peaks(layers: tuple[Layer, ...], source: str, shape: Shape) -> Peaks:
    """Return the peaks of a network's first or last part, in elements."""
    return _part(layers, source, shape).peaks


def _part(layers: tuple[Layer, ...], source: str, shape: Shape) -> _Part:
    plain = {layer.name: (layer.inputs, (layer.name,)) for layer in layers}
    sizes = {source: shape.elements} | {layer.name: layer.output.elements for layer in layers}
    minimum, order = block_order(layers, source, sizes)
    return _Part(Peaks(*given_peaks(plain, sizes), minimum), order, sum(sizes.values()), len(sizes))
