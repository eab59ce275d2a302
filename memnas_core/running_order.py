"""The order in which a network's layers run: the one that needs the least memory, over the whole network.

Where one tensor alone is in memory between two layers, all layers before it must run before all layers after it,
in any order. So the network is cut there, each part is put into its best order, and the parts in a row are the best
order of the whole: its peak is the largest peak of a part, and no order of the whole needs less than the largest
lower bound of a part. An end of a block is always such a place; within blocks and cells there may be more.
"""

from collections.abc import Iterator
from dataclasses import replace

from memnas_core.errors import GraphError
from memnas_core.graph import IMAGE, Graph, Layer
from memnas_core.memory import STATE_LIMIT, LeastPeak, least_peak, peak_activation_bytes


def best_order(graph: Graph, element_bytes: int = 4, state_limit: int = STATE_LIMIT) -> tuple[Graph, LeastPeak]:
    """Return the same network with its layers in the order that needs least memory, and what it needs.

    A part whose given order is as good as the best one found keeps it.

    Args:
        graph: The network, in an order in which it can run.
        element_bytes: Bytes of one activation, for the figures; the order does not depend on it.
        state_limit: States to look at in each part before giving up exactness.

    Returns:
        The graph in its running order, and its `minimum` peak at batch 1. Where `exact` is false a part was too
        large to look at all its orders: `order` is the best one found, and `lower_bound` what none can fall below.

    Raises:
        GraphError: The layers are in no order in which they can run.
    """
    _check_order(graph)
    sizes = graph.sizes(element_bytes)
    plain = graph.plain()
    found = []
    for part in _parts(graph):
        tensors = {layer.name for layer in part}.union(*(layer.inputs for layer in part))
        part_layers = {layer.name: plain[layer.name] for layer in part}
        part_sizes = {tensor: size for tensor, size in sizes.items() if tensor in tensors}
        least = least_peak(part_layers, part_sizes, state_limit)
        if peak_activation_bytes(part_layers, part_sizes, "sequential") == least.bytes:
            least = replace(least, order=tuple(part_layers))
        found.append(least)
    by_name = {layer.name: layer for layer in graph.layers}
    order = tuple(name for part in found for name in part.order)
    peak = max((part.bytes for part in found), default=sizes[IMAGE])
    bound = max((part.lower_bound for part in found), default=sizes[IMAGE])
    reordered = replace(graph, layers=tuple(by_name[name] for name in order))
    return reordered, LeastPeak(peak, order, bound, exact=peak == bound)


def _check_order(graph: Graph) -> None:
    written = {IMAGE}
    for layer in graph.layers:
        missing = [name for name in layer.inputs if name not in written]
        if missing:
            raise GraphError(f"layer {layer.name!r}: expected {missing[0]!r} to be written before, found it is not")
        written.add(layer.name)


def _parts(graph: Graph) -> Iterator[tuple[Layer, ...]]:
    """Yield the layers between places at which one tensor alone is in memory, in order."""
    last = {name: place for place, layer in enumerate(graph.layers) for name in layer.inputs}
    end = len(graph.layers)
    alive = {IMAGE: last.get(IMAGE, end)}  # what nothing reads lives to the end
    begin = 0
    for place, layer in enumerate(graph.layers):
        alive[layer.name] = last.get(layer.name, end)
        alive = {name: until for name, until in alive.items() if until > place}
        if len(alive) == 1:
            yield graph.layers[begin : place + 1]
            begin = place + 1
    if begin < end:
        yield graph.layers[begin:]
