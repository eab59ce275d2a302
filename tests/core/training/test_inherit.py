"""Networks that begin with their base's weights, against what their base computes."""

import random

import pytest
import torch
from torch import nn

from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import apply, edge_cuts, growths, trims
from memnas_core.training.inherit import inherit
from memnas_core.training.inheritance import inheritance
from memnas_core.training.network import Network, build_network
from tests.core.random_architectures import random_walk

SHAPE, CLASSES, FILTERS = Shape(2, 8, 8), 5, 4


def images(seed: int, count: int = 32) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def trained(architecture: Architecture, seed: int) -> Network:
    """Return a network whose batch norms have seen images and whose scales and shifts are no longer 1 and 0."""
    network = build_network(lower(architecture, SHAPE, CLASSES), seed)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    network.train()
    with torch.no_grad():
        for step in range(5):
            network(images(step))
    return network.eval()


def child_of(base: Network, parent: Architecture, child: Architecture) -> Network:
    network = build_network(lower(child, SHAPE, CLASSES), seed=99)
    inherit(network, base.state_dict(), inheritance(child, parent), images(50, 64))
    return network


@pytest.mark.parametrize("seed", range(6))
def test_a_grown_network_computes_what_its_base_computes(seed: int) -> None:
    rng = random.Random(seed)
    parent = random_walk(rng, moves=5, filters=FILTERS, strides=(1, 2, 1))
    base = trained(parent, seed)
    with torch.no_grad():
        expected = base(images(7))
        for move in rng.sample(list(growths(parent)), 12):
            grown = apply(parent, move)
            if grown is not None:
                found = child_of(base, parent, grown).eval()(images(7))
                torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_new_paths_learn() -> None:
    """The new cell's weights have a gradient as soon as its reader's zeros have moved."""
    rng = random.Random(1)
    parent = random_walk(rng, moves=3, filters=FILTERS, strides=(1, 2))
    grown = next(g for move in growths(parent) if "conv" in str(move) and (g := apply(parent, move)) is not None)
    network = child_of(trained(parent, 1), parent, grown).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(images(3)).square().mean().backward()
        optimizer.step()
    fresh = inheritance(grown, parent)
    new = [n for n, layer in network.layers.items() if list(layer.parameters()) and n not in fresh.continued]
    assert new
    for name in new:
        gradient = next(network.layers[name].parameters()).grad
        assert gradient is not None
        assert gradient.abs().max() > 0, name


def test_what_a_trimmed_network_keeps_it_keeps_exactly() -> None:
    rng = random.Random(5)
    parent = random_walk(rng, moves=6, filters=FILTERS, strides=(1, 2))
    base = trained(parent, 5)
    state = base.state_dict()
    for move in (*trims(parent), *edge_cuts(parent)):
        child = apply(parent, move)
        if child is None or child == parent:
            continue
        network = child_of(base, parent, child)
        for name, source in inheritance(child, parent).continued.items():
            end = "weight" if name == "classifier" else "0.weight"
            ours, theirs = network.state_dict()[f"layers.{name}.{end}"], state[f"layers.{source.layer}.{end}"]
            if source.runs == (0,) and ours.shape == theirs.shape:
                assert torch.equal(ours, theirs)
            else:
                for place, run in enumerate(source.runs):
                    kept = ours[:, place * FILTERS : (place + 1) * FILTERS]
                    assert torch.equal(kept, theirs[:, run * FILTERS : (run + 1) * FILTERS])


def test_statistics_of_a_trimmed_network_are_those_of_the_images() -> None:
    rng = random.Random(2)
    parent = random_walk(rng, moves=6, filters=FILTERS, strides=(1, 2))
    base = trained(parent, 2)
    child = next(c for move in trims(parent) if (c := apply(parent, move)) is not None and c != parent)
    network = child_of(base, parent, child).eval()
    seen: dict[str, torch.Tensor] = {}
    for name, layer in network.layers.items():
        if isinstance(layer, nn.Sequential):
            layer[0].register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    with torch.no_grad():
        network(images(50, 64))
    for name, output in seen.items():
        norm = network.layers[name][1]
        torch.testing.assert_close(norm.running_mean, output.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, output.var(dim=(0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)
