"""Random networks with views, writes in place, noise and state, and recurrent ones, compared with a second recorder."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from memnas_core.errors import InputError
from memnas_core.memory.lifetimes import peaks
from memnas_core.tracing.trace import trace
from tests.core.tracing.second_recorder import Figures, second_figures

WIDTH = 8


def half(row: Tensor) -> Tensor:
    return row[:, :4]


def whole(row: Tensor) -> Tensor:
    return row if row.shape[1] == WIDTH else torch.cat((row, row), 1)


def transposed(row: Tensor) -> Tensor:
    return row.view(1, 2, -1).transpose(1, 2).relu().reshape(1, -1) if row.is_contiguous() else row


def filled(row: Tensor) -> Tensor:
    room = torch.zeros(1, WIDTH)
    room[:, :4] = half(row)
    return room


def written(row: Tensor, other: Tensor) -> Tensor:
    if row is not other:
        half(row).copy_(half(other))
    return row


def same_width(row: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    return (row, other) if row.shape == other.shape else (half(row), half(other))


def kept(net: "RandomNet", row: Tensor, name: str) -> Tensor:
    setattr(net, name, whole(row))
    return row


def cached(net: "RandomNet", row: Tensor, name: str) -> Tensor:
    half(getattr(net, name)).copy_(half(row))
    return row


def remembered(net: "RandomNet", row: Tensor, name: str) -> Tensor:
    first, second = same_width(getattr(net, name), row)
    return first + second


Step = Callable[["RandomNet", Tensor, Tensor, str], Tensor]

STEPS: list[Step] = [
    lambda net, row, _other, _name: whole(row) @ net.weight,
    lambda _net, row, _other, _name: row.relu(),
    lambda _net, row, _other, _name: row.relu_(),
    lambda _net, row, _other, _name: row.mul_(2),
    lambda _net, row, _other, _name: (row * 2 + 1).sigmoid(),
    lambda _net, row, _other, _name: row.clone(),
    lambda _net, row, _other, _name: half(row),
    lambda _net, row, _other, _name: half(row).relu_(),
    lambda _net, row, _other, _name: transposed(row),
    lambda _net, row, _other, _name: filled(row),
    lambda _net, row, _other, _name: torch.randn_like(row),
    lambda _net, row, other, _name: torch.add(*same_width(row, other)),
    lambda _net, row, other, _name: Tensor.add_(*same_width(row, other)),
    lambda _net, row, other, _name: torch.cat((half(row), half(other)), 1),
    lambda _net, row, other, _name: written(row, other),
    lambda net, row, _other, name: kept(net, row, name),
    lambda net, row, _other, name: cached(net, row, name),
    lambda net, row, _other, name: remembered(net, row, name),
]


class RandomNet(nn.Module):
    """Three to ten steps, each on what any step before has made."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        self.weight = nn.Parameter(torch.zeros(WIDTH, WIDTH))
        self.register_buffer("first", torch.zeros(1, WIDTH))
        self.register_buffer("second", torch.zeros(1, WIDTH))
        count = rng.randint(3, 10)
        self.steps = [
            (rng.choice(STEPS), rng.randint(0, place), rng.randint(0, place), rng.choice(("first", "second")))
            for place in range(count)
        ]
        self.returned = rng.sample(range(1, count + 1), rng.randint(1, 3))

    def forward(self, image: Tensor) -> list[Tensor]:
        made = [image]
        for step, row, other, name in self.steps:
            made.append(step(self, made[row], made[other], name))
        return [made[place] for place in self.returned]


@pytest.mark.parametrize("begin", [0, 100])
def test_against_a_second_recorder(begin: int) -> None:
    compared = 0
    for seed in range(begin, begin + 100):
        network = RandomNet(seed).eval()
        try:
            graph = trace(network, (WIDTH,))
        except InputError:  # it returns only its input or constants
            continue
        found = Figures(
            peaks(graph.plain(), graph.sizes(1)).sequential,
            sum(bool(layer.operations) for layer in graph.layers),
            tuple(sorted(graph.state)),
        )
        assert found == second_figures(network, torch.rand(1, WIDTH)), f"seed {seed}"
        compared += 1
    assert compared > 80


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize(
    "network",
    [
        nn.RNN(5, 7, batch_first=True),
        nn.LSTM(5, 7, batch_first=True),
        nn.LSTM(5, 7, bias=False, num_layers=2, batch_first=True),
        nn.LSTM(16, 16, proj_size=4, batch_first=True),
        nn.GRU(5, 7, batch_first=True),
        nn.GRU(5, 7, num_layers=2, bidirectional=True, batch_first=True),
    ],
)
def test_recurrent_networks(network: nn.RNNBase, steps: int) -> None:
    graph = trace(network, (steps, network.input_size))
    image = torch.rand(1, steps, network.input_size)
    torch._C._set_mkldnn_enabled(False)  # else an LSTM is one operation
    try:
        expected = second_figures(network.eval(), image)
    finally:
        torch._C._set_mkldnn_enabled(True)
    found = peaks(graph.plain(), graph.sizes(1)).sequential
    assert (found, sum(bool(layer.operations) for layer in graph.layers)) == expected[:2]
