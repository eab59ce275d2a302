"""The torch network against the graph it is made from."""

import random

import pytest
import torch
from torch import nn

from memnas_core.memory.running_order import best_order
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape
from memnas_core.space.moves import apply, edge_cuts, growths, seed_architecture, trims
from memnas_core.training.network import Network, _module, build_network
from tests.core.random_architectures import tangled


def random_walk(rng: random.Random, moves: int, filters: int, strides: tuple[int, ...]) -> Architecture:
    architecture = seed_architecture(strides, filters)
    for _ in range(moves):
        options = [*trims(architecture), *edge_cuts(architecture)]
        # One growing move in three, so that trims find something to cut.
        move = rng.choice(list(growths(architecture))) if rng.random() < 0.4 else rng.choice(options)
        architecture = apply(architecture, move) or architecture
    return architecture


def traced_shapes(network: Network, input_shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the shape that torch computes for every layer of a network on the meta device."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.layers.items():
        module.register_forward_hook(lambda _m, _i, output, name=name: shapes.__setitem__(name, tuple(output.shape)))
    network.eval()(torch.zeros(2, *input_shape, device="meta"))
    return shapes


@pytest.mark.parametrize("part", range(8))
def test_weights_and_shapes_of_thousands_of_architectures_agree_with_torch(part: int) -> None:
    rng = random.Random(part)
    for _ in range(250):
        strides = tuple(rng.choice((1, 2)) for _ in range(rng.randint(1, 4)))
        architecture = random_walk(rng, rng.randint(0, 8), rng.choice((2, 3, 8)), strides)
        side = architecture.reduction * rng.randint(1, 3)
        graph = lower(architecture, Shape(rng.choice((1, 3)), side, side), classes=rng.randint(2, 12))
        with torch.device("meta"):
            network = build_network(graph, seed=0)
        per_layer = {
            name: sum(parameter.numel() for parameter in module.parameters()) for name, module in network.layers.items()
        }
        assert per_layer == {layer.name: layer.weights for layer in graph.layers}
        assert graph.weights == sum(parameter.numel() for parameter in network.parameters())
        for name, shape in traced_shapes(network, graph.input_shape).items():
            expected = graph.shapes()[name]
            is_vector = len(shape) == 2
            assert shape[1:] == ((expected.channels,) if is_vector else tuple(expected)), name


def test_every_tensor_is_dropped_after_its_last_reader() -> None:
    graph = lower(random_walk(random.Random(5), 12, 4, (1, 2)), Shape(1, 8, 8), classes=3)
    network = build_network(graph, seed=0)
    dropped = [name for names in network._dead_after.values() for name in names]
    assert sorted(dropped) == sorted({name for layer in graph.layers for name in layer.inputs})
    assert graph.output not in dropped


def test_same_seed_same_weights_and_torchs_generator_is_left_alone() -> None:
    graph = lower(seed_architecture((1, 2), 4), Shape(1, 8, 8), classes=3)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = build_network(graph, seed=1).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second, other = build_network(graph, seed=1).state_dict(), build_network(graph, seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.stem.0.weight"], other["layers.stem.0.weight"])


def test_sum_and_concat_and_subsample_compute_what_their_names_say() -> None:
    # Two identities of one input, stride 2: the cell's sum is twice every other pixel.
    from memnas_core.space.architecture import Block, Branch, Cell, Combiner
    from memnas_core.space.operations import IDENTITY

    identity = Branch(0, IDENTITY)
    for combiner, channels in ((Combiner.SUM, 2), (Combiner.CONCAT, 4)):
        block = Block((Cell(identity, identity, combiner, included=True),), stride=2)
        graph = lower(Architecture((block,), filters=2), Shape(2, 4, 4), classes=2)
        assert [layer.kind for layer in graph.layers if layer.block] == [
            LayerKind.SUBSAMPLE,
            LayerKind.SUBSAMPLE,
            LayerKind.SUM if combiner is Combiner.SUM else LayerKind.CONCAT,
        ]
        network = build_network(graph, seed=0).eval()
        seen: dict[str, torch.Tensor] = {}
        for name, module in network.layers.items():
            module.register_forward_hook(lambda _m, _i, output, name=name, seen=seen: seen.__setitem__(name, output))
        network(torch.rand(1, 2, 4, 4))
        small = seen["stem"][:, :, ::2, ::2]
        expected = 2 * small if combiner is Combiner.SUM else torch.cat([small, small], dim=1)
        joined = seen[graph.layers[-3].name]
        assert joined.shape[1] == channels
        assert torch.equal(joined, expected)


def test_layers_run_in_the_order_that_needs_least_memory_and_weights_do_not_depend_on_it() -> None:
    """The network of a graph whose plain order needs 21 channels at once where another one needs 13."""
    graph = Graph(
        Shape(3, 8, 8),
        (
            Layer("wide_a", LayerKind.CONV, ("image",), 3, Shape(9, 8, 8)),
            Layer("wide_b", LayerKind.CONV, ("image",), 3, Shape(9, 8, 8)),
            Layer("thin_a", LayerKind.CONV, ("wide_a",), 9, Shape(1, 8, 8)),
            Layer("thin_b", LayerKind.CONV, ("wide_b",), 9, Shape(1, 8, 8)),
            Layer("join", LayerKind.SUM, ("thin_a", "thin_b"), 1, Shape(1, 8, 8)),
            Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, ("join",), 1, Shape(1, 1, 1)),
            Layer("classifier", LayerKind.LINEAR, ("pool",), 1, Shape(5, 1, 1)),
        ),
        "classifier",
    )
    network = build_network(graph, seed=4).train()
    ran: list[str] = []
    for name, layer in network.layers.items():
        layer.register_forward_hook(lambda *_, name=name: ran.append(name))
    network(torch.zeros(2, 3, 8, 8))
    # One branch to its end, then the other: 3 + 9 + 1 channels at most, the image included.
    assert ran[1].removeprefix("thin_") == ran[0].removeprefix("wide_")
    assert ran[3].removeprefix("thin_") == ran[2].removeprefix("wide_")
    assert network.least.bytes == (3 + 9 + 1) * 64 * 4
    # Weights are drawn in the order given: the first convolution's are the generator's first.
    torch.manual_seed(4)
    first = nn.Conv2d(3, 9, 1, bias=False)
    second = nn.Conv2d(3, 9, 1, bias=False)
    assert torch.equal(network.layers["wide_a"][0].weight, first.weight)
    assert torch.equal(network.layers["wide_b"][0].weight, second.weight)


def test_running_in_the_best_order_changes_no_weight_no_name_and_no_score() -> None:
    """Networks against the same layers, drawn and run in the plain order."""
    rng = random.Random(5)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    reordered = 0
    for architecture in (tangled(rng, 6) for _ in range(20)):
        graph = lower(architecture, Shape(3, 8, 8), classes=10)
        network = build_network(graph, seed=7)
        torch.manual_seed(7)
        plain = Network(graph, network.least, nn.ModuleDict({layer.name: _module(layer) for layer in graph.layers}))
        assert list(network.state_dict()) == list(plain.state_dict())
        for name, tensor in plain.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor), name
        ran: list[str] = []
        for name, layer in network.layers.items():
            layer.register_forward_hook(lambda *_, name=name, ran=ran: ran.append(name))
        assert torch.equal(network.train()(images), plain.train()(images))
        assert tuple(ran) == best_order(graph)[1].order
        assert torch.equal(network.eval()(images), plain.eval()(images)), "batch norms have seen the same"
        reordered += ran != [layer.name for layer in graph.layers]
    assert reordered > 5  # else the plain order would do
