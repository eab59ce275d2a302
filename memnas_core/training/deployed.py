"""The network as it is deployed: batch norm folded, for inference only."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from memnas_core.memory.lifetimes import LeastPeak
from memnas_core.space.graph import Graph
from memnas_core.training.network import Network


class DeployedNetwork(Network):
    """A classifier for inference only, made by `deploy`.

    It computes what the trained network computes, up to the rounding of folded weights, and in the same order. Each
    layer of kind `CONV` is a convolution with a bias, and a ReLU. The ReLU does not work in place here: if a tensor is
    overwritten, torch's export moves a subsampling of it, which is a view, to the subsampling's first reader, and the
    order would be lost. Runtimes fuse convolution and ReLU, or let the ReLU work in place by themselves.
    """

    def __init__(self, graph: Graph, least: LeastPeak, layers: nn.ModuleDict) -> None:
        super().__init__(graph, least, layers)
        self.eval()
        self.requires_grad_(requires_grad=False)


def deploy(network: Network) -> DeployedNetwork:
    """Return a network that is ready to be exported; the trained network is left as it is.

    Args:
        network: Trained network on the CPU.

    Returns:
        Copy in evaluation mode, without batch norm and gradients, with its weights in the default layout.
    """
    layers = nn.ModuleDict({name: _folded(layer) for name, layer in network.layers.items()})
    return DeployedNetwork(network.graph, network.least, layers)


def _folded(module: nn.Module) -> nn.Module:
    """Return a copy of a layer, with batch norm folded into the convolution before it."""
    if not isinstance(module, nn.Sequential):
        return copy.deepcopy(module).eval()
    convolution, batch_norm, _ = copy.deepcopy(module).eval()
    assert isinstance(convolution, nn.Conv2d), "the one sequence of modules in a network"
    assert isinstance(batch_norm, nn.BatchNorm2d), "the one sequence of modules in a network"
    folded = fuse_conv_bn_eval(convolution, batch_norm)
    folded.weight.data = folded.weight.data.contiguous()
    return nn.Sequential(folded, nn.ReLU())
