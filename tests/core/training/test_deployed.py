from itertools import groupby

import torch
from torch import nn

from memnas_core.memory.lifetimes import lifetimes
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape
from memnas_core.tracing.trace import trace
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import Network, build_network
from tests.core.random_architectures import random_walks

SHAPE = Shape(3, 8, 8)


def _conv(name: str, source: str, channels: tuple[int, int]) -> Layer:
    return Layer(name, LayerKind.CONV, (source,), channels[0], Shape(channels[1], 8, 8))


FORK = Graph(
    SHAPE,
    (
        _conv("wide_a", "image", (3, 9)),
        _conv("wide_b", "image", (3, 9)),  # given before thin_a: 21 channels at once instead of 13
        _conv("thin_a", "wide_a", (9, 1)),
        _conv("thin_b", "wide_b", (9, 1)),
        Layer("join", LayerKind.SUM, ("thin_a", "thin_b"), 1, Shape(1, 8, 8)),
        Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, ("join",), 1, Shape(1, 1, 1)),
        Layer("classifier", LayerKind.LINEAR, ("pool",), 1, Shape(5, 1, 1)),
    ),
    "classifier",
)


def _trained(seed: int) -> Network:
    """Return a network whose batch norms have seen images, so that folding them changes weights."""
    architecture = next(iter(random_walks(seed=seed, count=1)))
    network = build_network(lower(architecture, SHAPE, 5), seed)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(16, *SHAPE, generator=generator))
    return network.eval()


def test_computes_what_the_trained_network_computes() -> None:
    images = torch.randn(7, *SHAPE, generator=torch.Generator().manual_seed(0))
    for seed in range(12):
        network = _trained(seed)
        with torch.no_grad():
            expected = network(images)
            found = deploy(network)(images)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert found.shape == (7, 5)


def test_leaves_the_trained_network_as_it_is() -> None:
    network = _trained(3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    deployed = deploy(network)
    for parameter in deployed.parameters():
        parameter.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_has_no_batch_norm_and_no_gradient_and_is_in_evaluation_mode() -> None:
    deployed = deploy(_trained(1).train())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    assert not any(module.training for module in deployed.modules())
    assert not any(parameter.requires_grad for parameter in deployed.parameters())


def test_runs_its_layers_in_the_best_order() -> None:
    """What torch itself runs, recorded operation by operation, has the peak of the best order."""
    for network in (build_network(FORK, 0), *(_trained(seed) for seed in range(6))):
        deployed: DeployedNetwork = deploy(network)
        plain, graph = network.graph, deployed.graph
        run = trace(deployed, graph.input_shape)
        needed = lifetimes(run.plain(), run.sizes(4), "sequential").peak
        given = lifetimes(plain.plain(), plain.sizes(4), "sequential").peak
        assert lifetimes(graph.plain(), graph.sizes(4), "sequential").peak == deployed.least.bytes <= given
        assert deployed.least.exact
        # A stride-2 identity is a view for torch, which keeps the whole tensor in memory, and no layer of its own.
        if not any("subsample" in layer.kind for layer in graph.layers):
            assert needed == deployed.least.bytes
        if plain is FORK:
            assert (deployed.least.bytes, given) == (13 * 64 * 4, 21 * 64 * 4)


def test_an_export_keeps_the_order() -> None:
    """A subsampling stays where it is, though torch's view of a tensor could wait until its first reader."""
    small = Shape(8, 4, 4)
    layers = (
        _conv("wide", "image", (3, 8)),
        Layer("subsample", LayerKind.SUBSAMPLE, ("wide",), 8, small, stride=(2, 2)),
        Layer("first", LayerKind.CONV, ("image",), 3, small, stride=(2, 2)),
        Layer("second", LayerKind.CONV, ("first",), 8, small),
        Layer("join", LayerKind.SUM, ("subsample", "second"), 8, small),
        Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, ("join",), 8, Shape(8, 1, 1)),
        Layer("classifier", LayerKind.LINEAR, ("pool",), 8, Shape(5, 1, 1)),
    )
    deployed = deploy(build_network(Graph(SHAPE, layers, "classifier"), 0))
    program = torch.export.export(deployed, (torch.zeros(1, *SHAPE),)).run_decompositions()
    called = [node.name.partition("_")[0] for node in program.graph.nodes if node.op == "call_function"]
    kinds = {"convolution": "conv", "slice": "subsample", "add": "sum"}
    found = [kind for kind, _ in groupby(kinds[name] for name in called if name in kinds)]
    order = [str(layer.kind) for layer in deployed.graph.layers if layer.kind in kinds.values()]
    assert found == [kind for kind, _ in groupby(order)]
    assert order.index("subsample") < order.index("sum") - 1  # something runs between a subsampling and its reader
