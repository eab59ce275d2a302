"""Features of an architecture that are known before training, the same for every predictor.

    symbol  meaning                                         shape
    B       blocks of an architecture                       scalar
    facts   `BLOCK_FEATURES` of each block, the first first    (B, len(BLOCK_FEATURES))

A path leads from the block's input through cells to the block's output. Its length is the number of convolutions
with weights on it (a factorised one counts once; projections do not count), its reach by how many pixels it
widens the receptive field to each side. Weights and multiplications are logarithms, since their ratios matter.

Facts of a block depend on the block, its filters and the channels that enter it, and are cached: a round with
thousands of candidates has a few hundred different blocks.
"""

from dataclasses import fields
from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memnas_core.memory.figures import PeakFigures
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import branch_weights, cell_channels, lower_block, projection_weights
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.operations import OPERATIONS, Operation, Place

BLOCK_FEATURES: tuple[str, ...] = (
    *OPERATIONS,  # how many layers of each operation
    "cells",
    "one_branch_cells",
    "concat_cells",
    "included_cells",
    "input_readers",  # branches that read the block's input
    "most_readers",  # most branches that read the same tensor
    "longest_path",
    "shortest_path",
    "mean_path",  # mean length over all paths
    "longest_reach",
    "mean_reach",
    "log_paths",
    "log_weights",
    "log_multiplications",  # for one image, per pixel of the network's input
    "output_channels",  # in units of F
)

PLACE_COUNTS: tuple[str, ...] = (
    *(
        f"{operation} of {read}"
        for operation in OPERATIONS
        for read in ("the input", "one layer", "a sum", "a concatenation")
    ),
    *(f"{kind}, {place}" for kind in ("one layer", "sum", "concatenation") for place in ("not included", "included")),
)
"""Counts of layers by what they read, and of cells by combiner and by inclusion in the block's output."""

_Array = npt.NDArray[np.float64]


def block_features(architecture: Architecture) -> _Array:
    """Return the facts of each block, shape (blocks, len(BLOCK_FEATURES))."""
    rows: list[tuple[float, ...]] = []
    channels, area = architecture.filters, 1.0 / architecture.stem_stride**2
    for block in architecture.blocks:
        area /= block.stride**2
        found, multiplications, channels = _block_features(block, block.width(architecture.filters), channels)
        output = channels / architecture.filters
        rows.append((*found, float(np.log(multiplications * area)), output))
    return np.array(rows)


def whole_features(architecture: Architecture, memory: PeakFigures) -> _Array:
    """Return the facts of each block, their sums over the blocks, and the logarithms of weights and peaks in bytes.

    The shape is (features,) and depends only on the number of blocks.
    """
    of_blocks = block_features(architecture)
    exact = (memory.param_bytes, memory.paper_bytes, memory.sequential_bytes, memory.minimum_bytes)
    return np.concatenate([of_blocks.ravel(), of_blocks.sum(axis=0), np.log(exact)])


def optional_columns(blocks: int) -> dict[Operation, list[int]]:
    """Return the columns that count an optional operation, in `whole_features` followed by `place_counts`.

    The places are those of each block, and then their sums.

    Args:
        blocks: Number of blocks of the architectures.
    """
    exact = ("",) * len(fields(PeakFigures))
    names = [*BLOCK_FEATURES * (blocks + 1), *exact, *PLACE_COUNTS * (blocks + 1)]
    counted = [name.partition(" of ")[0] for name in names]  # a name in `PLACE_COUNTS` goes on with what is read
    optional = [operation for operation in OPERATIONS if operation.is_optional]
    return {operation: [column for column, name in enumerate(counted) if name == operation] for operation in optional}


def width_features(architecture: Architecture) -> _Array:
    """Return the logarithms of the filters of the stem and of each block, shape (1 + blocks,)."""
    return np.log(np.array([architecture.filters, *architecture.widths], dtype=np.float64))


def place_counts(architecture: Architecture) -> _Array:
    """Return how often each of `PLACE_COUNTS` occurs in each block, shape (blocks, len(PLACE_COUNTS))."""
    return np.array([_block_places(block) for block in architecture.blocks], dtype=np.float64)


@lru_cache(maxsize=1 << 14)
def _block_places(block: Block) -> tuple[int, ...]:
    kinds = [0, *(1 + _kind(cell) for cell in block.cells)]  # kind of each readable tensor; 0 is the block's input
    layers = [[0] * 4 for _ in OPERATIONS]
    cells = [[0, 0] for _ in range(3)]
    for cell in block.cells:
        cells[_kind(cell)][cell.included] += 1
        for branch in cell.branches:
            layers[branch.operation.number][kinds[branch.input]] += 1
    return tuple(count for row in (*layers, *cells) for count in row)


def _kind(cell: Cell) -> int:
    if len(cell.branches) == 1:
        return 0
    return 1 if cell.combiner is Combiner.SUM else 2


class _Paths(NamedTuple):
    """All paths from a block's input to one tensor: their number, lengths and reaches."""

    number: int
    least: int
    most: int
    most_reach: int
    total: int
    total_reach: int

    def through(self, operation: Operation) -> "_Paths":
        """Return the paths extended by one layer."""
        step, reach = _path_step(operation)
        return _Paths(
            self.number,
            self.least + step,
            self.most + step,
            self.most_reach + reach,
            self.total + step * self.number,
            self.total_reach + reach * self.number,
        )

    def beside(self, other: "_Paths") -> "_Paths":
        """Return these paths together with others to the same tensor."""
        return _Paths(
            self.number + other.number,
            min(self.least, other.least),
            max(self.most, other.most),
            max(self.most_reach, other.most_reach),
            self.total + other.total,
            self.total_reach + other.total_reach,
        )


class _Cells(NamedTuple):
    """Facts about a block's first cells that do not depend on later cells.

    Attributes:
        counts: Number of layers of each operation.
        readers: Number of branches that read the block's input, the first cell, ...
        paths: Paths from the block's input to itself, to the first cell, ...
        widths: Channels of the block's input, of the first cell's output, ...
        weights: Weights of the layers, without the projection of the block's input.
        multiplications: Multiplications of these layers per pixel of the block's output.
        one_branch: Number of cells with one branch.
        concats: Number of cells that concatenate two layers.
    """

    counts: tuple[int, ...]
    readers: tuple[int, ...]
    paths: tuple[_Paths, ...]
    widths: tuple[int, ...]
    weights: int
    multiplications: int
    one_branch: int
    concats: int


# A grown candidate has its base's cells and one more, so all but its last cell are in the cache.
@lru_cache(maxsize=1 << 12)
def _cells(cells: tuple[Cell, ...], stride: int, filters: int) -> _Cells:
    if not cells:
        return _Cells((0,) * len(OPERATIONS), (0,), (_Paths(1, 0, 0, 0, 0, 0),), (filters,), 0, 0, 0, 0)
    before, cell = _cells(cells[:-1], stride, filters), cells[-1]
    counts, readers = list(before.counts), [*before.readers, 0]
    weights, multiplications, ends = before.weights, before.multiplications, []
    branches = cell.branches
    for number, operation in branches:
        counts[operation.number] += 1
        readers[number] += 1
        ends.append(before.paths[number].through(operation))
        own = branch_weights(operation, before.widths[number], filters)
        weights += own
        # Layers that do not read the block's input have the height and width of its output.
        multiplications += own if number else _first_multiplications(operation, stride, filters)
    has_one = len(branches) == 1
    return _Cells(
        tuple(counts),
        tuple(readers),
        (*before.paths, ends[0] if has_one else ends[0].beside(ends[1])),
        (*before.widths, cell_channels(cell, filters)),
        weights,
        multiplications,
        before.one_branch + has_one,
        before.concats + (not has_one and cell.combiner is Combiner.CONCAT),
    )


@lru_cache(maxsize=1 << 14)
def _block_features(block: Block, filters: int, in_channels: int) -> tuple[tuple[float, ...], float, int]:
    """Return the facts of a block that come before multiplications, its multiplications a pixel, and its channels.

    Args:
        block: The block.
        filters: Filters of its operation layers.
        in_channels: Channels of its input.
    """
    known = _cells(block.cells, block.stride, filters)
    projection = 0 if in_channels == filters else projection_weights(in_channels, filters)
    included = [number for number, cell in enumerate(block.cells, start=1) if cell.included]
    out = reduce(_Paths.beside, [known.paths[number] for number in included])
    channels = sum([known.widths[number] for number in included])
    found = (
        *known.counts,
        len(block.cells),
        known.one_branch,
        known.concats,
        len(included),
        known.readers[0],
        max(known.readers),
        out.most,
        out.least,
        out.total / out.number,
        out.most_reach,
        out.total_reach / out.number,
        np.log(out.number),
        np.log1p(known.weights + projection),
    )
    multiplications = known.multiplications + projection * block.stride**2
    return tuple(map(float, found)), float(multiplications + 1), channels


@lru_cache
def _path_step(operation: Operation) -> tuple[int, int]:
    """Return what an operation adds to the length and to the reach of a path through it."""
    layers = operation.layers(Place("", "read", Shape(1, 1, 1), 1, 1, 0))
    reaches = [[layer.dilation * (side // 2) for layer in layers for side in (layer.kernel[axis],)] for axis in (0, 1)]
    return int(any(layer.weights for layer in layers)), max(map(sum, reaches))


@lru_cache
def _first_multiplications(operation: Operation, stride: int, filters: int) -> int:
    """Return the multiplications per output pixel of an operation that reads the block's input."""
    alone = Block((Cell(Branch(0, operation), None, Combiner.SUM, included=True),), stride)
    layers = lower_block(alone, filters, "", Shape(filters, stride, stride), 0).layers
    return sum(
        layer.weights * layer.output.height * layer.output.width for layer in layers if layer.kind is LayerKind.CONV
    )
