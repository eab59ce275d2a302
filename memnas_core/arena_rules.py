"""What a runtime does with the memory of activations, as switches.

Runtimes differ in this, so that a figure for the arena means little without the switches it was planned under.
The width of an activation is no switch: it is in the sizes of the tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.dataflow import Layers, Sizes
from memnas_core.graph import Graph, LayerKind
from memnas_core.sharing import SharedGraph, left_out, unshared, with_direct_concats, with_in_place


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaRules:
    """How a runtime lays out activations.

    Attributes:
        in_place: Element-wise layers write over an input that nothing needs any more.
        direct_concats: What a concatenation joins is written straight into its output.
        counts_inputs: The inputs of the network lie in the arena; otherwise the caller provides their memory.
        counts_outputs: The same of its outputs.
    """

    in_place: bool
    direct_concats: bool
    counts_inputs: bool
    counts_outputs: bool


@dataclass(frozen=True, slots=True)
class LayerRoles:
    """What the rules need to know about a graph beyond its dataflow.

    Attributes:
        elementwise: Layers that may write over an input: each element of the output needs only the elements of
            the inputs at the same place (additions, activations).
        concats: Layers that join their inputs one behind the other in memory.
        outputs: Tensors that the network returns.
    """

    elementwise: frozenset[str]
    concats: frozenset[str]
    outputs: frozenset[str]


def roles_of(graph: Graph) -> LayerRoles:
    """Return the roles in the graph of an architecture.

    Its convolutions have their activations inside them, so that sums alone may run in place.
    """
    return LayerRoles(
        frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.SUM),
        frozenset(layer.name for layer in graph.layers if layer.kind is LayerKind.CONCAT),
        frozenset((graph.output,)),
    )


def shared_graph(
    layers: Layers,
    sizes: Sizes,
    roles: LayerRoles,
    rules: ArenaRules,
    order: Sequence[str] | None = None,
    alignment: int = 1,
) -> SharedGraph:
    """Rewrite a graph by the rules, for `memnas_core.arena.plan_shared`.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        roles: Which layers and tensors the rules are about.
        rules: What the runtime does.
        order: The order in which layers run; default: the order of `layers`.
        alignment: What a concatenation joins begins at a multiple of so many bytes, or is copied.

    Raises:
        GraphError: The graph is cyclic or incomplete, the order impossible, or a role unknown to the graph.
    """
    graph = unshared(layers, sizes, order)
    produced = {tensor for _, writes in layers.values() for tensor in writes}
    if not rules.counts_inputs:
        graph = left_out(graph, sizes.keys() - produced)
    if not rules.counts_outputs:
        graph = left_out(graph, roles.outputs & produced)
    if rules.in_place:
        graph = with_in_place(graph, roles.elementwise)
    if rules.direct_concats:
        graph = with_direct_concats(graph, roles.concats, alignment)
    return graph
