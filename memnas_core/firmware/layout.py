"""Places of a network's tensors in the arena of the C that memnas writes.

The order of a tensor's values is height, width, channels. So the parts of a concatenation do not lie one behind the
other in its output: they alternate, pixel by pixel. The kernels here take a tensor whose pixels lie further apart than
its channels are many, so that an input of a concatenation can still be written straight into it: its values begin at
its first channel of the first pixel, and the next pixel comes after all channels of the concatenation.

The planner (`memnas_core.memory.sharing`) plans as if parts lay one behind the other. All tensors in the memory of a
concatenation have as many pixels, so that "channel c of pixel p" is one byte in both orders, and tensors that have no
byte in common in one have none in the other.

Writing straight into a concatenation reserves its memory early, which can make the arena larger. It is done unless it
does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from memnas_core.memory.arena import ArenaPlan, plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.sharing import SharedGraph
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import LayerKind

ALIGNMENT = 4
"""Bytes of which every offset of a piece of memory is a multiple; kernels may read words."""

RULES = ArenaRules(in_place=True, direct_concats=True, counts_inputs=True, counts_outputs=False)
"""The image lies in the arena; the scores are the caller's. Sums work in place."""


class Place(NamedTuple):
    """The place of a tensor in the arena.

    Attributes:
        offset: Byte of its first value.
        step: Bytes from one pixel to the next; as many as it has channels, or more in a concatenation.
    """

    offset: int
    step: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all tensors but the scores.

    Attributes:
        bytes: Size of the arena.
        places: Name of a tensor -> its place.
    """

    bytes: int
    places: Mapping[str, Place]


def lay_out(graph: Graph) -> Layout:
    """Return the places of a network's tensors, one byte a value.

    Args:
        graph: The network in running order.
    """
    sizes = graph.sizes(1)
    kinds = {kind: frozenset(layer.name for layer in graph.layers if layer.kind is kind) for kind in LayerKind}
    roles = LayerRoles(kinds[LayerKind.SUM], kinds[LayerKind.CONCAT], frozenset({graph.output}))
    layers = graph.plain()
    # The last rules win only where they need less.
    shared = [shared_graph(layers, sizes, roles, rules) for rules in (RULES, replace(RULES, direct_concats=False))]
    plans = [plan_shared(one, ALIGNMENT) for one in shared]
    best = min((0, 1), key=lambda number: plans[number].bytes)
    return Layout(plans[best].bytes, _places(graph, shared[best], plans[best]))


def _places(graph: Graph, shared: SharedGraph, plan: ArenaPlan) -> dict[str, Place]:
    shapes = graph.shapes()
    starts = {placement.home: placement.offset for placement in plan.placements if placement.tensor == placement.home}
    places = {}
    for tensor, home in shared.homes.items():
        whole, own = shapes[home.tensor], shapes[tensor]
        pixels = whole.height * whole.width
        first, rest = divmod(home.offset, pixels)
        assert own.height * own.width == pixels, "a part of a concatenation has its pixels"
        assert rest == 0, "parts of a concatenation are whole channels"
        places[tensor] = Place(starts[home.tensor] + first, whole.channels)
    assert IMAGE in places, "the image lies in the arena"
    return places
