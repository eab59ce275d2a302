"""The roles that traced layers play in an arena."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.lifetimes import peaks
from memnas_core.memory.parameters import parameter_count
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import trace
from memnas_core.training.network import build_network
from tests.core.arenas import roles_of
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, random_architecture, without_subsampling


class TestRoles:
    """Who may overwrite what, and what is joined in memory."""

    def test_additions_and_activations(self) -> None:
        def forward(net: Net, image: Tensor) -> tuple[Tensor, Tensor]:
            shared = net.conv(image)
            active = F.relu(shared)
            return shared + active, F.softmax(active, dim=1)

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert graph.roles() == LayerRoles(frozenset(("relu", "add")), frozenset(), frozenset(("add", "softmax")))

    def test_what_lies_differently_in_memory_is_not_overwritten(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            return shared + shared.transpose(2, 3)

        def stretched(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            return shared * shared.mean((2, 3), keepdim=True)

        assert not trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE).roles().elementwise
        assert trace(Net(stretched, conv=conv(3, 4)), IMAGE_SHAPE).roles().elementwise == {"mul"}

    @pytest.mark.parametrize(
        ("join", "joins"),
        [
            (lambda a, b: torch.cat((a, b), dim=1), True),
            (lambda a, b: torch.cat((a, b), dim=-3), True),
            (lambda a, b: F.relu(torch.cat((a, b), dim=1)), True),
            (lambda a, b: torch.cat((a, b), dim=2), False),  # rows of different channels take turns
            (lambda a, _: torch.cat((a, a), dim=1), False),
            (lambda a, b: torch.cat((a, b[:, :2]), dim=1), False),
            (lambda a, b: torch.cat((a, b.transpose(2, 3)), dim=1), False),
            (lambda a, _: torch.cat((a, torch.ones(1, 1, 8, 8)), dim=1), False),
        ],
    )
    def test_concatenations(self, join: Callable[[Tensor, Tensor], Tensor], joins: bool) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            return net.last(join(net.a(image), net.b(image)))

        graph = trace(Net(forward, a=conv(3, 4), b=conv(3, 4), last=nn.AvgPool2d(2)), IMAGE_SHAPE)
        assert graph.roles().concats == ({"cat"} if joins else set())

    @pytest.mark.parametrize("seed", range(8))
    def test_lowered_and_traced_agree(self, seed: int) -> None:
        plain = lower(random_architecture(random.Random(seed)), Shape(3, 8, 8), classes=10)
        graph = without_subsampling(best_order(plain)[0])
        with weightless():
            module = build_network(plain, seed=0)
        traced = trace(module, graph.input_shape)
        for rules in (
            ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=False),
            ArenaRules(in_place=True, direct_concats=True, counts_inputs=False, counts_outputs=True),
        ):
            ours = shared_graph(graph.plain(), graph.sizes(4), roles_of(graph), rules)
            theirs = shared_graph(traced.plain(), traced.sizes(4), traced.roles(), rules)
            assert peaks(*ours.plain()) == peaks(*theirs.plain())
        for fold in (False, True):
            assert traced.parameters(fold) == parameter_count(graph, fold)
