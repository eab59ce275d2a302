"""The torch network of a dataflow graph: one module per layer, run in the order that needs least memory."""

import torch
from torch import Tensor, nn

from memnas_core.memory.lifetimes import LeastPeak
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import Layer, LayerKind


class Network(nn.Module):
    """A classifier made from a graph by `build_network`.

    A tensor is dropped as soon as its last reader has run, so that the memory in use follows the graph's
    lifetimes. Exported files have their layers in the order in which they run here.

    Attributes:
        graph: Graph with its layers in running order.
        least: Peak of this order, in float32 and at batch 1, and whether it is certain that no order needs less.
        layers: Layer name -> module.
    """

    def __init__(self, graph: Graph, least: LeastPeak, layers: nn.ModuleDict) -> None:
        super().__init__()
        self.graph = graph
        self.least = least
        self.layers = layers
        last_reader = {name: layer.name for layer in graph.layers for name in layer.inputs}
        self._dead_after = {
            layer.name: tuple(name for name in dict.fromkeys(layer.inputs) if last_reader[name] == layer.name)
            for layer in graph.layers
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores.

        Args:
            image: Normalised images, shape (batch, channels, height, width).

        Returns:
            Class scores, shape (batch, classes).
        """
        tensors = {IMAGE: image}
        for layer in self.graph.layers:
            tensors[layer.name] = self.layers[layer.name](*(tensors[name] for name in layer.inputs))
            for name in self._dead_after[layer.name]:
                del tensors[name]
        return tensors[self.graph.output]


def build_network(graph: Graph, seed: int) -> Network:
    """Return the graph's network with freshly drawn weights.

    Args:
        graph: Graph with its layers in any order in which they can run; the network runs them in the best one. Weights
            are drawn in the order given, so that a better search for orders changes no weight.
        seed: Seed of the weights; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.ModuleDict({layer.name: _module(layer) for layer in graph.layers})
    return Network(*best_order(graph), layers)


class Sum(nn.Module):
    """A sum of two inputs of the same shape."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return `first + second`, shape (batch, channels, height, width)."""
        return first + second


class Concat(nn.Module):
    """A concatenation of inputs along the channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the concatenation, shape (batch, sum of channels, height, width)."""
        return torch.cat(inputs, dim=1)


class Subsample(nn.Module):
    """An identity with a stride: it keeps every `step`-th row and column."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, image: Tensor) -> Tensor:
        """Return the rows and columns kept, shape (batch, channels, height / step, width / step)."""
        return image[:, :, :: self.step, :: self.step]


class GlobalAveragePool(nn.Module):
    """An average over all pixels."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the mean of each channel, shape (batch, channels)."""
        return image.mean(dim=(2, 3))


def _module(layer: Layer) -> nn.Module:
    channels = layer.output.channels
    match layer.kind:
        case LayerKind.CONV:
            return nn.Sequential(
                nn.Conv2d(
                    layer.in_channels,
                    channels,
                    layer.kernel,
                    layer.stride,
                    padding=_same_padding(layer),
                    dilation=layer.dilation,
                    groups=layer.groups,
                    bias=False,
                ),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
        case LayerKind.AVERAGE_POOL:
            return nn.AvgPool2d(layer.kernel, layer.stride, _same_padding(layer), count_include_pad=False)
        case LayerKind.MAX_POOL:
            return nn.MaxPool2d(layer.kernel, layer.stride, _same_padding(layer))
        case LayerKind.SUBSAMPLE:
            return Subsample(layer.stride[0])
        case LayerKind.SUM:
            return Sum()
        case LayerKind.CONCAT:
            return Concat()
        case LayerKind.GLOBAL_AVERAGE_POOL:
            return GlobalAveragePool()
        case LayerKind.LINEAR:
            return nn.Linear(layer.in_channels, channels)


def _same_padding(layer: Layer) -> tuple[int, int]:
    height, width = layer.kernel
    return layer.dilation * (height // 2), layer.dilation * (width // 2)
