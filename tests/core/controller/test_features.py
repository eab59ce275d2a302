"""Facts of architectures against a block worked by hand and against the graph that is trained."""

import math
from dataclasses import replace

import numpy as np
import pytest

from memnas_core.controller.features import (
    BLOCK_FEATURES,
    PLACE_COUNTS,
    block_features,
    place_counts,
    whole_features,
    width_features,
)
from memnas_core.memory.figures import MemoryFigures
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.moves import seed_architecture
from tests.core.random_architectures import random_walks


def test_a_block_by_hand() -> None:
    # Cell 1 concatenates conv 3x3 and max pool of the input, cell 2 sums depthwise 5x5 of cell 1 and the input itself.
    first = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.CONCAT, included=False)
    second = Cell(Branch(1, ops.DEPTHWISE_5X5), Branch(0, ops.IDENTITY), Combiner.SUM, included=True)
    found = dict(
        zip(BLOCK_FEATURES, block_features(Architecture((Block((first, second), 2),), 4))[0].tolist(), strict=True)
    )
    # Paths: conv, depthwise (two convolutions, reach 1 + 2); pool, depthwise (one, 1 + 2); identity (none, 0).
    # Weights: conv 9 * 4 * 4 + 8, projection of 8 channels to 4 with 32 + 8, depthwise 25 * 4 + 8.
    weights = 152 + 40 + 108
    expected = {
        "conv_3x3": 1,
        "depthwise_5x5": 1,
        "max_pool_3x3": 1,
        "identity": 1,
        "cells": 2,
        "concat_cells": 1,
        "included_cells": 1,
        "input_readers": 3,
        "most_readers": 3,
        "longest_path": 2,
        "shortest_path": 0,
        "mean_path": 1,
        "longest_reach": 3,
        "mean_reach": 2,
        "log_paths": math.log(3),
        "log_weights": math.log(weights + 1),
        "log_multiplications": math.log((weights + 1) / 4),  # a quarter of the pixels are left
        "output_channels": 1,
    }
    assert found == pytest.approx({name: expected.get(name, 0) for name in BLOCK_FEATURES})


def test_weights_are_those_of_the_graph() -> None:
    for architecture in (*random_walks(3, count=20), *random_walks(3, count=20, widths=True)):
        graph = lower(architecture, Shape(3, 16, 16), 10)
        of_blocks = sum(layer.weights for layer in graph.layers if layer.block > 0)
        logarithms = block_features(architecture)[:, BLOCK_FEATURES.index("log_weights")]
        assert np.expm1(logarithms).sum() == pytest.approx(of_blocks)


def test_multiplications_are_those_of_the_graph() -> None:
    # Per pixel of the image that enters: each convolution multiplies all its weights for every pixel that it writes.
    for architecture in (*random_walks(5, count=20), *random_walks(5, count=20, widths=True)):
        side = architecture.reduction
        graph = lower(architecture, Shape(1, side, side), 10)
        area = 1 / architecture.stem_stride**2
        logarithms = block_features(architecture)[:, BLOCK_FEATURES.index("log_multiplications")]
        for number, (block, logarithm) in enumerate(zip(architecture.blocks, logarithms, strict=True), start=1):
            area /= block.stride**2
            pixels = area * side**2
            layers = [x for x in graph.layers if x.block == number and x.kind is LayerKind.CONV]
            found = sum(x.weights * x.output.height * x.output.width for x in layers)
            assert math.exp(logarithm) == pytest.approx((found / pixels + 1) * area)


def test_shapes() -> None:
    seed = seed_architecture((1, 2, 1), 4)
    assert block_features(seed).shape == (3, len(BLOCK_FEATURES))
    whole = whole_features(seed, MemoryFigures(100, 10, 20, 15))
    np.testing.assert_allclose(whole[:-4], [*block_features(seed).ravel(), *block_features(seed).sum(axis=0)])
    np.testing.assert_allclose(np.exp(whole[-4:]), [100, 10, 20, 15])


def test_widths_by_hand() -> None:
    block = seed_architecture((1,), 4).blocks[0]
    architecture = Architecture((block, replace(block, filters=8), replace(block, filters=2)), 4)
    assert width_features(architecture).tolist() == pytest.approx([math.log(4), *map(math.log, (4, 8, 2))])
    # A block's output is told in units of the network's F.
    assert block_features(architecture)[:, BLOCK_FEATURES.index("output_channels")].tolist() == [1, 2, 0.5]


def test_places_by_hand() -> None:
    first = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.CONCAT, included=False)
    second = Cell(Branch(1, ops.CONV_3X3), None, Combiner.SUM, included=True)
    third = Cell(Branch(2, ops.IDENTITY), Branch(1, ops.CONV_3X3), Combiner.SUM, included=True)
    (row,) = place_counts(Architecture((Block((first, second, third), 1),), 4)).tolist()
    assert {name: count for name, count in zip(PLACE_COUNTS, row, strict=True) if count} == {
        "conv_3x3 of the input": 1,
        "max_pool_3x3 of the input": 1,
        "conv_3x3 of a concatenation": 2,
        "identity of one layer": 1,
        "one layer, included": 1,
        "sum, included": 1,
        "concatenation, not included": 1,
    }
