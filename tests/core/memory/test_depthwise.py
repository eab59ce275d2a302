"""Depthwise convolutions over their inputs, against peaks worked out by hand."""

import pytest

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.depthwise import with_depthwise_in_place
from memnas_core.memory.sharing import unshared, with_in_place

CHAIN = {
    "wide": (("image",), ("wide",)),
    "depthwise": (("wide",), ("depthwise",)),
    "narrow": (("depthwise",), ("narrow",)),
}


@pytest.mark.parametrize(
    ("output", "peaks"),
    [
        # wide 96 with the image 16 | both 96 in one place | 96 and narrow 24
        (96, [120, 120]),
        # in place a smaller output keeps all 96: 16 + 96 | 96 | 96 + 8; otherwise 96 + 24 = 120
        (24, [120, 112]),
    ],
)
def test_in_a_chain(output: int, peaks: list[int]) -> None:
    sizes = {"image": 16, "wide": 96, "depthwise": output, "narrow": 24 if output == 96 else 8}
    graphs = list(with_depthwise_in_place(unshared(CHAIN, sizes), {"depthwise"}))
    assert [plan_shared(graph, 1).bytes for graph in graphs] == peaks


def test_what_is_still_needed_is_not_overwritten() -> None:
    layers = CHAIN | {"sum": (("narrow", "wide"), ("sum",))}
    sizes = {"image": 16, "wide": 96, "depthwise": 96, "narrow": 96, "sum": 96}
    for graph in with_depthwise_in_place(unshared(layers, sizes), {"depthwise"}):
        assert graph.overwritten == {}


def test_with_additions_in_place_before_and_after() -> None:
    """Everything from the first addition on lies in one place; each reader comes before what overwrites its input."""
    layers = {
        "a": (("image",), ("a",)),
        "b": (("image",), ("b",)),
        "first": (("a", "b"), ("first",)),
        "depthwise": (("first",), ("depthwise",)),
        "relu": (("depthwise",), ("relu",)),
    }
    sizes = dict.fromkeys(("image", "a", "b", "first", "depthwise", "relu"), 10)
    in_place = with_in_place(unshared(layers, sizes), {"first", "relu"})
    graph, _ = with_depthwise_in_place(in_place, {"depthwise"})
    assert graph.overwritten == {"first": "a", "depthwise": "first", "relu": "depthwise"}
    assert {home.tensor for tensor, home in graph.homes.items() if tensor not in ("image", "b")} == {"a"}
    assert plan_shared(graph, 1).bytes == 30  # image, a and b
