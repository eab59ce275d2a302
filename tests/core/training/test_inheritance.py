"""What a candidate takes over from its base, against cases worked by hand and the shapes of real networks."""

import random

import pytest

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.moves import Move, MoveKind, apply, edge_cuts, generate, growths, seed_architecture, trims
from memnas_core.training.inheritance import FRESH, Continued, PassedOn, inheritance
from tests.core.random_architectures import random_walk

CONV, DEPTHWISE, POOL = ops.CONV_3X3, ops.DEPTHWISE_3X3, ops.AVERAGE_POOL_3X3
SHAPE = Shape(3, 8, 8)
FILTERS = 4


def cell(first: Branch, second: Branch | None = None, combiner: Combiner = Combiner.SUM) -> Cell:
    return Cell(first, second, combiner, included=True)


def blocks(*cells: Cell) -> Architecture:
    """Return an architecture with these cells in each of two blocks."""
    return Architecture((Block(cells, 1), Block(cells, 2)), FILTERS)


def changed(base: Architecture, move: Move) -> Architecture:
    after = apply(base, move)
    assert after is not None
    return after


def test_growing_adds_runs_of_zeros_and_new_projections_that_hand_on() -> None:
    base = blocks(cell(Branch(0, CONV), Branch(0, DEPTHWISE)))
    grown = changed(base, Move(MoveKind.GROW, added=cell(Branch(0, POOL), Branch(1, CONV), Combiner.CONCAT)))
    found = inheritance(grown, base)
    assert found.keeps_function
    assert found.continued == {
        "stem": Continued("stem", (0,)),
        "b1_c1_a": Continued("b1_c1_a", (0,)),
        "b1_c1_b": Continued("b1_c1_b", (0,)),
        "b2_c1_a": Continued("b2_c1_a", (0,)),
        "b2_c1_b": Continued("b2_c1_b", (0,)),
        # F channels were, 2F are new
        "classifier": Continued("classifier", (0, FRESH, FRESH)),
    }
    assert found.passed_on == {"b2_project": PassedOn(0, 3)}


def test_cutting_a_layer_out_of_a_concatenation_takes_its_run_from_the_readers() -> None:
    base = blocks(cell(Branch(0, CONV), Branch(0, DEPTHWISE), Combiner.CONCAT), cell(Branch(0, CONV), Branch(1, CONV)))
    found = inheritance(changed(base, Move(MoveKind.CUT_EDGE, 2, 1, 1)), base)
    assert not found.keeps_function
    # The second cell's layer b read 2F channels of the first; the depthwise ones are left.
    assert found.continued["b2_c2_b"] == Continued("b2_c2_b", (1,))
    assert found.continued["b2_c1_a"] == Continued("b2_c1_b", (0,)), "the branch that is left moves up"
    assert found.continued["classifier"] == Continued("classifier", (1, 2))
    assert found.continued["b2_project"] == Continued("b2_project", (0, 1, 2)), "block 1 is as it was"


def test_trimming_a_cell_away_renumbers_the_others() -> None:
    base = blocks(cell(Branch(0, CONV)), cell(Branch(0, DEPTHWISE)), cell(Branch(2, CONV)))
    found = inheritance(changed(base, Move(MoveKind.TRIM_CELL, 1, 1)), base)
    assert found.continued["b1_c1_a"] == Continued("b1_c2_a", (0,))
    assert found.continued["b1_c2_a"] == Continued("b1_c3_a", (0,))
    assert found.continued["b2_project"] == Continued("b2_project", (1, 2))


def test_an_identity_stands_in_the_place_of_the_layer_it_replaced() -> None:
    base = blocks(cell(Branch(0, CONV), Branch(0, DEPTHWISE), Combiner.CONCAT))
    trimmed = changed(base, Move(MoveKind.TRIM_LAYER, 2, 1, 1))
    branches = trimmed.blocks[1].cells[0].branches
    assert [branch.operation for branch in branches] == [DEPTHWISE, ops.IDENTITY], "branches are in order"
    found = inheritance(trimmed, base)
    assert found.continued["b2_c1_a"] == Continued("b2_c1_b", (0,))
    assert found.continued["classifier"] == Continued("classifier", (1, 0)), "runs follow their layers"


def test_the_same_network_continues_itself() -> None:
    for seed in range(20):
        network = random_walk(random.Random(seed), moves=8, filters=FILTERS, strides=(1, 2, 1))
        found = inheritance(network, network)
        with_weights = {layer.name for layer in lower(network, SHAPE, 5).layers if layer.weights}
        assert set(found.continued) == with_weights
        assert found.keeps_function
        assert all(name == source.layer for name, source in found.continued.items())


@pytest.mark.parametrize("seed", range(12))
def test_shapes_fit_and_little_begins_afresh(seed: int) -> None:
    """Every single move of a random base: channels agree, growing keeps the function, trimming makes no weight new."""
    rng = random.Random(seed)
    base = random_walk(rng, moves=6, filters=FILTERS, strides=(1, 2, 1))
    theirs = {layer.name: layer for layer in lower(base, SHAPE, 5).layers}
    moves = [*rng.sample(list(growths(base)), 20), *trims(base), *edge_cuts(base)]
    for move in moves:
        child = apply(base, move)
        if child is None or child == base:
            continue
        found = inheritance(child, base)
        ours = {layer.name: layer for layer in lower(child, SHAPE, 5).layers}
        for name, source in found.continued.items():
            layer, old = ours[name], theirs[source.layer]
            assert (layer.kind, layer.kernel, layer.groups == 1) == (old.kind, old.kernel, old.groups == 1)
            if layer.kind is LayerKind.CONV and layer.groups > 1:
                assert source.runs == (0,)
            elif name != "stem":
                assert len(source.runs) * FILTERS == layer.in_channels
                assert max(run for run in source.runs if run is not FRESH) * FILTERS < old.in_channels
        for name, passed in found.passed_on.items():
            assert name not in theirs
            assert passed.runs * FILTERS == ours[name].in_channels
        if move.added is not None:
            assert found.keeps_function
            fresh = {name for name, layer in ours.items() if layer.weights} - set(found.continued)
            last = {f"b{number}_c{len(block.cells)}" for number, block in enumerate(child.blocks, start=1)}
            assert {"_".join(name.split("_")[:2]) for name in fresh - set(found.passed_on)} <= last


def test_candidates_of_several_moves_have_an_inheritance_too() -> None:
    base = seed_architecture((1, 2), FILTERS)
    grown = next(c.architecture for c in generate(base, 1)[0] if c.is_grown)
    twice = next(c.architecture for c in generate(grown, 1)[0] if c.is_grown)
    found = inheritance(twice, base)
    assert found.keeps_function
    assert found.continued["b1_c1_a"] == Continued("b1_c1_a", (0,))
