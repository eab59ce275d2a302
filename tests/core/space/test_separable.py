"""Separable convolutions, which only networks that begin with them know, and stems with a stride."""

import random

import numpy as np
import pytest

from memnas_core.controller.encoding import layout_of
from memnas_core.controller.examples import Example
from memnas_core.controller.features import optional_columns, place_counts, whole_features
from memnas_core.controller.forest import ForestModel
from memnas_core.errors import ArchitectureError, GraphError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json, to_json
from memnas_core.space.cell_vectors import encode_cell
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import grown_operations, growths, scaled_seed, seed_architecture
from memnas_core.space.operations import OPERATIONS
from tests.core.random_architectures import random_walk, random_walks

PAIR = (ops.SEPARABLE_5X5, ops.IDENTITY)


def test_a_separable_convolution_by_hand() -> None:
    """Five channels of 6x6 pixels, 5x5 depthwise at stride 2, then 1x1 to eight channels."""
    block = seed_architecture((2,), 8, PAIR).blocks[0]
    graph = lower(Architecture((block,), 5), Shape(3, 6, 6), classes=2)
    found = {layer.name: layer for layer in graph.layers}
    # F = 5 in stem and block: the depthwise part keeps 5 channels, the other writes 5.
    assert found["b1_c1_b_depthwise"].output == Shape(5, 3, 3)
    assert found["b1_c1_b_depthwise"].weights == 5 * 25 + 2 * 5
    assert found["b1_c1_b_pointwise"].weights == 5 * 5 + 2 * 5


def test_growing_proposes_them_where_they_are() -> None:
    plain, separable = seed_architecture((1, 2), 4), seed_architecture((1, 2), 4, PAIR)
    assert grown_operations(plain) == OPERATIONS.grown
    assert grown_operations(separable) == (*OPERATIONS.grown, ops.SEPARABLE_5X5)
    added = {branch.operation for move in growths(separable) if move.added for branch in move.added.branches}
    assert ops.SEPARABLE_5X5 in added
    assert ops.SEPARABLE_3X3 not in added


def test_the_papers_controller_has_a_bit_for_them_only_where_they_are() -> None:
    plain, separable = seed_architecture((1, 2), 4), seed_architecture((1, 2), 4, PAIR)
    assert layout_of([plain]).operations == OPERATIONS.basic
    assert layout_of([plain, separable]).operations == (*OPERATIONS.basic, ops.SEPARABLE_5X5)
    (cell,) = separable.blocks[0].cells
    vectors = encode_cell(cell, 1, layout_of([separable]).operations)
    assert {vectors.l1, vectors.l2} == {"010000000", "100000000"}  # identity, and the ninth operation
    with pytest.raises(ArchitectureError, match=r"expected one of conv_3x3, .*, identity, found 'separable_5x5'"):
        encode_cell(cell, 1)


def test_the_forest_counts_them_only_where_they_are() -> None:
    """Accuracies that depend on separable convolutions alone."""
    rng = random.Random(0)
    drawn = [
        random_walk(rng, 5, operations=(ops.SEPARABLE_3X3, ops.DEPTHWISE_3X3, ops.AVERAGE_POOL_3X3)) for _ in range(80)
    ]
    share = [_separable(architecture) for architecture in drawn]
    settings = ControllerSettings("improved", "accuracy", 4, 4, 1, 0.01)
    model = ForestModel.train(settings, [Example(*pair) for pair in zip(drawn[:60], share[:60], strict=True)], 0)
    assert model.unknown == {ops.SEPARABLE_5X5}
    assert np.corrcoef(model.predict(drawn[60:]), share[60:])[0, 1] > 0.7
    plain = [random_walk(rng, 5) for _ in range(10)]
    of_plain = ForestModel.train(settings, [Example(one, 0.1 * number) for number, one in enumerate(plain)], 0)
    assert of_plain.unknown == {ops.SEPARABLE_3X3, ops.SEPARABLE_5X5}


def test_the_columns_that_count_them() -> None:
    """Once in its block and once in the sum, among the facts and among the places."""
    for architecture in random_walks(3, 30, widths=True):
        columns = optional_columns(len(architecture.blocks))
        places = place_counts(architecture)
        facts = whole_features(architecture, MemoryFigures(1, 1, 1, 1))
        row = np.concatenate([facts, places.ravel(), places.sum(axis=0)])
        for operation in (ops.SEPARABLE_3X3, ops.SEPARABLE_5X5):
            found = [
                branch.operation for block in architecture.blocks for cell in block.cells for branch in cell.branches
            ]
            assert row[columns[operation]].sum() == 4 * found.count(operation)
            assert len(columns[operation]) == 5 * (len(architecture.blocks) + 1)


def _separable(architecture: Architecture) -> float:
    operations = [branch.operation for block in architecture.blocks for cell in block.cells for branch in cell.branches]
    return operations.count(ops.SEPARABLE_3X3) / len(operations)


def test_a_stem_with_a_stride() -> None:
    plain, strided = seed_architecture((1, 2), 4, PAIR), seed_architecture((1, 2), 4, PAIR, stem_stride=2)
    assert (plain.reduction, strided.reduction) == (2, 4)
    assert plain.arch_id != strided.arch_id
    assert from_json(to_json(strided)) == strided
    assert "stem_stride" not in to_json(plain), "files of before stay what they are"
    assert lower(strided, Shape(3, 8, 8), 2).layers[0].output == Shape(4, 4, 4)
    with pytest.raises(
        GraphError, match=r"expected a multiple of 4, which the strides \[2, 1, 2\] can halve; use 4 or 8"
    ):
        lower(strided, Shape(3, 6, 6), 2)
    with pytest.raises(ArchitectureError, match="stem_stride: expected 1 or 2, found 3"):
        Architecture(plain.blocks, 4, 3)


def test_filters_grow_as_the_image_shrinks() -> None:
    assert scaled_seed((1, 1, 2, 1), 5, PAIR, stem_stride=2).widths == (10, 10, 20, 20)
    between = scaled_seed((1, 1, 2, 1), 4.5, PAIR, stem_stride=2)
    assert (between.filters, between.widths) == (5, (9, 9, 18, 18))
    assert scaled_seed((1, 2), 0.5, PAIR, stem_stride=1).widths == (1, 1)
