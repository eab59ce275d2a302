"""Inputs of all shapes, types and places, and batches of several images."""

import pytest
import torch
from torch import Tensor, nn

from flows.memory.inputs import KINDS
from memnas_core.errors import InputError
from memnas_core.tracing.inputs import DTYPES, NetworkInput, call_arguments
from memnas_core.tracing.trace import TracedGraph, trace_inputs
from tests.core.tracing.small_networks import Net, conv


def operations(graph: TracedGraph) -> list[str]:
    return [layer.operations[0] for layer in graph.layers]


def test_the_command_and_the_core_know_the_same_types() -> None:
    assert set(KINDS) == set(DTYPES)


def test_one_number_an_image() -> None:
    """A step of a diffusion network: an image and the number of the step, which has shape (batch,)."""

    def forward(net: Net, image: Tensor, step: Tensor) -> Tensor:
        return net.conv(image) + net.embed(step)[:, :, None, None]

    network = Net(forward, conv=conv(3, 8), embed=nn.Embedding(100, 8))
    graph = trace_inputs(network, (NetworkInput((3, 8, 8)), NetworkInput((), "int")))
    assert operations(graph) == ["convolution", "embedding", "add"]
    assert graph.sizes(1) == {"image": 192, "input": 1, "conv": 512, "embed": 8, "add": 512}


def test_types() -> None:
    def forward(net: Net, x: Tensor, mask: Tensor) -> Tensor:
        assert (x.dtype, mask.dtype) == (torch.float16, torch.bool)
        return net.fc(x.masked_fill(mask, 0.0))

    network = Net(forward, fc=nn.Linear(4, 2)).half()
    graph = trace_inputs(network, (NetworkInput((4,), "half"), NetworkInput((4,), "bool")))
    assert operations(graph) == ["masked_fill", "addmm"]


def test_dictionaries_tuples_and_names() -> None:
    def forward(net: Net, batch: dict[str, Tensor], *, state: tuple[Tensor, Tensor]) -> Tensor:
        hidden, cell = state
        return net.fc(batch["x"] + hidden) + cell

    entries = (
        NetworkInput((4,), name="batch.x"),
        NetworkInput((2,), name="state.1"),
        NetworkInput((4,), name="state.0"),
    )
    graph = trace_inputs(Net(forward, fc=nn.Linear(4, 2)), entries)
    assert operations(graph) == ["add", "addmm", "add"]
    assert graph.weights == 10


def test_names_that_contradict_each_other() -> None:
    tensor = torch.zeros(1)
    for names in (("a", "a"), ("a", "a.b"), ("a.b", "a")):
        entries = [NetworkInput((4,), name=name) for name in names]
        with pytest.raises(InputError, match=r"--input a.*=4: expected each name once"):
            call_arguments(entries, (tensor, tensor))
    with pytest.raises(InputError, match=r"found 2 .*'flag'"):
        trace_inputs(nn.ReLU(), (NetworkInput((4,)), NetworkInput((4,), name="flag")))


@pytest.mark.parametrize("batch", [1, 5])
def test_a_batch(batch: int) -> None:
    """Activations grow with the batch, weights and tables of the network do not."""

    def forward(net: Net, image: Tensor) -> Tensor:
        return net.fc((net.norm(net.conv(image)) + net.table).flatten(1))

    network = Net(forward, conv=conv(3, 4), norm=nn.BatchNorm2d(4), fc=nn.Linear(256, 10), table=torch.ones(1, 4, 8, 8))
    graph = trace_inputs(network, (NetworkInput((3, 8, 8)),), batch)
    assert graph.sizes(1) == {"image": 192 * batch, "conv": 256 * batch, "fc": 10 * batch}
    assert graph.shapes() == {"image": (3, 8, 8), "conv": (4, 8, 8), "fc": (10,)}
    assert graph.parameters(fold_batch_norm=True) == (108 + 2560, 4 + 10)
