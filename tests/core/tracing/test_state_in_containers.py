"""State in lists, dictionaries and objects, and networks left as they were found; figures worked out by hand."""

import logging
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from memnas_core.tracing.trace import trace
from tests.core.tracing.small_networks import Net, figures


def cache() -> Tensor:
    return torch.zeros(1, 64, 8)


class Attention(nn.Module):
    """A product of a row of 8 with a cache of 64 keys, one of which it writes, kept wherever `find` says."""

    def __init__(self, kept: object, find: Callable[[object], Tensor]) -> None:
        super().__init__()
        self.fc, self.kept, self.find = nn.Linear(8, 8), kept, find

    def forward(self, row: Tensor) -> Tensor:
        keys = self.find(self.kept)
        keys[:, 3:4] = self.fc(row)
        return row @ keys.transpose(1, 2)


@pytest.mark.parametrize(
    ("kept", "find", "name"),
    [
        (cache(), lambda kept: kept, "kept"),
        ([(torch.zeros(1), cache())], lambda kept: kept[0][1], "kept.0.1"),
        ({"layer": {"keys": cache()}}, lambda kept: kept["layer"]["keys"], "kept.layer.keys"),
        (deque([cache()]), lambda kept: kept[0], "kept.0"),
        (SimpleNamespace(keys=cache()), lambda kept: kept.keys, "kept.keys"),
        ([SimpleNamespace(keys=[cache()])], lambda kept: kept[0].keys[0], "kept.0.keys.0"),
    ],
)
def test_a_cache_is_found(kept: object, find: Callable[[object], Tensor], name: str) -> None:
    graph = trace(Attention(kept, find), (1, 8))
    assert graph.state == (name,)
    # the cache of 512 in every step, and: row 8 + fc 8 | row, fc | row 8 + scores 64
    assert figures(graph)[1:] == (512 + 8 + 64, 512 + 8 + 64)


def drop_first(rows: list[Tensor], row: Tensor) -> None:
    rows.pop(0)
    rows.append(row)


def write_into_the_oldest(rows: list[Tensor], row: Tensor) -> None:
    oldest = rows.pop(0)
    oldest.copy_(row)
    rows.append(oldest)


@pytest.mark.parametrize(
    ("make", "move", "figure"),
    [
        # The four old rows stay, and the new one from its product on: 32 + 8 + stack 32 + sum 8.
        (list, drop_first, 80),
        (lambda rows: deque(rows, maxlen=4), deque.append, 80),
        # The new row is copied into an old one and is gone: 32 + 32 + 8.
        (list, write_into_the_oldest, 72),
    ],
)
def test_the_last_rows(make: Callable[[list[Tensor]], object], move: Callable[..., None], figure: int) -> None:
    def forward(net: Net, row: Tensor) -> Tensor:
        move(net.rows, row * 2)
        return torch.stack(tuple(net.rows)).sum(0)

    rows = [torch.zeros(1, 8) for _ in range(4)]
    network = Net(forward)
    network.rows = make(rows)
    graph = trace(network, (8,))
    assert graph.state == ("rows.0", "rows.1", "rows.2", "rows.3")
    assert figures(graph)[1] == figure
    assert all(now is before for now, before in zip(network.rows, rows, strict=True))


def test_two_names_get_one_new_tensor() -> None:
    def forward(net: Net, row: Tensor) -> Tensor:
        old = net.first + net.second
        net.first = net.second = net.fc(row)
        return old + net.first

    network = Net(forward, first=torch.zeros(1, 8), second=torch.zeros(1, 8), fc=nn.Linear(8, 8))
    graph = trace(network, (8,))
    assert graph.state == ("first", "second")
    # 16 for the state and: row 8 + old sum 8 | + fc 8 | old sum 8 + fc 8 + result 8
    assert figures(graph)[1] == 16 + 24


def test_a_network_is_left_as_it_was_found() -> None:
    class Grows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.seen, self.last, self.tags = nn.Linear(8, 8), [torch.ones(2)], {"row": None}, {"new"}

        def forward(self, row: Tensor) -> Tensor:
            made = self.fc(row)
            self.seen.append(made)
            self.last["row"], self.last["more"] = made, made
            self.tags.clear()
            self.register_buffer("buffer", made)
            self.parameter = nn.Parameter(torch.zeros(8))
            self.late = nn.ReLU()
            del self.fc.bias
            return self.late(made + self.parameter)

    network = Grows()
    names, seen = list(network.state_dict()), list(network.seen)
    trace(network, (8,))
    assert list(network.state_dict()) == names == ["fc.weight", "fc.bias"]
    assert (network.seen, network.last, network.tags) == (seen, {"row": None}, {"new"})
    assert not hasattr(network, "late")


def test_objects_that_hold_each_other() -> None:
    first, second = SimpleNamespace(), SimpleNamespace(rows=[])
    first.other, second.other = second, first
    second.rows.append(second.rows)
    network = Net(lambda net, row: net.fc(row), fc=nn.Linear(8, 8), first=first)
    assert figures(trace(network, (8,)))[1] == 16


def test_what_the_whole_process_shares_stays_as_it_is() -> None:
    """A logger leads to all others; one that a network makes when it runs stays known."""

    def forward(net: Net, row: Tensor) -> Tensor:
        made.append(logging.getLogger(f"memnas_tests.{len(made)}"))
        return net.fc(row)

    made: list[logging.Logger] = []
    network = Net(forward, fc=nn.Linear(8, 8), logger=logging.getLogger("memnas_tests"))
    trace(network, (8,))
    assert made
    assert all(logging.getLogger(logger.name) is logger for logger in made)
