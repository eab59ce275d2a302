"""Which tensors of a graph share memory: rewrites of a graph before its arena is planned.

A `SharedGraph` has a graph's layers in the order in which they run, and says of each tensor in whose memory it
lies. At first each has its own (`unshared`). Each rewrite is a function that returns another `SharedGraph`:

    rewrite               effect
    left_out              some tensors take no memory: whoever calls the network provides it
    with_in_place         an element-wise layer writes its output over an input of the same size, if nothing needs
                          that input afterwards
    with_direct_concats   the inputs of a concatenation are written straight into their parts of its output

`SharedGraph.plain` spells the result out as a graph of the usual kind, for `memnas_core.memory` and
`memnas_core.arena`.

In place, the peak of an order never rises. With direct concatenations it can: a whole output is reserved as soon
as its first part is written. Otherwise a concatenation needs its inputs and its output together, but only then.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from memnas_core.dataflow import Layers, Sizes
from memnas_core.errors import GraphError
from memnas_core.memory import lifetimes


@dataclass(frozen=True, slots=True)
class Home:
    """Where a tensor lies.

    Attributes:
        tensor: Whose memory it is: the tensor's own name, or that of one that takes all of this memory.
        offset: Where in this memory the tensor begins, in bytes.
    """

    tensor: str
    offset: int


@dataclass(frozen=True, slots=True)
class SharedGraph:
    """A graph in the order in which it runs, and where its tensors lie.

    Attributes:
        layers: Layer name -> (names of inputs, names of outputs), in running order.
        sizes: Tensor name -> bytes.
        homes: Where each tensor lies. A tensor without a home is left out.
        overwritten: Layer that runs in place -> the input over which it writes.
        part_of: Tensor -> the concatenation of which it is written as a part.
    """

    layers: Layers
    sizes: Sizes
    homes: Mapping[str, Home]
    overwritten: Mapping[str, str]
    part_of: Mapping[str, str]

    def tenants(self) -> dict[str, list[str]]:
        """Return whose memory it is -> all tensors that lie in it."""
        found: dict[str, list[str]] = defaultdict(list)
        for tensor, home in self.homes.items():
            found[home.tensor].append(tensor)
        return found

    def memory_names(self) -> dict[str, str]:
        """Return whose memory it is -> the name of this memory in `plain`."""
        return {home: home if tenants == [home] else f"memory of {home}" for home, tenants in self.tenants().items()}

    def plain(self) -> tuple[Layers, Sizes]:
        """Return layers and sizes in which memory that tensors share is one tensor.

        It is called `memory of NAME`. Those who share it have no bytes of their own any more, nor have those
        left out. The layers are the same; some wait for others by means of tensors without bytes (`A before B`),
        so that the sharing is right in every order in which this graph can run: what a layer overwrites has been
        read before, and of the layers that write parts of one memory the same one stays the first.
        """
        plain = _PlainGraph(self)
        tenants = self.tenants()
        for home, memory in self.memory_names().items():
            if memory != home:
                plain.join(memory, self.sizes[home], set(tenants[home]))
        for layer, source in self.overwritten.items():
            for tensor in tenants[self.homes[source].tensor]:
                if self._touch(tensor, source):
                    plain.read_before(tensor, layer)
        layers = {name: (tuple(plain.reads[name]), tuple(plain.writes[name])) for name in self.layers}
        return layers, plain.sizes

    def _touch(self, first: str, second: str) -> bool:
        """Return whether two tensors in the same memory have bytes in common."""
        one, other = self.homes[first].offset, self.homes[second].offset
        return one < other + self.sizes[second] and other < one + self.sizes[first]


class _PlainGraph:
    """A plain graph in the making; see `SharedGraph.plain`."""

    def __init__(self, graph: SharedGraph) -> None:
        self.layers = graph.layers
        self.position = {layer: place for place, layer in enumerate(graph.layers)}
        self.reads = {layer: list(inputs) for layer, (inputs, _) in graph.layers.items()}
        self.writes = {layer: list(outputs) for layer, (_, outputs) in graph.layers.items()}
        self.sizes = {tensor: size if tensor in graph.homes else 0 for tensor, size in graph.sizes.items()}

    def join(self, memory: str, size: int, tenants: set[str]) -> None:
        """Make one tensor of the memory that some share; it is in memory from the first to the last of them."""
        self.sizes[memory] = size
        self.sizes.update(dict.fromkeys(tenants, 0))
        readers = [layer for layer, (inputs, _) in self.layers.items() if tenants & set(inputs)]
        writers = [layer for layer, (_, outputs) in self.layers.items() if tenants & set(outputs)]
        written = {tensor for layer in writers for tensor in self.layers[layer][1]}
        read = {tensor for layer in readers for tensor in self.layers[layer][0]}
        first = writers.pop(0) if tenants <= written else None  # otherwise an input of the graph is among them
        if first is not None:
            self.writes[first].append(memory)
        if tenants <= read:  # otherwise one of them is kept to the end, as what nothing reads is
            for layer in dict.fromkeys((*readers, *writers)):
                self.reads[layer].append(memory)
        elif first is not None:
            for layer in writers:
                self._wait(first, layer)

    def read_before(self, tensor: str, layer: str) -> None:
        """Let a layer wait for all others that read a tensor and come before it."""
        for reader, (inputs, _) in self.layers.items():
            if tensor in inputs and self.position[reader] < self.position[layer]:
                self._wait(reader, layer)

    def _wait(self, first: str, second: str) -> None:
        if not set(self.writes[first]) & set(self.reads[second]):
            token = f"{first} before {second}"
            self.sizes[token] = 0
            self.writes[first].append(token)
            self.reads[second].append(token)


def unshared(layers: Layers, sizes: Sizes, order: Sequence[str] | None = None) -> SharedGraph:
    """Return a graph in which each tensor has memory of its own.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        order: The order in which layers run; default: the order of `layers`.

    Raises:
        GraphError: The graph is cyclic or incomplete, or the order impossible.
    """
    steps = lifetimes(layers, sizes, "sequential", order).steps
    in_order = {layer: layers[layer] for step in steps for layer in step}
    return SharedGraph(in_order, dict(sizes), {tensor: Home(tensor, 0) for tensor in sizes}, {}, {})


def left_out(graph: SharedGraph, tensors: Collection[str]) -> SharedGraph:
    """Leave tensors out: whoever calls the network provides their memory, and they share none.

    Raises:
        GraphError: One of them is unknown or shares memory already.
    """
    tenants = graph.tenants()
    for tensor in tensors:
        if tenants.get(tensor) != [tensor]:
            raise GraphError(f"tensor {tensor!r}: expected one with memory of its own to leave out")
    return replace(graph, homes={tensor: home for tensor, home in graph.homes.items() if tensor not in tensors})


def with_in_place(graph: SharedGraph, names: Collection[str]) -> SharedGraph:
    """Let layers that work element by element write their output over an input.

    A layer writes over the first of its inputs that has the output's size and is not in memory after this layer
    otherwise. An input of the graph is treated like any other tensor.

    Args:
        graph: What to rewrite.
        names: The layers, each with one output.

    Raises:
        GraphError: A layer is unknown.
    """
    draft = _Draft(graph)
    for layer in _in_running_order(graph, names):
        reads, writes = graph.layers[layer]
        for source in reads:
            if len(writes) == 1 and draft.may_overwrite(source, writes[0]):
                draft.overwrite(layer, source, writes[0])
                break
    return draft.finished()


def with_direct_concats(graph: SharedGraph, names: Collection[str], alignment: int = 1) -> SharedGraph:
    """Let the inputs of concatenations be written straight into their parts of the output.

    An input stays apart, to be copied, if it is an input of the graph, is part of another concatenation already,
    is needed longer than the output, is overwritten by another tensor while the output is needed, occurs twice
    (the second time), or would not be aligned.

    Args:
        graph: What to rewrite.
        names: The concatenations. Each joins its inputs one behind the other, as channels are joined at batch 1
            where they are the slowest dimension.
        alignment: Each part begins at a multiple of so many bytes of its memory.

    Raises:
        GraphError: A layer is unknown, or the bytes of its inputs don't add up to those of its output.
    """
    draft = _Draft(graph)
    for layer in _in_running_order(graph, names):
        reads, writes = graph.layers[layer]
        total = sum(graph.sizes[tensor] for tensor in reads)
        if len(writes) != 1 or graph.sizes[writes[0]] != total:
            found = {tensor: graph.sizes[tensor] for tensor in writes}
            raise GraphError(f"layer {layer!r}: expected one output of its inputs' {total} bytes, found {found}")
        offset = 0
        for tensor in reads:
            if offset % alignment == 0 and draft.may_be_part(tensor, writes[0], offset):
                draft.make_part(tensor, writes[0], offset)
            offset += graph.sizes[tensor]
    return draft.finished()


def _in_running_order(graph: SharedGraph, names: Collection[str]) -> list[str]:
    unknown = sorted(set(names) - graph.layers.keys())
    if unknown:
        raise GraphError(f"layer {unknown[0]!r}: expected one of the graph's {len(graph.layers)} layers")
    return [layer for layer in graph.layers if layer in names]


class _Draft:
    """A shared graph in the making, with the lifetimes that decide what may share memory."""

    def __init__(self, graph: SharedGraph) -> None:
        self._graph = graph
        self._homes = dict(graph.homes)
        self._tenants = graph.tenants()
        self._overwritten = dict(graph.overwritten)
        self._part_of = dict(graph.part_of)
        rows = lifetimes(graph.layers, graph.sizes, "sequential").rows
        self._born = {row.tensor: row.born for row in rows}
        self._last = {row.tensor: row.last for row in rows}
        self._produced = {tensor for _, writes in graph.layers.values() for tensor in writes}

    def finished(self) -> SharedGraph:
        """Return the graph as it is now."""
        return replace(self._graph, homes=self._homes, overwritten=self._overwritten, part_of=self._part_of)

    def may_overwrite(self, source: str, output: str) -> bool:
        """Return whether an output may be written over an input of its layer."""
        return (
            self._has_all_of_its_memory(source)
            and self._tenants.get(output) == [output]
            and 0 < self._size(source) == self._size(output)
            and all(
                self._last[tenant] < self._born[output] + (tenant == source)
                for tenant in self._tenants[self._homes[source].tensor]
            )
        )

    def overwrite(self, layer: str, source: str, output: str) -> None:
        """Put an output where an input of its layer lies."""
        self._move(output, self._homes[source])
        self._overwritten[layer] = source

    def may_be_part(self, tensor: str, output: str, offset: int) -> bool:
        """Return whether an input of a concatenation may lie at an offset in the output from the beginning."""
        if not self._has_all_of_its_memory(tensor) or output not in self._homes:
            return False
        old, new = self._homes[tensor].tensor, self._homes[output]
        moved = self._tenants[old]
        if old == new.tensor or not self._size(tensor) or not self._produced.issuperset(moved):
            return False
        if any(self._last[tenant] > self._last[output] for tenant in moved):
            return False
        begin = new.offset + offset
        return not any(
            self._conflict(tenant, other, tensor, output)
            for tenant in moved
            for other in self._tenants[new.tensor]
            if begin + self._homes[tenant].offset < self._homes[other].offset + self._size(other)
            and self._homes[other].offset < begin + self._homes[tenant].offset + self._size(tenant)
        )

    def make_part(self, tensor: str, output: str, offset: int) -> None:
        """Put an input of a concatenation, and what shares its memory, into the output."""
        old, new = self._homes[tensor].tensor, self._homes[output]
        for tenant in self._tenants[old].copy():
            self._move(tenant, Home(new.tensor, new.offset + offset + self._homes[tenant].offset))
        self._part_of[tensor] = output

    def _has_all_of_its_memory(self, tensor: str) -> bool:
        return tensor in self._homes and self._size(self._homes[tensor].tensor) == self._size(tensor)

    def _conflict(self, tenant: str, other: str, tensor: str, output: str) -> bool:
        """Return whether two tensors would need the same bytes for different things at some time."""
        if self._last[tenant] < self._born[other] or self._last[other] < self._born[tenant]:
            return False
        return tensor not in self._wholes(tenant) or other not in self._wholes(output)

    def _wholes(self, tensor: str) -> Iterator[str]:
        """Yield a tensor, the concatenation that it is a part of, the one that this is a part of, and so on."""
        yield tensor
        while tensor in self._part_of:
            tensor = self._part_of[tensor]
            yield tensor

    def _move(self, tensor: str, home: Home) -> None:
        self._tenants[self._homes[tensor].tensor].remove(tensor)
        self._tenants[home.tensor].append(tensor)
        self._homes[tensor] = home

    def _size(self, tensor: str) -> int:
        return self._graph.sizes[tensor]
