"""The order in which a network's layers run: the one that needs the least memory, over the whole network.

Where one tensor alone is in memory between two layers, all layers before it must run before all layers after it,
in any order. So the network is cut there, each part is put into its best order, and the parts in a row are the best
order of the whole: its peak is the largest peak of a part, and no order of the whole needs less than the largest
lower bound of a part. An end of a block is always such a place; within blocks and cells there may be more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from memnas_core.errors import GraphError
from memnas_core.graph import IMAGE, Graph, Layer
from memnas_core.memory import STATE_LIMIT, LeastPeak, least_peak


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
    found = [_least(part, sizes, state_limit) for part in _parts(graph.layers, IMAGE)]
    by_name = {layer.name: layer for layer in graph.layers}
    order = tuple(name for part in found for name in part.order)
    peak = max((part.bytes for part in found), default=sizes[IMAGE])
    bound = max((part.lower_bound for part in found), default=sizes[IMAGE])
    reordered = replace(graph, layers=tuple(by_name[name] for name in order))
    return reordered, LeastPeak(peak, order, bound, exact=peak == bound)


def block_order(layers: Sequence[Layer], source: str, sizes: Mapping[str, int]) -> tuple[int, tuple[int, ...]]:
    """Return the `minimum` peak of a block, and the order that `best_order` of a network with it gives its layers.

    Args:
        layers: The block's, in an order in which they can run.
        source: The tensor that enters it, alone in memory.
        sizes: Of all tensors, in any unit.

    Returns:
        The peak in the unit of `sizes`, and the places of layers in `layers` in their best order.
    """
    found = [_least(part, sizes, STATE_LIMIT) for part in _parts(layers, source)]
    place = {layer.name: number for number, layer in enumerate(layers)}
    order = tuple(place[name] for part in found for name in part.order)
    return max((part.bytes for part in found), default=sizes[source]), order


def _least(part: Sequence[Layer], sizes: Mapping[str, int], state_limit: int) -> LeastPeak:
    """Return the least peak of a part, and the given order where none is better."""
    last = {name: place for place, layer in enumerate(part) for name in layer.inputs}
    live = peak = sum(sizes[name] for name in last.keys() - {layer.name for layer in part})
    bound = 0  # while a layer runs, what it reads and writes is in memory in any order
    for place, layer in enumerate(part):
        reads = set(layer.inputs)
        live += sizes[layer.name]
        peak = max(peak, live)
        bound = max(bound, sizes[layer.name] + sum(sizes[name] for name in reads))
        live -= sum(sizes[name] for name in reads if last[name] == place)
    if peak == bound:  # so it is in most parts; only others are searched
        return LeastPeak(peak, tuple(layer.name for layer in part), bound, exact=True)
    plain = {layer.name: (layer.inputs, (layer.name,)) for layer in part}
    tensors = dict.fromkeys(name for layer in part for name in (*layer.inputs, layer.name))
    return least_peak(plain, {tensor: sizes[tensor] for tensor in tensors}, state_limit)


def _check_order(graph: Graph) -> None:
    written = {IMAGE}
    for layer in graph.layers:
        missing = [name for name in layer.inputs if name not in written]
        if missing:
            raise GraphError(f"layer {layer.name!r}: expected {missing[0]!r} to be written before, found it is not")
        written.add(layer.name)


def _parts(layers: Sequence[Layer], source: str) -> Iterator[Sequence[Layer]]:
    """Yield the layers between places at which one tensor alone is in memory, in order."""
    last = {name: place for place, layer in enumerate(layers) for name in layer.inputs}
    alive = {source}  # what nothing reads lives to the end
    begin = 0
    for place, layer in enumerate(layers):
        alive.add(layer.name)
        alive.difference_update(name for name in layer.inputs if last[name] == place)
        if len(alive) == 1:
            yield layers[begin : place + 1]
            begin = place + 1
    if begin < len(layers):
        yield layers[begin:]
