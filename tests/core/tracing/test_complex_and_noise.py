"""Complex numbers are two elements, and random numbers take memory; figures worked out by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, shared_graph
from memnas_core.memory.lifetimes import peaks
from memnas_core.memory.report import memory_report
from memnas_core.tracing.trace import TracedGraph, trace
from tests.core.memory.naive_lifetimes import all_orders

RULES = ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=True)


def arena(graph: TracedGraph, order: tuple[str, ...] | None = None) -> int:
    """Return the arena in elements."""
    return plan_shared(shared_graph(graph.plain(), graph.sizes(1), graph.roles(), RULES, order)).bytes


class Filter(nn.Module):
    """A filter of the spectrum, as in GFNet: 16x16 real numbers have 16x9 complex ones."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.shift = nn.Parameter(torch.zeros(9, dtype=weight.dtype))

    def forward(self, image: Tensor) -> Tensor:
        weight, shift = (w if w.is_complex() else torch.view_as_complex(w) for w in (self.weight, self.shift))
        return torch.fft.irfft2(torch.fft.rfft2(image) * weight + shift, s=(16, 16))


class PairsFilter(Filter):
    """The same with a real parameter that holds pairs."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(8, 16, 9, 2))
        self.shift = nn.Parameter(torch.zeros(9, 2))


@pytest.mark.parametrize("module", [Filter(torch.zeros(8, 16, 9, dtype=torch.cfloat)), PairsFilter()])
def test_complex_numbers_are_two_elements(module: nn.Module) -> None:
    graph = trace(module, (8, 16, 16))
    image, spectrum = 8 * 16 * 16, 2 * 8 * 16 * 9
    assert peaks(graph.plain(), graph.sizes(1)) == (spectrum, image + spectrum, image + spectrum)
    assert arena(graph) == image + spectrum
    assert graph.weights == sum(parameter.numel() for parameter in module.parameters())
    stored = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    assert graph.parameters(fold_batch_norm=False).bytes(weight_bytes=4, bias_bytes=1) == stored
    assert memory_report(graph, 4, 4).param_bytes == stored
    assert graph.shapes()[graph.layers[0].name] == (8, 16, 9)


NOISE: dict[str, Callable[[Tensor], Tensor]] = {
    "like": torch.randn_like,
    "made": lambda like: torch.randn(like.shape, device=like.device),
    "on the processor": lambda like: torch.rand(like.shape),
    "written into room": lambda like: torch.empty_like(like).normal_(),
    "scaled": lambda like: torch.randn_like(like).mul_(2).add_(1),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
def test_noise_takes_memory(noise: Callable[[Tensor], Tensor]) -> None:
    class Sampled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.scale = (nn.Conv2d(3, 8, 3, padding=1) for _ in range(2))

        def forward(self, image: Tensor) -> Tensor:
            mean, scale = self.mean(image), self.scale(image)
            return mean + noise(scale) * scale

    graph = trace(Sampled(), (3, 8, 8))
    made = graph.layers[2]
    assert (made.inputs, graph.tensors[made.name].elements) == ((), 512), "it depends on no values"
    # sequential: 192 + 512 | 192 + 1024 | mean, scale and noise 1536 | product 2048 | 1536
    # minimum: scale | noise | the product while the image waits: 192 + 3 * 512 | mean 192 + 1024 | 1536
    assert peaks(graph.plain(), graph.sizes(1))[1:] == (2048, 192 + 1536)
    # As written, mean, scale and noise are in memory together, and what follows works in place.
    assert arena(graph) == 1536
    # In the order of minimum the product is made in place before the mean.
    assert arena(graph, ("scale", made.name, "mul", "mean", "add")) == 192 + 1024
    assert min(arena(graph, tuple(order)) for order in all_orders(graph.plain())) == 192 + 1024


def test_constants_made_on_the_way_take_none() -> None:
    class Shifted(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image + torch.arange(8.0) + torch.ones_like(image)

    assert [layer.operations for layer in trace(Shifted(), (3, 8, 8)).layers] == [("add", "add")]
