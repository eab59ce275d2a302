"""Tracing against torch's own counts of known networks, and against memnas's own graphs."""

import random

import pytest
from torchvision import models

from memnas_core.memory.lifetimes import least_peak
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import trace
from memnas_core.training.network import build_network
from tests.core.tracing.small_networks import figures, random_architecture, torchvision_model, without_subsampling


class TestKnownNetworks:
    def test_mobilenet_v2(self) -> None:
        graph = trace(torchvision_model("mobilenet_v2"), (3, 224, 224))
        assert graph.weights == 3_504_872
        # 52 convolutions (each with its norm and activation), 10 residual additions, pooling, classifier
        assert len(graph.layers) == 64
        # The second block widens 16 to 96 channels at 112x112; its depthwise layer halves the side:
        # 96 * 112 * 112 + 96 * 56 * 56 elements while it runs.
        assert figures(graph) == (
            96 * 112 * 112,
            96 * 112 * 112 + 96 * 56 * 56,
            96 * 112 * 112 + 96 * 56 * 56,
        )
        assert graph.plain()["features.2.conv.1.0"] == (("features.2.conv.0.0",), ("features.2.conv.1.0",))

    def test_resnet_18(self) -> None:
        graph = trace(torchvision_model("resnet18"), (3, 224, 224))
        assert graph.weights == 11_689_512
        # 20 convolutions, max pooling, 8 additions, average pooling, classifier
        assert len(graph.layers) == 31
        # The max pooling reads 64 channels at 112x112 and writes them at 56x56.
        assert figures(graph)[1:] == (64 * 112 * 112 + 64 * 56 * 56,) * 2

    @pytest.mark.parametrize(
        "name",
        [
            "alexnet",
            "convnext_tiny",
            "densenet121",
            "mnasnet1_0",
            "regnet_y_400mf",
            "shufflenet_v2_x1_0",
            "squeezenet1_1",
            "swin_t",
            "vit_b_16",
        ],
    )
    def test_weights_are_what_torchvision_documents(self, name: str) -> None:
        module = torchvision_model(name)
        graph = trace(module, (3, 224, 224))
        documented = models.get_model_weights(name).DEFAULT.meta["num_params"]
        assert graph.weights == documented == sum(parameter.numel() for parameter in module.parameters())
        assert graph.unread_weights == 0
        assert sum(layer.weights for layer in graph.layers) == documented
        assert graph.tensors[graph.layers[-1].outputs[0]].elements == 1000
        assert least_peak(graph.plain(), graph.sizes(4)).exact

    def test_googlenet_does_not_read_its_auxiliary_classifiers(self) -> None:
        graph = trace(torchvision_model("googlenet"), (3, 64, 64))
        assert graph.weights - graph.unread_weights == 6_624_904  # documented, without them


class TestOwnNetworks:
    """The same architecture, once lowered and once traced from its torch module."""

    @pytest.mark.parametrize("seed", range(40))
    def test_lowered_and_traced_agree(self, seed: int) -> None:
        architecture = random_architecture(random.Random(seed))
        graph = lower(architecture, Shape(3, 8, 8), classes=10)
        with weightless():
            module = build_network(graph, seed=0)
        traced = trace(module, graph.input_shape)
        assert traced.weights == graph.weights
        assert traced.unread_weights == 0
        assert figures(traced) == figures(without_subsampling(best_order(graph)[0])), "it runs in its best order"

    def test_the_sample_covers_all_kinds_of_layers(self) -> None:
        graphs = [lower(random_architecture(random.Random(seed)), Shape(3, 8, 8), 10) for seed in range(40)]
        assert {layer.kind for graph in graphs for layer in graph.layers} == set(LayerKind)
        assert any(figures(graph)[1] > figures(graph)[2] for graph in graphs)
