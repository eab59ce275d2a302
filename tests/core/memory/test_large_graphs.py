"""Time of the figures of large graphs: near-linear in the layers, and the same figures as by definition."""

import random
import time

import pytest

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.dataflow import Dataflow, Layers, Sizes
from memnas_core.memory.lifetimes import least_peak
from memnas_core.memory.order_search import lower_bound
from tests.core.memory.test_sharing_at_random import random_program

LAYERS = 5_000
SECONDS = 30  # of the processor; it takes about 2, and where time grows with the cube, minutes or hours
RULES = ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=True)

Graph = tuple[dict[str, tuple[tuple[str, ...], tuple[str, ...]]], dict[str, int], LayerRoles]


def residual(count: int) -> Graph:
    """Return branches of one layer, each added to the main line, which stays in one place."""
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    sizes, before = {"image": 100}, "image"
    for number in range(count // 2):
        layers[f"branch{number}"] = (before,), (f"b{number}",)
        layers[f"add{number}"] = (before, f"b{number}"), (f"a{number}",)
        sizes |= {f"b{number}": 100, f"a{number}": 100}
        before = f"a{number}"
    additions = frozenset(f"add{number}" for number in range(count // 2))
    return layers, sizes, LayerRoles(additions, frozenset(), frozenset((before,)))


def unrolled(count: int) -> Graph:
    """Return a recurrent network whose steps all end in one concatenation."""
    steps = count // 4
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    sizes, hidden = {"input": 8 * steps, "zero": 16}, "zero"
    for number in range(steps):
        layers[f"input{number}"] = ("input",), (f"i{number}",)
        layers[f"hidden{number}"] = (hidden,), (f"h{number}",)
        layers[f"add{number}"] = (f"i{number}", f"h{number}"), (f"a{number}",)
        layers[f"gate{number}"] = (f"a{number}",), (f"o{number}",)
        sizes |= dict.fromkeys((f"i{number}", f"h{number}", f"a{number}"), 64) | {f"o{number}": 16}
        hidden = f"o{number}"
    layers["cat"], sizes["cat"] = (tuple(f"o{number}" for number in range(steps)), ("cat",)), 16 * steps
    additions = frozenset(f"add{number}" for number in range(steps))
    return layers, sizes, LayerRoles(additions, frozenset(("cat",)), frozenset(("cat",)))


def figures(graph: Graph) -> tuple[int, int, int, int]:
    """Return the least peak, its bound, and the arena with its bound; an error if they take too long."""
    layers, sizes, roles = graph
    begin = time.process_time()
    least = least_peak(layers, sizes)
    plan = plan_shared(shared_graph(layers, sizes, roles, RULES, least.order))
    assert time.process_time() - begin < SECONDS
    return least.bytes, least.lower_bound, plan.bytes, plan.lower_bound


def test_a_long_residual_network() -> None:
    # main line, branch and their sum are in memory together; in the arena the sum overwrites one of them
    assert figures(residual(LAYERS)) == (300, 300, 200, 200)


def test_a_long_recurrent_network() -> None:
    peak, bound, arena, arena_bound = figures(unrolled(LAYERS))
    assert peak >= bound >= 2 * 16 * (LAYERS // 4), "the concatenation needs its inputs and its output"
    assert arena >= arena_bound >= 2 * 16 * (LAYERS // 4)


@pytest.mark.parametrize("seed", range(100))
def test_the_lower_bound_is_what_each_layer_needs_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    program = random_program(rng, rng.randint(1, 25))
    flow = Dataflow(program.layers, program.sizes)
    assert lower_bound(flow) == naive_bound(program.layers, program.sizes)


def naive_bound(layers: Layers, sizes: Sizes) -> int:
    """Return the bound by its definition, with sets of names."""
    producer = {tensor: layer for layer, (_, writes) in layers.items() for tensor in writes}
    ancestors: dict[str, set[str]] = {}
    for layer, (reads, _) in layers.items():  # in an order in which they can run
        before = {producer[tensor] for tensor in reads if tensor in producer}
        ancestors[layer] = {layer}.union(*(ancestors[name] for name in before))
    readers = {tensor: {layer for layer, (reads, _) in layers.items() if tensor in reads} for tensor in sizes}
    found = [
        sum(size for tensor, size in sizes.items() if tensor not in producer),
        sum(size for tensor, size in sizes.items() if not readers[tensor]),
    ]
    found += [
        sum(
            size
            for tensor, size in sizes.items()
            if (tensor not in producer or producer[tensor] in ancestors[layer])
            and (not readers[tensor] or any(layer in ancestors[reader] for reader in readers[tensor]))
        )
        for layer in layers
    ]
    return max(found)
