"""The network as it is deployed: batch norm folded, layers in the order that needs least memory."""

import copy

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from memnas_core.graph import IMAGE, Graph
from memnas_core.memory import LeastPeak
from memnas_core.network import Network
from memnas_core.running_order import best_order


class DeployedNetwork(nn.Module):
    """A classifier for inference alone; made by `deploy`.

    It computes what the trained network computes, up to the rounding of folded weights. A tensor is dropped as soon
    as its last reader has run, and whatever is exported from this module has its layers in the order of `graph`.

    Attributes:
        graph: The layers in running order.
        least: The peak of this order, in float32 and at batch 1, and whether no order needs less.
        layers: The module of each layer. A convolution is a convolution with a bias and a ReLU. The ReLU does not
            overwrite here: around a tensor that is overwritten, torch's export moves a subsampling, which is a view,
            to its first reader, and the order would be lost. Runtimes fuse the two, or overwrite by themselves.
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
        self.eval()
        self.requires_grad_(requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores.

        Args:
            image: Normalised images, shape (batch, channels, height, width).

        Returns:
            Shape (batch, classes).
        """
        tensors = {IMAGE: image}
        for layer in self.graph.layers:
            tensors[layer.name] = self.layers[layer.name](*(tensors[name] for name in layer.inputs))
            for name in self._dead_after[layer.name]:
                del tensors[name]
        return tensors[self.graph.output]


def deploy(network: Network) -> DeployedNetwork:
    """Return a network ready to be exported; the trained one is left as it is.

    Args:
        network: A trained network, on the CPU.

    Returns:
        A copy in evaluation mode, without batch norm and without gradients, its weights in the default layout.
    """
    graph, least = best_order(network.graph)
    layers = nn.ModuleDict({layer.name: _folded(network.layers[layer.name]) for layer in graph.layers})
    return DeployedNetwork(graph, least, layers)


def _folded(module: nn.Module) -> nn.Module:
    """Copy a layer, batch norm folded into the convolution before it."""
    if not isinstance(module, nn.Sequential):
        return copy.deepcopy(module).eval()
    convolution, batch_norm, _ = copy.deepcopy(module).eval()
    assert isinstance(convolution, nn.Conv2d), "the one sequence of modules in a network"
    assert isinstance(batch_norm, nn.BatchNorm2d), "the one sequence of modules in a network"
    folded = fuse_conv_bn_eval(convolution, batch_norm)
    folded.weight.data = folded.weight.data.contiguous()
    return nn.Sequential(folded, nn.ReLU())
