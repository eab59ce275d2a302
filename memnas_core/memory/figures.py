"""Memory figures of an architecture, block by block.

Every tensor of a block is needed for the block's output, so that at a block's end only the output is in memory. The
peak of a network is therefore the largest peak of its parts (stem, blocks, classifier), and the best order of the
network is the best orders of the parts in a row. Peaks of blocks are cached: the peaks of a block at two resolutions
differ only by a factor, and blocks whose tensors have the same sizes have the same peaks, so that a round with
thousands of candidates has a few hundred different blocks.

The same holds for the arena (`memnas_core.memory.block_arena`). A block whose tensors all together fit into the arena
of another part needs no plan.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

from memnas_core.errors import RecordError
from memnas_core.memory.block_arena import ARENA, PlannedBlock, block_arena, end_arena, largest, most_scratch
from memnas_core.memory.kernel_scratch import Kernels
from memnas_core.memory.lifetimes import Peaks, given_peaks
from memnas_core.memory.running_order import block_order
from memnas_core.memory.runtime_operators import INDEX_BYTES
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell
from memnas_core.space.graph import (
    IMAGE,
    branch_weights,
    cell_channels,
    check_input_side,
    head,
    lower_block,
    projection_weights,
    stem,
)
from memnas_core.space.layers import Layer, Shape, Workload


@dataclass(frozen=True, slots=True)
class PeakFigures:
    """Memory of a network at batch 1, in bytes, as far as it follows from lifetimes alone.

    Attributes:
        param_bytes: Weights.
        paper_bytes: Peak activations under the convention `paper` of `memnas_core.memory.lifetimes`.
        sequential_bytes: Peak activations under the convention `sequential`.
        minimum_bytes: Peak activations under the convention `minimum`.
    """

    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int

    def activation_bytes(self, convention: str) -> int:
        """Return the activation memory under one convention.

        Raises:
            RecordError: The figure is not known.
        """
        found: int | None = getattr(self, f"{convention}_bytes", None)
        if found is None:
            raise RecordError(f"{convention}_bytes: expected this figure of a network, found none in its table")
        return found


@dataclass(frozen=True, slots=True)
class MemoryFigures(PeakFigures):
    """Memory of a network at batch 1, in bytes. Each figure of activations is one of a convention.

    Attributes:
        arena_bytes: The arena that holds all activations at their offsets (`memnas_core.memory.block_arena`); None in
            tables that do not have it, such as those of the paper's results.
    """

    arena_bytes: int | None = None

    @property
    def peaks(self) -> PeakFigures:
        """The figures without the arena."""
        return PeakFigures(self.param_bytes, self.paper_bytes, self.sequential_bytes, self.minimum_bytes)


FIGURES = tuple(field.name.removesuffix("_bytes") for field in fields(MemoryFigures) if field.name != "param_bytes")
"""Names of the figures of activations."""


class _Part(NamedTuple):
    """A part of a network.

    Attributes:
        peaks: Peaks of the part, in elements.
        order: Indices of the part's layers in the order of `minimum`.
        total: Size of all its tensors together, in elements.
        tensors: Number of its tensors.
    """

    peaks: Peaks
    order: tuple[int, ...]
    total: int
    tensors: int


class _BlockFigures(NamedTuple):
    """Weights and output channels of a block, and the memory of its tensors for one pixel of the output.

    Attributes:
        weights: Number of weights.
        channels: Channels of the output.
        peaks: Peaks, in elements.
        most: Upper bound on the arena without indices, in elements.
        most_index: Upper bound on the indices of max poolings in the arena, in bytes.
        pieces: Upper bound on the number of pieces of memory in the arena.
        planned: Everything that the arena depends on.
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
        least: Peak of the block under `minimum`, in elements.
        most: Upper bound on the block's arena, in bytes.
        block: The block.
        output: Height and width of the block's output.
    """

    least: int
    most: int
    block: PlannedBlock
    output: tuple[int, int]


class _Whole(NamedTuple):
    """A network without its arena.

    Attributes:
        weights: Number of weights.
        peaks: Peaks, in elements.
        blocks: Figures of each block, with height and width of its output.
        end: Shape of the classifier's input.
    """

    weights: int
    peaks: Peaks
    blocks: list[tuple[_BlockFigures, tuple[int, int]]]
    end: Shape


def measure(architecture: Architecture, workload: Workload, kernels: Kernels | None = None) -> MemoryFigures:
    """Return the memory figures of an architecture.

    Args:
        architecture: What to measure.
        workload: What it is measured for.
        kernels: Kernels whose scratch memory lies in the arena of an int8 network; None: none counts.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    input_shape, classes, weight_bytes, activation_bytes = workload
    whole = _whole(architecture, input_shape, classes)
    first, last = stem(architecture, input_shape), head(IMAGE, whole.end, classes)
    arena = largest(
        (
            end_arena((first,), IMAGE, input_shape, activation_bytes, kernels),
            end_arena(last, IMAGE, whole.end, activation_bytes, kernels),
        )
    )
    blocks = []
    for block, (figures, output) in zip(architecture.blocks, whole.blocks, strict=True):
        pixels = output[0] * output[1]
        most = (figures.most * activation_bytes + figures.most_index) * pixels + figures.pieces * ARENA.alignment
        planned = figures.planned
        if kernels is not None:  # they need other scratch memory where tensors are the same
            planned = planned._replace(cells=block.cells)
            most += most_scratch(planned.filters, kernels)
        blocks.append(_Planning(figures.peaks.minimum * pixels, most, planned, output))
    for planning in sorted(blocks, key=lambda planning: -planning.least):
        if planning.most > arena.bytes:
            arena = largest((arena, block_arena(planning.block, planning.output, activation_bytes, kernels)))
    paper, sequential, minimum = (peak * activation_bytes for peak in whole.peaks)
    return MemoryFigures(whole.weights * weight_bytes, paper, sequential, minimum, arena.bytes)


def measure_peaks(architecture: Architecture, input_shape: Shape, classes: int) -> PeakFigures:
    """Return the memory figures of an architecture without its arena, which takes longest; a byte an element.

    Args:
        architecture: Architecture to measure.
        input_shape: Channels, height and width of an image.
        classes: Number of classes.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    whole = _whole(architecture, input_shape, classes)
    return PeakFigures(whole.weights, *whole.peaks)


def _whole(architecture: Architecture, input_shape: Shape, classes: int) -> _Whole:
    check_input_side(architecture, input_shape.height)
    check_input_side(architecture, input_shape.width)
    first = stem(architecture, input_shape)
    weights, shape = first.weights, first.output
    paper, sequential, minimum = _end_peaks((first,), IMAGE, input_shape)
    blocks = []
    for block in architecture.blocks:
        figures = _block_figures(block, block.width(architecture.filters), shape.channels)
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
    ops.DILATED_3X3: ops.CONV_3X3,
    ops.DEPTHWISE_3X3: ops.AVERAGE_POOL_3X3,
    ops.DEPTHWISE_5X5: ops.AVERAGE_POOL_3X3,
    ops.MAX_POOL_3X3: ops.AVERAGE_POOL_3X3,
}
"""Operation -> another operation that makes tensors of the same sizes from the same input."""


class _CellFigures(NamedTuple):
    """What a cell adds to its block.

    Attributes:
        weights: Number of weights.
        channels: Channels of the output.
        subsamplings: Number of subsampling layers.
        poolings: Number of max poolings.
        same: Cell whose layers write tensors of the same sizes: this cell or another one.
        planned: Cell whose operators write tensors of the same sizes at run time, where a max pooling also writes
            indices: this cell or another one.
    """

    weights: int
    channels: int
    subsamplings: int
    poolings: int
    same: Cell
    planned: Cell


def _block_figures(block: Block, filters: int, in_channels: int) -> _BlockFigures:
    """Return the figures of a block for one pixel of its output; every tensor grows with the output's area.

    Args:
        block: The block.
        filters: Filters of its operation layers.
        in_channels: Channels of its input.
    """
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
    """Return the figures of a cell by itself.

    Args:
        cell: The cell.
        reads: Channels of the inputs of its two branches; 0 for a missing branch.
        stride: Stride of the cell's block.
        filters: Filters of the block's operation layers.
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
        if operation is ops.CONV_3X3 and channels == filters:
            operation = ops.AVERAGE_POOL_3X3  # no projection is needed, so tensors are the same
        same.append(Branch(branch.input, operation))
        has_index = branch.operation is ops.MAX_POOL_3X3
        planned.append(branch if has_index else same[-1])
        weights += branch_weights(branch.operation, channels, filters)
        poolings += has_index
        subsamplings += branch.operation is ops.IDENTITY and not branch.input and stride > 1
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
