"""Layouts in memory: those of a CPU, and what may be overwritten or joined because of them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, shared_graph
from memnas_core.tracing.trace import TracedGraph, trace
from tests.core.tracing.small_networks import Net, figures

KERNEL = nn.Parameter(torch.zeros(8, 8, 3, 3))
OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": lambda x: F.conv2d(x, KERNEL),
    "strided convolution": lambda x: F.conv2d(x, KERNEL, stride=2),
    "transposed convolution": lambda x: F.conv_transpose2d(x, KERNEL),
    "depthwise convolution": lambda x: F.conv2d(x, KERNEL[:, :1], groups=8),
    "convolution of double": lambda x: F.conv2d(x.double(), KERNEL.double()),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(8), torch.ones(8)),
    "group norm": lambda x: F.group_norm(x, 2),
    "instance norm": F.instance_norm,
    "softmax": lambda x: x.softmax(1),
    "gelu": F.gelu,
    "max pooling": lambda x: F.max_pool2d(x, 2),
    "max unpooling": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "average pooling": lambda x: F.adaptive_avg_pool2d(x, 3),
    "interpolation": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel shuffle": lambda x: F.channel_shuffle(x, 2),
    "reflection": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "replication": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "zero padding": lambda x: F.pad(x, (1, 1, 1, 1)),
    "roll": lambda x: x.roll(1, 2),
    "concatenation": lambda x: torch.cat((x, x), 1),
}


def steps(tensor: Tensor) -> list[int]:
    """Return the steps of the dimensions in which one can step."""
    return [step for side, step in zip(tensor.shape, tensor.stride(), strict=True) if side > 1]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize("order", [(0, 3, 1, 2), (0, 1, 2, 3)])
def test_results_have_the_layout_of_a_cpu(operation: Callable[[Tensor], Tensor], order: tuple[int, ...]) -> None:
    found = []

    def forward(_net: Net, x: Tensor) -> Tensor:
        result = operation(x.permute(order))
        found.append(steps(result))
        return result

    shape = [side for _, side in sorted(zip(order, (1, 8, 6, 6), strict=True))]
    with torch.no_grad():
        forward(Net(forward), torch.zeros(shape))
    trace(Net(forward), shape[1:])
    assert found[0] == found[1]


def arena(graph: TracedGraph) -> int:
    rules = ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=True)
    return plan_shared(shared_graph(graph.plain(), graph.sizes(1), graph.roles(), rules)).bytes


def test_tokens_that_were_an_image_need_no_copy() -> None:
    """6 x 6 tokens of 8 numbers (288) become an image of 16 channels (576), whose channels lie side by side."""

    def forward(net: Net, tokens: Tensor) -> Tensor:
        return net.conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()

    network = Net(forward, conv=nn.Conv2d(8, 16, 3, padding=1))
    image = network.conv(torch.zeros(1, 6, 6, 8).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert image.contiguous() is image
    graph = trace(network, (6, 6, 8))
    assert figures(graph)[1] == 288 + 576
    assert len(graph.layers) == 1


def test_a_residual_connection_around_tokens_works_in_place() -> None:
    def forward(net: Net, tokens: Tensor) -> Tensor:
        image = net.embed(tokens).permute(0, 3, 1, 2)
        return image + net.conv(image)

    network = Net(forward, embed=nn.Linear(8, 8), conv=nn.Conv2d(8, 8, 3, padding=1))
    assert arena(trace(network, (6, 6, 8))) == 288 + 288


def test_channels_side_by_side_are_not_joined() -> None:
    def forward(net: Net, image: Tensor) -> Tensor:
        return torch.cat((net.left(image), net.right(image)), 1)

    network = Net(forward, left=nn.Conv2d(3, 8, 1), right=nn.Conv2d(3, 8, 3, padding=1))
    assert trace(network, (3, 6, 6)).layers[-1].joins
    network.to(memory_format=torch.channels_last)
    assert forward(network, torch.zeros(1, 3, 6, 6)).stride() == (576, 1, 96, 16)
    assert not trace(network, (3, 6, 6)).layers[-1].joins


def survives_in_place(conv: nn.Module, image: Tensor) -> bool:
    """Convolve channel by channel, each over its input's channel in the memory of the input, and compare with torch."""
    expected = conv(image)
    memory = image.clone().as_strided((image.numel(),), (1,))
    inside = memory.as_strided(image.shape, image.stride())
    result = memory.as_strided(expected.shape, expected.stride())
    for batch in range(len(image)):
        for channel in range(image.shape[1]):
            only = torch.zeros_like(image)
            only[batch, channel] = inside[batch, channel]
            result[batch, channel] = conv(only)[batch, channel]
    return torch.equal(result, expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("order", "is_possible"), [((0, 1, 2, 3), True), ((0, 3, 1, 2), True), ((0, 2, 1), False), ((0, 1, 2), True)]
)
def test_depthwise_in_place(order: tuple[int, ...], is_possible: bool, stride: int) -> None:
    kind = nn.Conv2d if len(order) == 4 else nn.Conv1d
    conv = kind(8, 8, 3, stride=stride, padding=1, groups=8)
    shape = [side for _, side in sorted(zip(order, (1, 8, 6, 6), strict=False))]

    def forward(net: Net, image: Tensor) -> Tensor:
        return net.conv(image.permute(order))

    with torch.no_grad():
        assert survives_in_place(conv, torch.rand(shape).permute(order)) == is_possible
    assert trace(Net(forward, conv=conv), shape[1:]).depthwise() == ({"conv"} if is_possible else frozenset())


def test_depthwise_of_a_part_of_the_channels_has_memory_of_its_own() -> None:
    graph = trace(Net(lambda net, image: net.conv(image[:, 2:6]), conv=nn.Conv2d(4, 4, 3, groups=4)), (8, 6, 6))
    assert graph.depthwise() == frozenset()


def test_a_global_depthwise_convolution() -> None:
    graph = trace(Net(lambda net, image: net.conv(image), conv=nn.Conv2d(8, 8, 6, groups=8)), (8, 6, 6))
    assert graph.depthwise() == {"conv"}
