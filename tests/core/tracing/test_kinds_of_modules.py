"""Modules that are built in another way than from plain layers with plain parameters."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from memnas_core.tracing.trace import TracedGraph, trace
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, figures


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(module)


def operations(graph: TracedGraph) -> list[tuple[str, ...]]:
    return [layer.operations for layer in graph.layers]


def test_lazy_modules_get_their_sizes_and_stay_lazy() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
    graph = trace(lazy, IMAGE_SHAPE)
    assert graph.weights == 8 * 27 + 8 + 16 + 2880 + 10 == trace(plain, IMAGE_SHAPE).weights
    assert graph == trace(plain, IMAGE_SHAPE)
    assert isinstance(lazy[0], nn.LazyConv2d)


def test_data_parallel() -> None:
    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    parallel = nn.DataParallel(inner)
    parallel.device_ids = [0, 1]  # as on a machine with two GPUs
    graph = trace(nn.Sequential(parallel), (8,))
    assert operations(graph) == operations(trace(inner, (8,)))
    assert (graph.weights, graph.unread_weights) == (64 + 8 + 16 + 2, 0)
    assert parallel.device_ids == [0, 1]


@pytest.mark.parametrize("whole", [False, True])
def test_scripted_modules(whole: bool) -> None:
    if whole:
        network = scripted(nn.Sequential(nn.Conv2d(3, 8, 3), Swish()))
    else:
        network = nn.Sequential(nn.Conv2d(3, 8, 3), scripted(Swish()))
    graph = trace(network, IMAGE_SHAPE)
    assert operations(graph) == [("convolution",), ("sigmoid",), ("mul",)]
    assert (graph.weights, graph.unread_weights) == (8 * 27 + 8, 0)


def test_scripted_layers_are_measured_like_plain_ones() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU())
            self.cell, self.norm = nn.LSTM(6, 7, batch_first=True), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.cell(self.before(x))[0]).softmax(-1)

    graph, plain = trace(scripted(Recurrent()), (4, 5)), trace(Recurrent(), (4, 5))
    assert operations(graph) == operations(plain)
    assert figures(graph) == figures(plain)
    assert graph.weights == plain.weights


@pytest.mark.parametrize("training", [False, True])
def test_exported_modules(training: bool) -> None:
    inner = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), conv(4, 2)).train(training)
    exported = torch.export.export(inner, (torch.zeros(1, *IMAGE_SHAPE),)).module()
    code = exported.code
    graph = trace(exported, IMAGE_SHAPE)
    assert operations(graph) == [("convolution", "native_batch_norm", "relu"), ("convolution",)]
    assert graph.weights == 108 + 8 + 72
    assert exported.code == code


def test_parameters_that_are_kept_elsewhere_too() -> None:
    """In a plain list, or as a view made when the network was built."""
    first, second = nn.Parameter(torch.zeros(8, 4)), nn.Parameter(torch.zeros(4, 8))

    def forward(net: Net, x: Tensor) -> Tensor:
        return (x @ net.kept[0].t()) @ net.kept[1]

    network = Net(forward, first=first, second=second, kept=[first.t(), second])
    graph = trace(network, (8,))
    assert (graph.weights, graph.unread_weights) == (64, 0)
    assert [layer.weights for layer in graph.layers] == [32, 32]


def test_parameters_without_data() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.LSTM(5, 7, batch_first=True))
    graph = trace(network, (6, 5))
    assert (graph.weights, graph.unread_weights) == (4 * 7 * (5 + 7 + 2), 0)
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert isinstance(next(network.parameters()), nn.Parameter)


def test_quantized_weights_of_torchao() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    quantization.quantize_(network, quantization.Int8WeightOnlyConfig())
    graph = trace(network, (64,))
    assert (graph.weights, graph.unread_weights) == (64 * 64 + 64 + 640 + 10, 0)
    assert [layer.weights for layer in graph.layers if layer.weights] == [4160, 650]


def test_compiled_modules() -> None:
    inner = nn.Sequential(conv(3, 4), nn.ReLU())
    assert operations(trace(torch.compile(inner), IMAGE_SHAPE)) == [("convolution", "relu")]
