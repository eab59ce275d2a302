"""Channels of narrowed and widened blocks: by hand, and against what networks compute."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.moves import apply, reductions, widenings
from memnas_core.training.channels import GONE, Channels, Scales, inherited_channels
from memnas_core.training.inherit import inherit
from memnas_core.training.inheritance import inheritance
from memnas_core.training.network import Network, build_network
from tests.core.random_architectures import random_growth, random_walks, with_widths
from tests.core.training.test_inherit import CLASSES, SHAPE, child_of, images, trained

CONV, DEPTHWISE, IDENTITY = ops.CONV_3X3, ops.DEPTHWISE_3X3, ops.IDENTITY


def taken(child: Architecture, parent: Architecture, scales: Scales) -> dict[str, Channels]:
    return inherited_channels(lower(child, SHAPE, CLASSES).layers, inheritance(child, parent), scales)


def positions(channels: Channels) -> tuple[list[int], list[int]]:
    return channels.outputs.tolist(), channels.inputs.tolist()


def two_blocks(first: int | None, second: int | None) -> Architecture:
    """F = 4. Block 1 joins a convolution with the sum of a depthwise layer and the input; block 2 has a convolution."""
    joined = (
        Cell(Branch(0, CONV), None, Combiner.SUM, included=True),
        Cell(Branch(0, DEPTHWISE), Branch(0, IDENTITY), Combiner.SUM, included=True),
    )
    alone = (Cell(Branch(0, CONV), None, Combiner.SUM, included=True),)
    return Architecture((Block(joined, 1, first), Block(alone, 1, second)), 4)


SCALES = {
    "stem": np.array([0.1, 0.2, 0.3, 0.4]),
    "b1_c1_a": np.array([0.9, 0.1, 0.2, 0.3]),
    "b1_c2_a": np.array([0.9, 0.2, 0.0, 0.7]),
    "b2_project": np.array([0.1, 0.2, 0.3, 0.4]),
    "b2_c1_a": np.array([0.4, 0.3, 0.2, 0.1]),
}


def test_a_narrowed_block_keeps_what_has_the_largest_scales() -> None:
    found = taken(two_blocks(3, None), two_blocks(None, None), SCALES)
    assert found["stem"].outputs.tolist() == [0, 1, 2, 3]
    # The depthwise layer, the sum and the block's input are tied: .1 + .9, .2 + .2, .3 + 0, .4 + .7.
    assert found["b1_project"].layer is None
    assert positions(found["b1_project"]) == ([0, 1, 3], [0, 1, 2, 3])
    assert found["b1_c2_a"].outputs.tolist() == [0, 1, 3]
    assert positions(found["b1_c1_a"]) == ([0, 2, 3], [0, 1, 3]), "by its own scales, .9, .2 and .3"
    # Block 2 read 4 and 4 channels; of each run three are left.
    assert positions(found["b2_project"]) == ([0, 1, 2, 3], [0, 2, 3, 4, 5, 7])
    assert found["b2_project"].layer == "b2_project"
    assert positions(found["b2_c1_a"]) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert positions(found["classifier"]) == ([0, 1, 2, 3, 4], [0, 1, 2, 3])


def test_a_narrowed_block_behind_a_concatenation() -> None:
    found = taken(two_blocks(None, 3), two_blocks(None, None), SCALES)
    assert positions(found["b2_project"]) == ([1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7])
    assert positions(found["b2_c1_a"]) == ([0, 1, 2], [1, 2, 3])
    assert positions(found["classifier"]) == ([0, 1, 2, 3, 4], [0, 1, 2])


def test_a_widened_block_keeps_all_and_gets_more() -> None:
    child, parent = two_blocks(6, None), two_blocks(None, None)
    assert inheritance(child, parent).keeps_function
    found, wide = taken(child, parent, SCALES), [0, 1, 2, 3, GONE, GONE]
    assert positions(found["b1_project"]) == (wide, [0, 1, 2, 3])
    assert positions(found["b1_c1_a"]) == (wide, wide)
    assert positions(found["b2_project"]) == ([0, 1, 2, 3], [*wide, 4, 5, 6, 7, GONE, GONE])


def test_a_block_as_wide_as_what_enters_it_has_no_projection_to_choose_by() -> None:
    """Block 2 has 8 filters and reads 4 and 4 channels. Block 1 narrowed to 2 leaves 4, which are projected to 8."""
    parent, child = two_blocks(None, 8), two_blocks(2, 8)
    scales = {**SCALES, "b2_c1_a": np.arange(8.0)}
    found = taken(child, parent, scales)
    assert found["b2_project"].layer is None
    assert positions(found["b2_project"]) == ([0, 3, 4, 7, GONE, GONE, GONE, GONE], [0, 3, 4, 7])
    assert positions(found["b2_c1_a"]) == ([*range(8)], [0, 3, 4, 7, GONE, GONE, GONE, GONE])
    back = taken(parent, child, {**SCALES, "b1_c1_a": np.ones(2), "b1_c2_a": np.ones(2), **narrowed_scales()})
    assert positions(back["b2_c1_a"])[1] == [*range(8)], "a projection falls away"
    assert not inheritance(parent, child).keeps_function


def narrowed_scales() -> Scales:
    return {"b1_project": np.ones(2), "b2_project": np.ones(8), "b2_c1_a": np.ones(8)}


def some_widths(seed: int, count: int) -> list[Architecture]:
    return [one for one in random_walks(seed, 4 * count, moves=6, widths=True) if one.reduction in (1, 2, 4)][:count]


@pytest.mark.parametrize("seed", range(8))
def test_a_widened_network_computes_what_its_base_computes(seed: int) -> None:
    rng, checked = random.Random(seed), 0
    for parent in some_widths(seed, 6):
        base = trained(parent, seed).double()
        for move in widenings(parent):
            child = apply(parent, move)
            assert child is not None
            grown = apply(child, random_growth(rng, child, ops.OPERATIONS.grown)) or child
            for network in (child, grown):
                if not inheritance(network, parent).keeps_function:
                    continue  # a projection falls away, which cannot be undone
                with torch.no_grad():
                    expected = base(images(7).double())
                    found = child_of(base.float(), parent, network).double().eval()(images(7).double())
                base.double()
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
                checked += 1
    assert checked > 5


def test_only_a_projection_that_falls_away_costs_the_function() -> None:
    lost = kept = 0
    for parent in some_widths(100, 80):
        before = {layer.name for layer in lower(parent, SHAPE, CLASSES).layers if layer.name.endswith("project")}
        for move in widenings(parent):
            child = apply(parent, move)
            assert child is not None
            after = {layer.name for layer in lower(child, SHAPE, CLASSES).layers}
            falls_away = not before <= after
            assert inheritance(child, parent).keeps_function is not falls_away
            lost, kept = lost + falls_away, kept + (not falls_away)
    assert lost > 5
    assert kept > 100


def fresh_channels_die(network: Network, channels: dict[str, Channels]) -> None:
    """Take scale and shift from all channels that are not the base's."""
    for name, own in channels.items():
        if name != "classifier":
            norm = network.layers[name][1]
            gone = torch.from_numpy(own.outputs == GONE)
            with torch.no_grad():
                norm.weight[gone], norm.bias[gone] = 0.0, 0.0


@pytest.mark.parametrize("seed", range(6))
def test_narrowing_takes_back_what_widening_added(seed: int) -> None:
    """Channels whose scale and shift are zero compute nothing: they go first, and all others are as before."""
    checked = 0
    for parent in some_widths(20 + seed, 8):
        base = trained(parent, seed)
        state = base.state_dict()
        for move in widenings(parent):
            wide = apply(parent, move)
            assert wide is not None
            if not inheritance(wide, parent).keeps_function:
                continue
            network = child_of(base, parent, wide)
            scales = {n: layer[1].weight.detach().abs().double().numpy() for n, layer in norms(base)}
            fresh_channels_die(network, taken(wide, parent, scales))
            again = child_of(network, wide, parent).state_dict()
            for key, tensor in state.items():
                if key.endswith("weight"):
                    assert torch.equal(again[key], tensor), key
            checked += 1
    assert checked > 5


def norms(network: Network) -> list[tuple[str, nn.Sequential]]:
    return [(name, layer) for name, layer in network.layers.items() if isinstance(layer, nn.Sequential)]


@pytest.mark.parametrize("seed", range(4))
def test_any_child_has_weights(seed: int) -> None:
    """Any widths in the place of any others, with trims and cells grown: nothing is refused, and all learns."""
    rng = random.Random(seed)
    for parent in some_widths(50 + seed, 10):
        child = with_widths(rng, parent)
        for _ in range(2):
            child = apply(child, rng.choice(list(reductions(child, widths=True)))) or child
        child = apply(child, random_growth(rng, child, ops.OPERATIONS.grown)) or child
        network = child_of(trained(parent, seed), parent, child).train()
        for _ in range(2):
            network.zero_grad()
            output = network(images(3))
            assert output.isfinite().all()
            output.square().mean().backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    assert parameter.grad is not None
                    parameter.sub_(0.01 * parameter.grad)


def test_new_channels_learn() -> None:
    """Those that a widened block has got have a gradient as soon as their readers' zeros have moved."""
    parent = two_blocks(None, None)
    child = replace(parent, blocks=(replace(parent.blocks[0], filters=8), parent.blocks[1]))
    network = build_network(lower(child, SHAPE, CLASSES), seed=9)
    inherit(network, trained(parent, 2).state_dict(), inheritance(child, parent), images(50, 64))
    optimizer = torch.optim.SGD(network.train().parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(images(3)).square().mean().backward()
        optimizer.step()
    for name in ("b1_project", "b1_c1_a", "b1_c2_a"):
        gradient = next(network.layers[name].parameters()).grad
        assert gradient is not None
        assert (gradient[4:].abs().amax(dim=(1, 2, 3)) > 0).any(), name
