"""The order in which a network's layers run: the one that needs the least memory for the whole network.

If only one tensor is in memory between two layers, all layers before this place run before all layers after it, in any
order. So the network is cut there, and each part is put into its best order. The parts in a row are the best order of
the network: its peak is the largest peak of a part, and every order of the network needs at least the largest lower
bound of a part. The end of a block is always such a place; there may be more within blocks and cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from memnas_core.errors import GraphError
from memnas_core.memory.lifetimes import STATE_LIMIT, LeastPeak, least_peak
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import Layer


def best_order(graph: Graph, element_bytes: int = 4, state_limit: int = STATE_LIMIT) -> tuple[Graph, LeastPeak]:
    """Return the network with its layers in the order that needs least memory, and the peak of this order.

    A part whose given order is as good as the best one found keeps it.

    Args:
        graph: The network, with its layers in an order in which they can run.
        element_bytes: Bytes of one activation, for the figures; the order does not depend on it.
        state_limit: Number of states to look at in each part before giving up exactness.

    Returns:
        The graph in its running order, and its `minimum` peak at batch 1. If `exact` is false, a part was too large
        to look at all its orders: `order` is the best one found, and every order needs at least `lower_bound`.

    Raises:
        GraphError: The layers cannot run in the order given.
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
    """Return the `minimum` peak of a block, and the order that `best_order` gives its layers in any network.

    Args:
        layers: Layers of the block, in an order in which they can run.
        source: Name of the block's input, the only tensor in memory at its start.
        sizes: Tensor name -> size, in any unit.

    Returns:
        The peak in the unit of `sizes`, and the indices of the layers in `layers` in their best order.
    """
    found = [_least(part, sizes, STATE_LIMIT) for part in _parts(layers, source)]
    place = {layer.name: number for number, layer in enumerate(layers)}
    order = tuple(place[name] for part in found for name in part.order)
    return max((part.bytes for part in found), default=sizes[source]), order


def _least(part: Sequence[Layer], sizes: Mapping[str, int], state_limit: int) -> LeastPeak:
    """Return the least peak of a part and its order, which is the given one if none is better."""
    last = {name: place for place, layer in enumerate(part) for name in layer.inputs}
    live = peak = sum(sizes[name] for name in last.keys() - {layer.name for layer in part})
    bound = 0  # a layer's inputs and outputs are in memory while it runs, in any order
    for place, layer in enumerate(part):
        reads = set(layer.inputs)
        live += sizes[layer.name]
        peak = max(peak, live)
        bound = max(bound, sizes[layer.name] + sum(sizes[name] for name in reads))
        live -= sum(sizes[name] for name in reads if last[name] == place)
    if peak == bound:  # true of most parts; only the others are searched
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
    """Yield, in order, the parts between places at which only one tensor is in memory."""
    last = {name: place for place, layer in enumerate(layers) for name in layer.inputs}
    alive = {source}  # an unread tensor stays in memory to the end
    begin = 0
    for place, layer in enumerate(layers):
        alive.add(layer.name)
        alive.difference_update(name for name in layer.inputs if last[name] == place)
        if len(alive) == 1:
            yield layers[begin : place + 1]
            begin = place + 1
    if begin < len(layers):
        yield layers[begin:]
