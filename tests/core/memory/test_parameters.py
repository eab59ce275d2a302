"""Bytes of parameters against hand counts and against torch's own layers."""

from torch import nn

from memnas_core.memory.parameters import parameter_bytes
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training.network import build_network
from tests.core.random_architectures import random_walks


def test_the_seed_by_hand() -> None:
    # F = 16, one block of two convolutions and a sum, one channel in, 10 classes.
    graph = lower(seed_architecture((1,), 16), Shape(1, 8, 8), 10)
    stem, conv, linear = 9 * 16, 9 * 16 * 16, 16 * 10
    assert [layer.kind for layer in graph.layers].count(LayerKind.CONV) == 3
    kernels = stem + 2 * conv + linear
    assert parameter_bytes(graph, 4, 4, fold_batch_norm=False) == 4 * (kernels + 3 * 2 * 16 + 10)
    assert parameter_bytes(graph, 4, 4, fold_batch_norm=True) == 4 * (kernels + 3 * 16 + 10)
    assert parameter_bytes(graph, 1, 4, fold_batch_norm=True) == kernels + 4 * (3 * 16 + 10)
    assert parameter_bytes(graph, 2, 2, fold_batch_norm=True) == 2 * (kernels + 3 * 16 + 10)


def test_parameters_equal_those_of_the_torch_network() -> None:
    for architecture in (*random_walks(seed=31, count=10, moves=10), *random_walks(32, 10, 10, widths=True)):
        side = architecture.reduction
        graph = lower(architecture, Shape(3, side, side), 7)
        assert parameter_bytes(graph, 3, 3, fold_batch_norm=False) == 3 * graph.weights
        network = build_network(graph, seed=0)
        matrices = sum(p.numel() for p in network.parameters() if p.dim() > 1)
        # Folded, each convolution and the classifier has one bias a channel.
        biases = sum(m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)) + 7
        vectors = sum(p.numel() for p in network.parameters() if p.dim() == 1)
        assert parameter_bytes(graph, 1, 4, fold_batch_norm=True) == matrices + 4 * biases
        assert parameter_bytes(graph, 1, 4, fold_batch_norm=False) == matrices + 4 * vectors
