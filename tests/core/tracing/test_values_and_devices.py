"""A network may ask for the device of its tensors and for the values of its constants, as in a run on a CPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnas_core.errors import InputError
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import trace
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, figures

CPU = torch.device("cpu")


def on_its_device(net: Net, x: Tensor) -> Tensor:
    with torch.autocast(device_type=x.device.type, enabled=False):
        doubled = x.to(net.device) * 2
    assert x.is_cpu
    assert not x.is_meta
    return net.fc(doubled.cpu()) + torch.zeros(4).to(x.device)


def counted(net: Net, x: Tensor) -> Tensor:
    for _ in range(int(net.steps)):
        x = net.fc(x)
    return x


def flagged(net: Net, x: Tensor) -> Tensor:
    return net.fc(x) if net.flag else x


# Network, and its layers in order, by hand. Each is also run on zeros with data.
NETWORKS: dict[str, tuple[Callable[[], Net], tuple[int, ...], list[tuple[str, ...]]]] = {
    "device": (
        lambda: Net(on_its_device, fc=nn.Linear(4, 4), device=CPU),
        (4,),
        [("mul",), ("addmm", "add")],
    ),
    "device of a parameter": (
        lambda: Net(lambda net, x: net.fc(x.to(next(net.parameters()).device, x.dtype)), fc=nn.Linear(4, 4)),
        (4,),
        [("addmm",)],
    ),
    "tensor type": (
        lambda: Net(lambda net, x: net.fc(x.type(torch.FloatTensor)), fc=nn.Linear(4, 4)),
        (4,),
        [("addmm",)],
    ),
    "generator": (
        lambda: Net(
            lambda net, x: net.fc(x) + torch.randn(4, generator=torch.Generator(x.device), device=x.device),
            fc=nn.Linear(4, 4),
        ),
        (4,),
        [("addmm",), ("randn",), ("add",)],
    ),
    "flag in a buffer": (lambda: Net(flagged, fc=nn.Linear(4, 4), flag=torch.tensor(True)), (4,), [("addmm",)]),
    "number in a buffer": (lambda: Net(counted, fc=nn.Linear(4, 4), steps=torch.tensor(3)), (4,), [("addmm",)] * 3),
    "number in a parameter": (
        lambda: Net(
            lambda net, x: net.fc(x) ** net.power.item(), fc=nn.Linear(4, 4), power=nn.Parameter(torch.ones(()))
        ),
        (4,),
        [("addmm", "pow")],
    ),
    "mask in a buffer": (
        lambda: Net(lambda net, x: net.fc(x[:, net.keep]), fc=nn.Linear(3, 2), keep=torch.tensor([1, 0, 1, 1]).bool()),
        (4,),
        [("index",), ("addmm",)],
    ),
    "selection by a mask": (
        lambda: Net(
            lambda net, x: net.fc(x.masked_select(net.keep)), fc=nn.Linear(3, 2), keep=torch.tensor([1, 0, 1, 1]).bool()
        ),
        (4,),
        [("masked_select",), ("addmm",)],
    ),
    "sizes in a buffer": (
        lambda: Net(
            lambda net, x: net.fc(torch.cat(x.split(net.sizes.tolist(), 1)[::2], 1)),
            fc=nn.Linear(3, 2),
            sizes=torch.tensor([1, 1, 2]),
        ),
        (4,),
        [("cat",), ("addmm",)],
    ),
    "strides in place": (
        lambda: Net(lambda net, x: net.fc(net.fc(x).unsqueeze_(1).transpose_(1, 2).squeeze(2)), fc=nn.Linear(4, 4)),
        (4,),
        [("addmm",), ("addmm",)],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_devices_and_values_are_those_of_a_run(name: str) -> None:
    build, shape, layers = NETWORKS[name]
    network = build().eval()
    graph = trace(network, shape)
    assert [layer.operations for layer in graph.layers] == layers
    output = network(torch.zeros(1, *shape))
    assert graph.tensors[graph.returned[-1]].elements == output.numel()


def test_devices_that_the_machine_may_not_have() -> None:
    """A network written for a GPU is measured on any machine; nothing is copied between devices."""

    def forward(net: Net, x: Tensor) -> Tensor:
        mask = torch.ones(4, device="cuda") * torch.tensor(2.0, device=torch.device("cuda"))
        return (net.fc(x.cuda().to("cuda:1", torch.float32).to(device="cuda")) * mask.cuda()).cpu()

    graph = trace(Net(forward, fc=nn.Linear(4, 4)), (4,))
    assert [layer.operations for layer in graph.layers] == [("addmm", "mul")]


def test_values_of_the_image_stay_unknown() -> None:
    """A buffer into which something of the image was written is no constant any more."""

    def forward(net: Net, x: Tensor) -> Tensor:
        net.room[:] = net.fc(x)
        return x if net.room[0, 0] > 0 else -x

    with pytest.raises(InputError, match=r"local_scalar_dense.*depends on values"):
        trace(Net(forward, fc=nn.Linear(4, 4), room=torch.zeros(1, 4)), (4,))


def test_constants_are_left_as_they_were() -> None:
    def forward(net: Net, x: Tensor) -> Tensor:
        net.steps += 1
        net.plain[0][1:] *= 5
        with torch.no_grad():
            net.scale.zero_()
        net.room.copy_(x)
        return net.fc(x) * net.scale * int(net.steps) + net.plain[0]

    plain = [torch.arange(4.0)]
    network = Net(
        forward,
        fc=nn.Linear(4, 4),
        steps=torch.tensor(3),
        scale=nn.Parameter(torch.ones(4)),
        plain=plain,
        room=torch.ones(1, 4),
    )
    random = torch.random.get_rng_state()
    trace(network, (4,))
    assert (network.steps, plain[0].tolist()) == (3, [0, 1, 2, 3])
    assert network.scale.tolist() == [1] * 4
    assert network.room.tolist() == [[1] * 4]
    assert torch.equal(random, torch.random.get_rng_state())


def test_a_large_tensor_that_the_network_makes_takes_no_memory() -> None:
    def forward(net: Net, image: Tensor) -> Tensor:
        positions = torch.zeros(2**20, 2**20)  # 4 TiB
        return net.conv(image) + positions[:8, :8]

    assert len(trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE).layers) == 1


def test_kernels_are_not_fused_by_device() -> None:
    """Attention is two products and a softmax, also where torch has one kernel for all three on a CPU."""

    def forward(_net: Net, x: Tensor) -> Tensor:
        query = x.view(1, 2, 4, 4)
        return F.scaled_dot_product_attention(query, query, query)

    operations = [layer.operations[0] for layer in trace(Net(forward), (32,)).layers]
    assert [operations.count(name) for name in ("bmm", "safe_softmax")] == [2, 1]
    with weightless():
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert len(trace(layer, (4, 8)).layers) > 8
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch._C._get_mkldnn_enabled()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("made", [torch.Tensor.to_sparse_coo, torch.Tensor.to_sparse_csr, torch.Tensor.to_sparse_csc])
@pytest.mark.parametrize("as_buffer", [False, True])
@pytest.mark.parametrize("product", [torch.matmul, torch.sparse.mm])
def test_sparse_constants(
    made: Callable[[Tensor], Tensor], as_buffer: bool, product: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """A graph network: 16 nodes of 8 numbers, of which a layer makes 4, and a matrix of edges."""

    def forward(net: Net, nodes: Tensor) -> Tensor:
        return product(net.edges, net.layer(nodes[0])).relu()

    network = Net(forward, layer=nn.Linear(8, 4))
    network.edges = nn.Buffer(made(torch.eye(16))) if as_buffer else made(torch.eye(16))
    graph = trace(network, (16, 8))
    # 128 + 64 | 64 + 64
    assert figures(graph) == (128, 192, 192)
    assert [layer.operations[1:] for layer in graph.layers] == [(), ("relu",)]
    assert (graph.weights, graph.state) == (32 + 4, ())
