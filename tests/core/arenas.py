"""Arenas and roles of graphs as they are, without what a runtime makes of them."""

from collections.abc import Sequence

from memnas_core.memory.arena import ArenaPlan, plan_shared
from memnas_core.memory.arena_rules import LayerRoles
from memnas_core.memory.dataflow import Layers, Sizes
from memnas_core.memory.sharing import unshared
from memnas_core.space.graph import Graph
from memnas_core.space.layers import LayerKind


def plan_arena(layers: Layers, sizes: Sizes, order: Sequence[str] | None = None, alignment: int = 1) -> ArenaPlan:
    """Plan an arena in which each tensor has memory of its own."""
    return plan_shared(unshared(layers, sizes, order), alignment)


def roles_of(graph: Graph) -> LayerRoles:
    """Return the roles in the graph of an architecture: convolutions have their activations inside them."""
    return LayerRoles(
        frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.SUM),
        frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.CONCAT),
        frozenset((graph.output,)),
    )
