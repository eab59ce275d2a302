"""Lifetimes of inputs that are returned, and of what a network keeps from one run to the next; worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, shared_graph
from memnas_core.memory.lifetimes import peaks
from memnas_core.tracing.program import trace_program
from memnas_core.tracing.recorder import NetworkInput
from memnas_core.tracing.trace import TracedGraph, trace, trace_inputs
from tests.core.memory.naive_lifetimes import all_orders


def arena(graph: TracedGraph, counts_inputs: bool = True, counts_outputs: bool = True) -> int:
    """Return the arena in elements, with layers in the order given."""
    rules = ArenaRules(in_place=True, direct_concats=True, counts_inputs=counts_inputs, counts_outputs=counts_outputs)
    return plan_shared(shared_graph(graph.plain(), graph.sizes(1), graph.roles(), rules)).bytes


def figures(graph: TracedGraph) -> tuple[int, int, int]:
    return tuple(peaks(graph.plain(), graph.sizes(1)))


class TestReturnedInputs:
    def test_an_input_that_is_returned_stays_to_the_end(self) -> None:
        class Pyramid(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)

            def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
                return image, self.b(self.a(image))

        graph = trace(Pyramid(), (3, 8, 8))
        # 192 + 64 | 192 + 64 + 64; it was 192 + 64 | 64 + 64
        assert figures(graph) == (192 + 64, 192 + 128, 192 + 128)
        assert arena(graph) == 192 + 128
        assert arena(graph, counts_inputs=False) == 128
        assert graph.returned == ("image", "b")

    def test_an_input_that_is_only_returned_is_in_memory(self) -> None:
        class Both(nn.Module):
            def forward(self, first: Tensor, second: Tensor, third: Tensor) -> list[Tensor]:  # noqa: ARG002
                return [first.flatten(), second.relu()]

        graph = trace_inputs(Both(), [NetworkInput((size,)) for size in (5, 7, 9)])
        assert figures(graph) == (12, 5 + 7 + 7, 5 + 7 + 7)  # nothing needs the third
        assert arena(graph) == 12

    def test_an_input_that_is_returned_is_not_overwritten(self) -> None:
        class Gate(nn.Module):
            def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
                return image, image.sigmoid()

        assert arena(trace(Gate(), (5,))) == 10


class Cache(nn.Module):
    """A cache of 64 rows of 8, into which each run writes one; `keep` says where the module has it."""

    def __init__(self, keep: str) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)
        if keep == "buffer":
            self.register_buffer("cache", torch.zeros(1, 64, 8))
        elif keep == "attribute":
            self.cache = torch.zeros(1, 64, 8)
        else:
            self.caches = [torch.zeros(1, 64, 8)]

    def forward(self, row: Tensor) -> Tensor:
        cache: Tensor = self.cache if hasattr(self, "cache") else self.caches[0]
        cache[:, 3:4] = self.fc(row)
        return (cache * row).sum(1)


class Window(nn.Module):
    """The last four rows, put together anew in each run."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(1, 4, 8))

    def forward(self, row: Tensor) -> Tensor:
        self.rows = torch.cat((self.rows[:, 1:], row), dim=1)
        return self.rows.sum(1)


class Hidden(nn.Module):
    """A recurrent cell that keeps its hidden values as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.hidden = nn.Linear(8, 8), torch.zeros(1, 8)

    def forward(self, row: Tensor) -> Tensor:
        self.hidden = torch.tanh(self.fc(row) + self.hidden)
        return self.hidden.sum(1)


class TestState:
    @pytest.mark.parametrize("keep", ["buffer", "attribute", "list"])
    def test_a_cache_that_is_written_outlives_the_call(self, keep: str) -> None:
        graph = trace(Cache(keep), (1, 8))
        # 512 for the cache in every step, and: row 8 + fc 8 | row, fc | row + product 512 | product + sum 8
        assert figures(graph)[1:] == (512 + 8 + 512, 512 + 8 + 512)
        assert arena(graph) == 512 + 8 + 512, "the product must not be written over the cache"
        assert arena(graph, counts_inputs=False, counts_outputs=False) == 1024, "nobody else provides the cache"
        assert graph.state == (("caches.0",) if keep == "list" else ("cache",))

    def test_a_buffer_that_gets_a_new_tensor(self) -> None:
        # The old rows 32 are in memory all the time, the new rows from the concatenation on, as both are needed there.
        graph = trace(Window(), (1, 8))
        assert figures(graph)[1] == 32 + 8 + 32
        assert graph.plain()["cat"] == (("rows", "input"), ("cat",))
        assert graph.plain()["output"][0] == ("rows", "cat", "sum")

    def test_an_attribute_that_gets_a_new_tensor(self) -> None:
        module = Hidden()
        before = module.hidden
        graph = trace(module, (8,))
        assert module.hidden is before
        # hidden 8 and: row 8 + fc 8 | fc 8 + sum 8 | new hidden 8 + its sum 1
        assert figures(graph)[1] == 24
        assert graph.state == ("hidden",)

    def test_what_a_module_begins_to_hold_stays_to_the_end(self) -> None:
        class Remembers(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.wide, self.narrow = nn.Linear(8, 100), nn.Linear(100, 8)

            def forward(self, row: Tensor) -> Tensor:
                self.seen = self.wide(row)
                return self.narrow(self.narrow(self.seen).repeat(1, 13)[:, :100])

        module = Remembers()
        # wide 100 + narrow 8 + repeated 104, instead of 8 + 104
        assert figures(trace(module, (8,)))[1] == 212
        assert not hasattr(module, "seen")

    def test_what_reads_the_old_content_runs_before_it_is_overwritten(self) -> None:
        class Swap(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(8, 8)
                self.register_buffer("last", torch.zeros(1, 8))

            def forward(self, row: Tensor) -> Tensor:
                difference = row - self.last
                self.last.copy_(row)
                return self.fc(difference) + self.last

        graph = trace(Swap(), (8,))
        orders = list(all_orders(graph.plain()))
        assert len(orders) == 2  # the copy before or behind fc
        assert all(order.index("sub") < order.index("copy") < order.index("add") for order in orders)
        # last 8 and: row 8 + difference 8 | row + difference (the copy has the memory of `last`) | 8 + 8 | 8 + 8
        assert figures(graph)[1] == 24
        assert arena(graph) == 24

    def test_counters_are_constants(self) -> None:
        class Counted(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("runs", torch.zeros(1000))

            def forward(self, row: Tensor) -> Tensor:
                self.runs += 1
                return row.relu()

        graph = trace(Counted(), (8,))
        assert (graph.state, figures(graph)[1]) == ((), 16)

    @pytest.mark.parametrize("make", [lambda: Cache("buffer"), Window])
    @pytest.mark.parametrize("decomposed", [False, True])
    def test_exported_programs(self, make: Callable[[], nn.Module], decomposed: bool, tmp_path: Path) -> None:
        path = tmp_path / "program.pt2"
        program = torch.export.export(make().eval(), (torch.zeros(1, 1, 8),))
        if decomposed:
            program = program.run_decompositions()
        torch.export.save(program, path)
        graph, _ = trace_program(path)
        traced = trace(make(), (1, 8))
        assert len(graph.state) == 1
        if not decomposed:
            assert figures(graph)[1:] == figures(traced)[1:]
        else:  # the program makes a second cache, and does not say that it could be the first
            assert figures(graph)[1] >= figures(traced)[1]
