"""Depthwise convolutions that write their output over their input.

Each channel of a depthwise convolution's output needs one channel of its input alone. So it can be computed channel by
channel in a buffer of one channel, which is then copied over the input channel; the output lies at the beginning of the
input's memory, also where a stride makes it smaller. The buffer is not counted, like other memory inside a layer.

Source: MCUNet (Lin et al., NeurIPS 2020), section 3.2, "in-place depth-wise convolution".
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.sharing import Home, SharedGraph


def with_depthwise_in_place(graph: SharedGraph, names: Collection[str]) -> Iterator[SharedGraph]:
    """Yield graphs in which depthwise convolutions write over their input where nothing else needs it any more.

    A smaller output keeps the whole memory of its input in use, which can need more than memory of its own where the
    output lives long. So the first graph has only outputs of their input's size in place, the second has all.

    Args:
        graph: Graph to rewrite.
        names: Names of the depthwise convolutions.
    """
    rows = lifetimes(graph.layers, graph.sizes, "sequential").rows
    born, last = {row.tensor: row.born for row in rows}, {row.tensor: row.last for row in rows}
    for allows_smaller in (False, True):
        homes, overwritten = dict(graph.homes), dict(graph.overwritten)
        for layer, (reads, writes) in graph.layers.items():
            if layer not in names or len(writes) != 1 or not reads:
                continue
            source, output = reads[0], writes[0]
            if source not in homes or homes.get(output) != Home(output, 0) or homes[source].tensor == output:
                continue
            owner = homes[source].tensor
            size = graph.sizes[source]
            guests = [tensor for tensor, home in homes.items() if home.tensor == output]
            fits = graph.sizes[output] == size or (allows_smaller and graph.sizes[output] < size)
            is_whole = homes[source].offset == 0 and graph.sizes[owner] == size
            tenants = [tensor for tensor, home in homes.items() if home.tensor == owner]
            is_free = all(last[tenant] < born[output] + (tenant == source) for tenant in tenants)
            if fits and is_whole and is_free and all(born[guest] >= born[output] for guest in guests):
                homes |= {guest: replace(homes[guest], tensor=owner) for guest in guests}
                overwritten[layer] = source
        yield replace(graph, homes=homes, overwritten=overwritten)
