"""The network as it is deployed: batch norm folded, for inference alone."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from memnas_core.graph import Graph
from memnas_core.memory import LeastPeak
from memnas_core.network import Network


class DeployedNetwork(Network):
    """A classifier for inference alone; made by `deploy`.

    It computes what the trained network computes, up to the rounding of folded weights, and in the same order. A
    convolution is a convolution with a bias and a ReLU. The ReLU does not overwrite here: around a tensor that is
    overwritten, torch's export moves a subsampling, which is a view, to its first reader, and the order would be lost.
    Runtimes fuse the two, or overwrite by themselves.
    """

    def __init__(self, graph: Graph, least: LeastPeak, layers: nn.ModuleDict) -> None:
        super().__init__(graph, least, layers)
        self.eval()
        self.requires_grad_(requires_grad=False)


def deploy(network: Network) -> DeployedNetwork:
    """Return a network ready to be exported; the trained one is left as it is.

    Args:
        network: A trained network, on the CPU.

    Returns:
        A copy in evaluation mode, without batch norm and without gradients, its weights in the default layout.
    """
    layers = nn.ModuleDict({name: _folded(layer) for name, layer in network.layers.items()})
    return DeployedNetwork(network.graph, network.least, layers)


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
