"""Each switch by hand: image a -> b; c, d from b; e = c + d; f = concat(e, c)."""

import pytest

from memnas_core.errors import GraphError
from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.lifetimes import peak_activation_bytes
from memnas_core.space.graph import IMAGE, lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from tests.core.arenas import roles_of

LAYERS = {
    "b": (("a",), ("b",)),
    "c": (("b",), ("c",)),
    "d": (("b",), ("d",)),
    "e": (("c", "d"), ("e",)),
    "f": (("e", "c"), ("f",)),
    "g": (("f",), ("g",)),
}
SIZES = {"a": 12, "b": 8, "c": 8, "d": 8, "e": 8, "f": 16, "g": 20}
ROLES = LayerRoles(frozenset({"e"}), frozenset({"f"}), frozenset({"g"}))
PLAIN = {"in_place": False, "direct_concats": False, "counts_inputs": True, "counts_outputs": True}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # step        b: a b   c: b c   d: b c d   e: c d e   f: c e f   g: f g
        # bytes         20       16       24         24         32        36
        ({}, 36),
        # g lies outside: f's step is the largest.
        ({"counts_outputs": False}, 32),
        ({"counts_outputs": False, "in_place": True}, 32),  # e over d: d's step and e's need 24 and 16
        # f is reserved as soon as c is written: its 16 and b, d in d's step; c, e are parts of it.
        ({"counts_outputs": False, "direct_concats": True}, 32),  # b, d and f
        # e over d, which thereby lies in f too: b and f in d's step, and no more later.
        ({"counts_outputs": False, "direct_concats": True, "in_place": True}, 24),
        # Only b's step has the image, which never is the largest.
        ({"counts_inputs": False}, 36),
    ],
)
def test_switches_by_hand(changed: dict[str, bool], expected: int) -> None:
    graph = shared_graph(LAYERS, SIZES, ROLES, ArenaRules(**PLAIN | changed))
    assert plan_shared(graph).bytes == expected


def test_an_input_is_counted_where_it_is_the_peak() -> None:
    layers, sizes = {"b": (("a",), ("b",))}, {"a": 30, "b": 10}
    roles = LayerRoles(frozenset(), frozenset(), frozenset({"b"}))
    found = {
        (inputs, outputs): plan_shared(
            shared_graph(
                layers, sizes, roles, ArenaRules(**PLAIN | {"counts_inputs": inputs, "counts_outputs": outputs})
            )
        ).bytes
        for inputs in (True, False)
        for outputs in (True, False)
    }
    assert found == {(True, True): 40, (True, False): 30, (False, True): 10, (False, False): 0}


def test_in_place_needs_an_input_that_dies() -> None:
    # e = c + d, both 8 bytes; c is read again by f, so that e can only take the place of d.
    graph = shared_graph(LAYERS, SIZES, ROLES, ArenaRules(**PLAIN | {"in_place": True}))
    assert graph.overwritten == {"e": "d"}


def test_roles_of_an_architecture() -> None:
    graph = lower(seed_architecture((1, 2), 4), Shape(3, 8, 8), 5)
    roles = roles_of(graph)
    assert roles.outputs == {"classifier"}
    assert roles.elementwise == {"b1_c1_sum", "b2_c1_sum"}
    assert not roles.concats


def test_without_sharing_the_bound_is_sequential() -> None:
    graph = lower(seed_architecture((1, 2, 1), 4), Shape(3, 8, 8), 5)
    plain, sizes = graph.plain(), graph.sizes(2)
    shared = shared_graph(plain, sizes, roles_of(graph), ArenaRules(**PLAIN))
    assert plan_shared(shared).lower_bound == peak_activation_bytes(plain, sizes, "sequential")
    assert sizes[IMAGE] == 2 * 3 * 8 * 8


def test_an_unknown_role_is_refused() -> None:
    roles = LayerRoles(frozenset({"z"}), frozenset(), frozenset())
    with pytest.raises(GraphError, match="'z'"):
        shared_graph(LAYERS, SIZES, roles, ArenaRules(**PLAIN | {"in_place": True}))
