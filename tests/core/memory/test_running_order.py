import random
from dataclasses import replace
from itertools import permutations

import pytest

from memnas_core.errors import GraphError
from memnas_core.memory.figures import measure
from memnas_core.memory.lifetimes import least_peak, lifetimes
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import IMAGE, Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape, Workload
from tests.core.random_architectures import random_walk, random_walks, tangled


def _layer(name: str, inputs: tuple[str, ...], channels: int) -> Layer:
    return Layer(name, LayerKind.SUM, inputs, channels, Shape(channels, 1, 1))


FORK = Graph(
    Shape(1, 1, 1),
    (
        _layer("x", (IMAGE,), 2),
        # Two branches that grow to 9 and shrink to 1. Each branch at once, one after the other, needs
        # x + 9 + 1 = 12 for the first (x is still needed) and 1 + 9 + 1 = 11 for the second; both wide
        # layers first, as they are given, need 2 + 9 + 9 = 20.
        _layer("wide_a", ("x",), 9),
        _layer("wide_b", ("x",), 9),
        _layer("thin_a", ("wide_a",), 1),
        _layer("thin_b", ("wide_b",), 1),
        _layer("join", ("thin_a", "thin_b"), 1),
        _layer("end", ("join",), 3),
    ),
    "end",
)


def test_fork_runs_one_branch_after_the_other() -> None:
    ordered, least = best_order(FORK, element_bytes=1)
    assert lifetimes(FORK.plain(), FORK.sizes(1), "sequential").peak == 20
    assert (least.bytes, least.lower_bound, least.exact) == (12, 12, True)
    assert lifetimes(ordered.plain(), ordered.sizes(1), "sequential").peak == 12
    assert [layer.name for layer in ordered.layers] == list(least.order)
    assert least.order.index("thin_a") < least.order.index("wide_b") or (
        least.order.index("thin_b") < least.order.index("wide_a")
    )


def test_is_the_least_of_all_orders() -> None:
    plain, sizes = FORK.plain(), FORK.sizes(1)

    def peak(order: tuple[str, ...]) -> int | None:
        try:
            return lifetimes(plain, sizes, "sequential", order).peak
        except GraphError:
            return None

    peaks = [found for order in permutations(plain) if (found := peak(order)) is not None]
    assert best_order(FORK, element_bytes=1)[1].bytes == min(peaks)


def test_random_networks_need_what_the_whole_search_and_the_block_figures_say() -> None:
    side = Shape(3, 16, 16)
    improved = 0
    rng = random.Random(5)
    for architecture in (
        *random_walks(5, 20),
        *random_walks(6, 20, widths=True),
        *(tangled(rng, 6) for _ in range(40)),
    ):
        graph = lower(architecture, side, 10)
        ordered, least = best_order(graph)
        sizes = graph.sizes(4)
        whole = least_peak(graph.plain(), sizes)
        assert whole.exact
        assert least.exact
        assert least.bytes == whole.bytes == measure(architecture, Workload(side, 10, 4, 4)).minimum_bytes
        assert lifetimes(ordered.plain(), sizes, "sequential").peak == least.bytes
        improved += least.bytes < lifetimes(graph.plain(), sizes, "sequential").peak
        assert sorted(ordered.layers) == sorted(graph.layers)
        assert (ordered.input_shape, ordered.output) == (graph.input_shape, graph.output)
    assert improved > 5  # else this test would not tell the best order from the given one


@pytest.mark.parametrize("cells", [8, 10, 14])
def test_exact_for_blocks_larger_than_any_settings_allow(cells: int) -> None:
    rng = random.Random(cells)
    for _ in range(20):
        _, least = best_order(lower(tangled(rng, cells), Shape(3, 16, 16), 10))
        assert least.exact
        assert least.bytes == least.lower_bound


def test_keeps_a_given_order_that_is_as_good() -> None:
    graph = lower(random_walk(random.Random(1), 0), Shape(1, 8, 8), 4)
    ordered, _ = best_order(graph)
    assert ordered == graph
    again, _ = best_order(best_order(FORK)[0])
    assert again == best_order(FORK)[0]


def test_says_where_it_is_not_exact() -> None:
    ordered, least = best_order(FORK, element_bytes=1, state_limit=0)
    assert lifetimes(ordered.plain(), ordered.sizes(1), "sequential").peak == least.bytes
    assert least.lower_bound <= 12 <= least.bytes
    assert least.exact == (least.lower_bound == least.bytes)


def test_bytes_follow_the_element_width() -> None:
    assert best_order(FORK, element_bytes=4)[1].bytes == 48


def test_refuses_layers_in_an_impossible_order() -> None:
    broken = replace(FORK, layers=(FORK.layers[1], FORK.layers[0], *FORK.layers[2:]))
    with pytest.raises(GraphError, match=r"layer 'wide_a': expected 'x' to be written before"):
        best_order(broken)
