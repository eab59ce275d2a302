"""Rules by which a runtime uses the memory of activations, as switches.

Runtimes differ here, so that a figure for the arena means little without the switches that it was planned with.
The width of an activation is not a switch: it is part of the sizes of the tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.memory.dataflow import Layers, Sizes
from memnas_core.memory.sharing import SharedGraph, left_out, unshared, with_direct_concats, with_in_place


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaRules:
    """The rules by which a runtime lays out activations.

    Attributes:
        in_place: Whether element-wise layers write over an input that nothing needs any more.
        direct_concats: Whether the inputs of a concatenation are written straight into its output.
        counts_inputs: Whether the inputs of the network lie in the arena; otherwise the caller provides their memory.
        counts_outputs: Whether the outputs of the network lie in the arena; otherwise the caller provides their memory.
    """

    in_place: bool
    direct_concats: bool
    counts_inputs: bool
    counts_outputs: bool


@dataclass(frozen=True, slots=True)
class LayerRoles:
    """What the rules need to know about a graph beyond its dataflow.

    Attributes:
        elementwise: Layers that may write over an input, because each element of the output needs only the input
            elements at the same place (additions, activations).
        concats: Layers that join their inputs one behind the other in memory.
        outputs: Tensors that the network returns.
        state: Tensors that stay in memory from one run to the next. They are inputs of the graph, but not the caller's.
    """

    elementwise: frozenset[str]
    concats: frozenset[str]
    outputs: frozenset[str]
    state: frozenset[str] = frozenset()


def shared_graph(
    layers: Layers,
    sizes: Sizes,
    roles: LayerRoles,
    rules: ArenaRules,
    order: Sequence[str] | None = None,
    alignment: int = 1,
) -> SharedGraph:
    """Return a graph rewritten by the rules, for `memnas_core.memory.arena.plan_shared`.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        roles: Layers and tensors that the rules apply to.
        rules: Rules by which the runtime lays out activations.
        order: The order in which layers run; default: the order of `layers`.
        alignment: Number of bytes; an input of a concatenation is copied unless it begins at a multiple of it.

    Raises:
        GraphError: The graph is cyclic or incomplete, the order impossible, or a role unknown to the graph.
    """
    graph = unshared(layers, sizes, order)
    produced = {tensor for _, writes in layers.values() for tensor in writes}
    if not rules.counts_inputs:
        graph = left_out(graph, sizes.keys() - produced - roles.state)
    if not rules.counts_outputs:
        graph = left_out(graph, roles.outputs & produced)
    if rules.in_place:
        graph = with_in_place(graph, roles.elementwise)
    if rules.direct_concats:
        graph = with_direct_concats(graph, roles.concats, alignment)
    return graph
