"""Shared memory by hand, and the networks of the search space run in their arenas."""

import random
from dataclasses import replace

import pytest

from memnas_core.errors import GraphError
from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import LayerRoles, shared_graph
from memnas_core.memory.lifetimes import least_peak, peak_activation_bytes
from memnas_core.memory.sharing import SharedGraph, left_out, unshared, with_direct_concats, with_in_place
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from tests.core.arenas import roles_of
from tests.core.memory.run_in_arena import ALL_RULES, ALONE, Layers, Program, Sizes, profile, run
from tests.core.random_architectures import random_walks


def homes(graph: SharedGraph) -> dict[str, tuple[str, int]]:
    """Return where tensors lie that don't lie in their own memory."""
    return {t: (home.tensor, home.offset) for t, home in graph.homes.items() if home.tensor != t}


# ---- in place by hand


def test_an_activation_in_place_by_hand() -> None:
    layers: Layers = {"conv": (("x",), ("t",)), "relu": (("t",), ("y",)), "pool": (("y",), ("z",))}
    sizes = {"x": 3, "t": 8, "y": 8, "z": 1}
    assert profile(unshared(layers, sizes)) == (3 + 8, 8 + 8, 8 + 1)
    graph = with_in_place(unshared(layers, sizes), ("relu",))
    assert homes(graph) == {"y": ("t", 0)}
    assert profile(graph) == (3 + 8, 8, 8 + 1)
    plan = plan_shared(graph)
    assert (plan.bytes, plan.offsets["y"]) == (11, plan.offsets["t"])
    # t is there in steps 1 and 2, y in 2 and 3; their memory is reserved in 1 to 3.
    assert [(p.tensor, p.born, p.last) for p in plan.placements] == [("x", 1, 1), ("t", 1, 2), ("y", 2, 3), ("z", 3, 3)]
    assert [(p.tensor, p.born, p.last) for p in plan.reserved()] == [("x", 1, 1), ("t", 1, 3), ("z", 3, 3)]


def test_a_sum_takes_the_place_of_what_is_not_needed_any_more() -> None:
    # The first sum cannot overwrite x, which the second one reads; the second can.
    layers: Layers = {"conv": (("x",), ("t",)), "sum1": (("x", "t"), ("s",)), "sum2": (("s", "x"), ("y",))}
    graph = with_in_place(unshared(layers, dict.fromkeys("xtsy", 4)), ("sum1", "sum2"))
    assert homes(graph) == {"s": ("t", 0), "y": ("t", 0)}
    assert graph.overwritten == {"sum1": "t", "sum2": "s"}
    assert profile(graph) == (8, 8, 8)


@pytest.mark.parametrize(
    ("change", "layers", "sizes"),
    [
        ("another size", {}, {"t": 5}),
        ("a later reader", {"later": (("t",), ("z",))}, {"z": 1}),
        ("two outputs", {"relu": (("t",), ("y", "z"))}, {"z": 4}),
        ("no bytes", {}, {"t": 0, "y": 0}),
    ],
)
def test_not_in_place(change: str, layers: Layers, sizes: Sizes) -> None:
    plain: Layers = {"conv": (("x",), ("t",)), "relu": (("t",), ("y",))}
    graph = with_in_place(unshared(plain | layers, {"x": 4, "t": 4, "y": 4} | sizes), ("relu",))
    assert homes(graph) == {}, change


def test_in_place_goes_by_the_order() -> None:
    # Two layers read t, one of them element by element: it may overwrite t if it comes last, and then it must.
    layers: Layers = {"conv": (("x",), ("t",)), "relu": (("t",), ("y",)), "pool": (("t",), ("z",))}
    sizes = {"x": 1, "t": 4, "y": 4, "z": 1}
    assert homes(with_in_place(unshared(layers, sizes), ("relu",))) == {}
    graph = with_in_place(unshared(layers, sizes, ("conv", "pool", "relu")), ("relu",))
    assert homes(graph) == {"y": ("t", 0)}
    assert graph.plain() == (
        {
            "conv": (("x",), ("t", "memory of t")),
            "pool": (("t",), ("z", "pool before relu")),
            "relu": (("t", "pool before relu"), ("y",)),
        },
        {"x": 1, "t": 0, "y": 0, "z": 1, "memory of t": 4, "pool before relu": 0},
    )


# ---- concatenations by hand

TWO_BRANCHES: Layers = {
    "left": (("x",), ("a",)),
    "right": (("x",), ("b",)),
    "concat": (("a", "b"), ("c",)),
    "pool": (("c",), ("y",)),
}


def test_a_direct_concatenation_by_hand() -> None:
    sizes = {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1}
    assert profile(unshared(TWO_BRANCHES, sizes)) == (5 + 2, 5 + 2 + 3, 2 + 3 + 5, 5 + 1)
    graph = with_direct_concats(unshared(TWO_BRANCHES, sizes), ("concat",))
    assert homes(graph) == {"a": ("c", 0), "b": ("c", 2)}
    assert profile(graph) == (5 + 5, 5 + 5, 5, 5 + 1)
    offsets = plan_shared(graph).offsets
    assert (offsets["a"], offsets["b"]) == (offsets["c"], offsets["c"] + 2)
    assert graph.plain()[0] == {
        "left": (("x",), ("a", "memory of c")),
        "right": (("x", "memory of c"), ("b",)),
        "concat": (("a", "b", "memory of c"), ("c",)),
        "pool": (("c", "memory of c"), ("y",)),
    }


def test_a_concatenation_that_the_network_returns_is_kept_to_the_end() -> None:
    layers: Layers = {**TWO_BRANCHES, "pool": (("x",), ("y",))}
    graph = with_direct_concats(unshared(layers, {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1}), ("concat",))
    assert profile(graph) == (5 + 5, 5 + 5, 5 + 5, 5 + 5 + 1)
    # What nothing reads is kept to the end, so nothing reads the memory: layers wait for the first by a token.
    assert graph.plain()[0] == {
        "left": (("x",), ("a", "memory of c", "left before right")),
        "right": (("x", "left before right"), ("b",)),
        "concat": (("a", "b"), ("c",)),
        "pool": (("x",), ("y",)),
    }


def test_a_direct_concatenation_can_raise_the_peak() -> None:
    # While a waits, something large goes on: then 5 bytes of c are reserved instead of a's 2.
    layers: Layers = {**TWO_BRANCHES, "right": (("w",), ("b",))}
    layers = {"left": layers["left"], "wide": (("x",), ("w",)), **layers}
    sizes = {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1, "w": 20}
    assert max(profile(unshared(layers, sizes))) == 5 + 2 + 20
    assert max(profile(with_direct_concats(unshared(layers, sizes), ("concat",)))) == 5 + 5 + 20


def test_concatenations_of_concatenations_and_sums() -> None:
    # s takes the place of a, (s, b) is the second part of d: a, s and b are written there at once.
    layers: Layers = {
        "first": (("x",), ("e",)),
        "left": (("x",), ("a",)),
        "sum": (("a", "x"), ("s",)),
        "right": (("x",), ("b",)),
        "inner": (("s", "b"), ("c",)),
        "outer": (("e", "c"), ("d",)),
    }
    sizes = {"x": 2, "e": 1, "a": 2, "s": 2, "b": 4, "c": 6, "d": 7}
    graph = with_in_place(unshared(layers, sizes), ("sum",))
    graph = with_direct_concats(graph, ("inner", "outer"))
    assert homes(graph) == {"e": ("d", 0), "a": ("d", 1), "s": ("d", 1), "b": ("d", 3), "c": ("d", 1)}
    assert graph.part_of == {"s": "c", "b": "c", "e": "d", "c": "d"}
    # With parts at multiples of 2 bytes c, at 1, stays apart, and is copied into d at the end.
    graph = with_direct_concats(with_in_place(unshared(layers, sizes), ("sum",)), ("inner", "outer"), alignment=2)
    assert homes(graph) == {"e": ("d", 0), "a": ("c", 0), "s": ("c", 0), "b": ("c", 2)}


@pytest.mark.parametrize(
    ("change", "layers", "sizes", "expected"),
    [
        ("needed longer", {"later": (("a", "y"), ("z",))}, {"z": 1}, {"b": ("c", 2)}),
        ("twice", {"concat": (("a", "a"), ("c",))}, {"c": 4}, {"a": ("c", 0)}),
        ("an input", {"concat": (("a", "x"), ("c",))}, {"c": 7}, {"a": ("c", 0)}),
        ("in two", {"again": (("a", "b"), ("d",))}, {"d": 5}, {"a": ("c", 0), "b": ("c", 2)}),
        ("no bytes", {}, {"a": 0, "c": 3}, {"b": ("c", 0)}),
    ],
)
def test_what_stays_apart(change: str, layers: Layers, sizes: Sizes, expected: dict[str, tuple[str, int]]) -> None:
    plain: Layers = {**TWO_BRANCHES, **layers}
    if "again" in layers:
        plain = {name: plain[name] for name in ("left", "right", "concat", "again", "pool")}
    graph = unshared(plain, {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1} | sizes)
    graph = with_direct_concats(graph, [name for name in ("concat", "again") if name in plain])
    assert homes(graph) == expected, change


def test_no_part_that_is_overwritten_while_the_whole_is_needed() -> None:
    # relu overwrites a, which the concatenation has read, in the step before c is read.
    layers: Layers = {
        "left": TWO_BRANCHES["left"],
        "right": TWO_BRANCHES["right"],
        "concat": TWO_BRANCHES["concat"],
        "relu": (("a",), ("r",)),
        "pool": (("c", "r"), ("y",)),
    }
    sizes = {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1, "r": 2}
    graph = with_direct_concats(with_in_place(unshared(layers, sizes), ("relu",)), ("concat",))
    assert homes(graph) == {"r": ("a", 0), "b": ("c", 2)}
    # The other way round, a is part of c and cannot be overwritten.
    graph = with_in_place(with_direct_concats(unshared(layers, sizes), ("concat",)), ("relu",))
    assert homes(graph) == {"a": ("c", 0), "b": ("c", 2)}


def test_a_direct_concatenation_is_overwritten_when_its_parts_have_been_read() -> None:
    layers: Layers = {
        "left": TWO_BRANCHES["left"],
        "right": TWO_BRANCHES["right"],
        "concat": TWO_BRANCHES["concat"],
        "side": (("b",), ("s",)),
        "relu": (("c",), ("r",)),
        "pool": (("r", "s"), ("y",)),
    }
    sizes = {"x": 9, "a": 2, "b": 3, "c": 5, "s": 1, "r": 5, "y": 1}
    graph = with_in_place(with_direct_concats(unshared(layers, sizes), ("concat",)), ("relu",))
    assert homes(graph) == {"a": ("c", 0), "b": ("c", 2), "r": ("c", 0)}
    # It overwrites b too, which lies elsewhere in the same memory: whoever reads b comes first in every order.
    assert "side before relu" in graph.plain()[0]["relu"][0]
    # Where the layer itself reads b beside c, it would overwrite b before it has read all of it.
    layers["relu"] = (("c", "b"), ("r",))
    graph = with_in_place(with_direct_concats(unshared(layers, sizes), ("concat",)), ("relu",))
    assert homes(graph) == {"a": ("c", 0), "b": ("c", 2)}


# ---- inputs and outputs by hand


def test_inputs_and_outputs_left_out_by_hand() -> None:
    sizes = {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1}
    graph = left_out(unshared(TWO_BRANCHES, sizes), ("x", "y"))
    assert profile(graph) == (2, 2 + 3, 2 + 3 + 5, 5)
    assert plan_shared(graph).offsets.keys() == {"a", "b", "c"}
    # What the caller provides is not shared.
    graph = left_out(unshared(TWO_BRANCHES, sizes), ("c",))
    assert homes(with_direct_concats(graph, ("concat",))) == {}
    relu: Layers = {"relu": (("x",), ("y",))}
    for tensor in ("x", "y"):
        assert homes(with_in_place(left_out(unshared(relu, {"x": 1, "y": 1}), (tensor,)), ("relu",))) == {}
    assert homes(with_in_place(unshared(relu, {"x": 1, "y": 1}), ("relu",))) == {"y": ("x", 0)}


# ---- what is refused


def test_refusals() -> None:
    sizes = {"x": 5, "a": 2, "b": 3, "c": 5, "y": 1}
    graph = unshared(TWO_BRANCHES, sizes)
    with pytest.raises(GraphError, match="layer 'nowhere': expected one of the graph's 4 layers"):
        with_in_place(graph, ("nowhere",))
    with pytest.raises(
        GraphError, match=r"layer 'concat': expected one output of its inputs' 5 bytes, found \{'c': 6\}"
    ):
        with_direct_concats(unshared(TWO_BRANCHES, sizes | {"c": 6}), ("concat",))
    with pytest.raises(GraphError, match="tensor 'nowhere': expected one with memory of its own to leave out"):
        left_out(graph, ("nowhere",))
    with pytest.raises(GraphError, match="tensor 'a': expected one with memory of its own to leave out"):
        left_out(with_direct_concats(graph, ("concat",)), ("a",))
    with pytest.raises(GraphError, match="order: expected 'left' before 'concat'"):
        unshared(TWO_BRANCHES, sizes, ("right", "concat", "left", "pool"))


# ---- networks


def test_a_network_by_hand() -> None:
    # F = 4 on a 1x4x4 image; a map has 64 elements. Cell 1 sums two convolutions, cell 2 concatenates two
    # convolutions of it and is the block's output.
    conv = ops.CONV_3X3
    cells = (
        Cell(Branch(0, conv), Branch(0, conv), Combiner.SUM, included=False),
        Cell(Branch(1, conv), Branch(1, conv), Combiner.CONCAT, included=True),
    )
    graph = lower(Architecture((Block(cells, 1),), 4), Shape(1, 4, 4), 3)
    names = [layer.name for layer in graph.layers]
    assert names == [
        "stem",
        "b1_c1_a",
        "b1_c1_b",
        "b1_c1_sum",
        "b1_c2_a",
        "b1_c2_b",
        "b1_c2_concat",
        "pool",
        "classifier",
    ]
    assert roles_of(graph) == LayerRoles(
        frozenset(["b1_c1_sum"]), frozenset(["b1_c2_concat"]), frozenset(["classifier"])
    )

    def profile_under(**rules: bool) -> tuple[int, ...]:
        shared = shared_graph(graph.plain(), graph.sizes(1), roles_of(graph), replace(ALONE, **rules))
        return profile(shared)

    #                         stem      a         b         sum       a         b         concat    pool     classifier
    assert profile_under() == (16 + 64, 64 + 64, 3 * 64, 3 * 64, 64 + 64, 3 * 64, 2 * 64 + 128, 128 + 8, 8 + 3)
    # The sum lies in a: at its step two maps are in memory instead of three.
    in_place = profile_under(in_place=True)
    assert in_place == (80, 128, 192, 128, 128, 192, 256, 136, 11)
    # The concatenation's 128 are there from its first part on, but no longer beside the parts.
    assert profile_under(direct_concats=True) == (80, 128, 192, 192, 64 + 128, 64 + 128, 128, 136, 11)
    assert profile_under(in_place=True, direct_concats=True) == (80, 128, 192, 128, 192, 192, 128, 136, 11)
    assert profile_under(counts_inputs=False) == (64, 128, 192, 192, 128, 192, 256, 136, 11)
    assert profile_under(counts_outputs=False) == (80, 128, 192, 192, 128, 192, 256, 136, 8)


def test_networks_run_in_their_arenas() -> None:
    rng = random.Random(2)
    smaller = 0
    for number, architecture in enumerate((*random_walks(21, 40, 12), *random_walks(21, 20, 12, widths=True))):
        side = 2 * architecture.reduction
        graph = lower(architecture, Shape(1, side, side), 3)
        layers, sizes, roles = dict(graph.plain()), graph.sizes(1), roles_of(graph)
        rules = rng.choice(ALL_RULES)
        order = least_peak(layers, sizes).order if number % 2 else None
        plan = plan_shared(shared_graph(layers, sizes, roles, rules, order))
        run(Program(layers, sizes, roles), plan.layers, plan.offsets)
        smaller += plan.bytes < peak_activation_bytes(layers, sizes, "sequential", order)
    assert smaller > 10


def test_the_best_order_of_a_shared_graph_can_be_planned() -> None:
    # What `least_peak` finds on the plain graph runs with the same sharing.
    rules = replace(ALONE, in_place=True, direct_concats=True)
    for architecture in random_walks(seed=22, count=20, moves=12):
        graph = lower(architecture, Shape(1, 2 * architecture.reduction, 2 * architecture.reduction), 3)
        roles = roles_of(graph)
        shared = shared_graph(graph.plain(), graph.sizes(1), roles, rules)
        least = least_peak(*shared.plain())
        again = shared_graph(graph.plain(), graph.sizes(1), roles, rules, least.order)
        assert least.bytes <= max(profile(shared))
        assert max(profile(again)) <= least.bytes
