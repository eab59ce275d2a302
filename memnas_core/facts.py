"""What is known of an architecture before any training, as plain numbers: the same facts for every predictor.

    symbol  meaning                                         shape
    B       blocks of an architecture                       scalar
    facts   `BLOCK_FACTS` of each block, the first first    (B, len(BLOCK_FACTS))

A path leads from the block's input through cells to the block's output. Its length is the number of convolutions
with weights on it (a factorised one counts once; projections do not count), its reach how many pixels further the
last pixel sees to one side. Weights and multiplications are in logarithms: what counts is how many times more.

Facts of a block depend on the block, the filters and the channels that enter it, and are cached: a round with
thousands of candidates has a few hundred different blocks.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from memnas_core.architecture import OPERATIONS, Architecture, Block, Cell, Combiner, Operation
from memnas_core.graph import LayerKind, Shape, lower_block
from memnas_core.measure import MemoryFigures

BLOCK_FACTS: tuple[str, ...] = (
    *OPERATIONS,  # how many layers of each operation
    "cells",
    "one_branch_cells",
    "concat_cells",
    "included_cells",
    "input_readers",  # branches that read the block's input
    "most_readers",  # of any one representation in the block
    "longest_path",
    "shortest_path",
    "mean_path",  # over all paths
    "longest_reach",
    "mean_reach",
    "log_paths",
    "log_weights",
    "log_multiplications",  # for one image, relative to the pixels of the network's input
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
"""Layers by what they read, and cells by how they join and whether the block's output includes them."""

_WEIGHTED = frozenset(
    (
        Operation.CONV_3X3,
        Operation.DEPTHWISE_3X3,
        Operation.DEPTHWISE_5X5,
        Operation.FACTORIZED_7X7,
        Operation.DILATED_3X3,
    )
)
_REACH = {
    Operation.CONV_3X3: 1,
    Operation.DEPTHWISE_3X3: 1,
    Operation.DEPTHWISE_5X5: 2,
    Operation.FACTORIZED_7X7: 3,
    Operation.AVERAGE_POOL_3X3: 1,
    Operation.MAX_POOL_3X3: 1,
    Operation.DILATED_3X3: 2,
    Operation.IDENTITY: 0,
}

_Array = npt.NDArray[np.float64]


def facts(architecture: Architecture) -> _Array:
    """Return the facts of each block, shape (blocks, len(BLOCK_FACTS))."""
    rows: list[tuple[float, ...]] = []
    channels, area = architecture.filters, 1.0
    for block in architecture.blocks:
        area /= block.stride**2
        found, multiplications, channels = _block_facts(block, architecture.filters, channels)
        place = BLOCK_FACTS.index("log_multiplications")
        rows.append((*found[:place], float(np.log(multiplications * area)), *found[place:]))
    return np.array(rows)


def whole_facts(architecture: Architecture, memory: MemoryFigures) -> _Array:
    """Return the facts of each block, their sums over the blocks, and the logarithms of weights and peaks in bytes.

    Shape (features,); architectures with one number of blocks have as many.
    """
    of_blocks = facts(architecture)
    exact = (memory.param_bytes, memory.paper_bytes, memory.sequential_bytes, memory.minimum_bytes)
    return np.concatenate([of_blocks.ravel(), of_blocks.sum(axis=0), np.log(exact)])


def place_counts(architecture: Architecture) -> _Array:
    """Return how often each of `PLACE_COUNTS` occurs in each block, shape (blocks, len(PLACE_COUNTS))."""
    return np.array([_block_places(block) for block in architecture.blocks], dtype=np.float64)


@lru_cache(maxsize=1 << 14)
def _block_places(block: Block) -> tuple[int, ...]:
    kinds = [0, *(1 + _kind(cell) for cell in block.cells)]  # of what can be read: 0 is the block's input
    layers = [[0] * 4 for _ in OPERATIONS]
    cells = [[0, 0] for _ in range(3)]
    for cell in block.cells:
        cells[_kind(cell)][cell.included] += 1
        for branch in cell.branches:
            layers[OPERATIONS.index(branch.operation)][kinds[branch.input]] += 1
    return tuple(count for row in (*layers, *cells) for count in row)


def _kind(cell: Cell) -> int:
    if len(cell.branches) == 1:
        return 0
    return 1 if cell.combiner is Combiner.SUM else 2


class _Paths:
    """All paths from a block's input to one representation: how many, and their lengths and reaches."""

    __slots__ = ("count", "least", "most", "most_reach", "total", "total_reach")

    def __init__(self, count: int, least: int, most: int, most_reach: int, total: int, total_reach: int) -> None:
        self.count = count
        self.least = least
        self.most = most
        self.most_reach = most_reach
        self.total = total
        self.total_reach = total_reach

    def through(self, operation: Operation) -> "_Paths":
        """Return the paths with one more layer at their end."""
        step, reach = int(operation in _WEIGHTED), _REACH[operation]
        return _Paths(
            self.count,
            self.least + step,
            self.most + step,
            self.most_reach + reach,
            self.total + step * self.count,
            self.total_reach + reach * self.count,
        )

    @staticmethod
    def joined(parts: Sequence["_Paths"]) -> "_Paths":
        return _Paths(
            sum(part.count for part in parts),
            min(part.least for part in parts),
            max(part.most for part in parts),
            max(part.most_reach for part in parts),
            sum(part.total for part in parts),
            sum(part.total_reach for part in parts),
        )


@lru_cache(maxsize=1 << 14)
def _block_facts(block: Block, filters: int, in_channels: int) -> tuple[tuple[float, ...], float, int]:
    """Return a block's facts without multiplications, its multiplications a pixel, and the channels it gives."""
    branches = [branch for cell in block.cells for branch in cell.branches]
    readers = [sum(branch.input == number for branch in branches) for number in range(len(block.cells) + 1)]
    paths = [_Paths(1, 0, 0, 0, 0, 0)]
    for cell in block.cells:
        paths.append(_Paths.joined([paths[branch.input].through(branch.operation) for branch in cell.branches]))
    out = _Paths.joined([path for cell, path in zip(block.cells, paths[1:], strict=True) if cell.included])
    fragment = lower_block(block, filters, "", Shape(in_channels, block.stride, block.stride), 0)
    weights = sum(layer.weights for layer in fragment.layers)
    multiplications = sum(
        layer.weights * layer.output.height * layer.output.width
        for layer in fragment.layers
        if layer.kind is LayerKind.CONV
    )
    counts = [sum(branch.operation is operation for branch in branches) for operation in OPERATIONS]
    found = (
        *counts,
        len(block.cells),
        sum(len(cell.branches) == 1 for cell in block.cells),
        sum(len(cell.branches) == 2 and cell.combiner is Combiner.CONCAT for cell in block.cells),
        sum(cell.included for cell in block.cells),
        readers[0],
        max(readers),
        out.most,
        out.least,
        out.total / out.count,
        out.most_reach,
        out.total_reach / out.count,
        np.log(out.count),
        np.log1p(weights),
        fragment.shape.channels / filters,
    )
    return tuple(float(value) for value in found), float(multiplications + 1), fragment.shape.channels
