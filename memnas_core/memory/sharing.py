"""Sharing of memory between tensors of a graph: rewrites of a graph before its arena is planned.

A `SharedGraph` has a graph's layers in the order in which they run, and says for each tensor in which tensor's memory
it lies. At first each tensor has memory of its own (`unshared`). Each rewrite returns another `SharedGraph`:

    rewrite               effect
    left_out              some tensors take no memory: the caller of the network provides it
    with_in_place         an element-wise layer writes its output over an input of the same size, if nothing needs
                          that input afterwards
    with_direct_concats   the inputs of a concatenation are written straight into their parts of its output

`SharedGraph.plain` returns the result as a plain graph, for `memnas_core.memory.lifetimes` and
`memnas_core.memory.arena`.

Working in place never raises the peak of an order. Direct concatenations can raise it, because the whole output is
reserved as soon as its first part is written. A concatenation that copies needs its inputs and its output together,
but only while it runs.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice
from operator import itemgetter

from memnas_core.errors import GraphError
from memnas_core.memory.dataflow import Layers, Sizes
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Home:
    """The place of a tensor.

    Attributes:
        tensor: Owner of the memory: the tensor itself, or a tensor that takes all of this memory.
        offset: Offset of the tensor in this memory, in bytes.
    """

    tensor: str
    offset: int


@dataclass(frozen=True, slots=True)
class SharedGraph:
    """A graph in the order in which it runs, with the places of its tensors.

    Attributes:
        layers: Layer name -> (names of inputs, names of outputs), in running order.
        sizes: Tensor name -> bytes.
        homes: Tensor name -> place of the tensor. A tensor without a home is left out.
        overwritten: Layer that runs in place -> the input over which it writes.
        part_of: Tensor -> output of the concatenation into which it is written as a part.
    """

    layers: Layers
    sizes: Sizes
    homes: Mapping[str, Home]
    overwritten: Mapping[str, str]
    part_of: Mapping[str, str]

    def tenants(self) -> dict[str, list[str]]:
        """Return owner of a memory -> names of all tensors that lie in it."""
        found: dict[str, list[str]] = defaultdict(list)
        for tensor, home in self.homes.items():
            found[home.tensor].append(tensor)
        return found

    def memory_names(self) -> dict[str, str]:
        """Return owner of a memory -> name of this memory in `plain`."""
        return {home: home if tenants == [home] else f"memory of {home}" for home, tenants in self.tenants().items()}

    def plain(self) -> tuple[Layers, Sizes]:
        """Return layers and sizes in which memory that tensors share is one tensor.

        This tensor is called `memory of NAME`. Tensors that share it have 0 bytes, and so have those that are left
        out. The layers are the same, but some wait for others by means of tensors of 0 bytes (`A before B`), so that
        the sharing is right in every order in which this graph can run: a tensor is overwritten only after it has been
        read, and of the layers that write parts of one memory the same layer stays the first.
        """
        plain = _PlainGraph(self)
        tenants = self.tenants()
        for home, memory in self.memory_names().items():
            if memory != home:
                plain.join(memory, self.sizes[home], tenants[home])
        written_by = {tensor: layer for layer, (_, writes) in self.layers.items() for tensor in writes}
        for layer, source in self.overwritten.items():
            # The layer that wrote the source has waited for all that came before it, if it works in place itself.
            begin = written_by.get(source) if written_by.get(source) in self.overwritten else None
            for tensor, reader in plain.reads_between(self.homes[source].tensor, begin, layer):
                if self._touch(tensor, source):
                    plain.wait(reader, layer)
        layers = {name: (tuple(plain.reads[name]), tuple(plain.writes[name])) for name in self.layers}
        return layers, plain.sizes

    def _touch(self, first: str, second: str) -> bool:
        """Return whether two tensors in the same memory have bytes in common."""
        one, other = self.homes[first].offset, self.homes[second].offset
        return one < other + self.sizes[second] and other < one + self.sizes[first]


class _PlainGraph:
    """A plain graph under construction; see `SharedGraph.plain`."""

    def __init__(self, graph: SharedGraph) -> None:
        self.position = {layer: place for place, layer in enumerate(graph.layers)}
        self.reads = {layer: list(inputs) for layer, (inputs, _) in graph.layers.items()}
        self.writes = {layer: list(outputs) for layer, (_, outputs) in graph.layers.items()}
        self.sizes = {tensor: size if tensor in graph.homes else 0 for tensor, size in graph.sizes.items()}
        self._waits = {layer: set(inputs) for layer, (inputs, _) in graph.layers.items()}  # `reads` as sets
        self._readers = _users(graph, 0)
        self._writers = _users(graph, 1)
        self._read_in: dict[str, list[tuple[int, str, str]]] = defaultdict(list)  # position, tensor, reader by home
        for layer, (inputs, _) in graph.layers.items():
            for tensor in dict.fromkeys(inputs):
                if tensor in graph.homes:
                    self._read_in[graph.homes[tensor].tensor].append((self.position[layer], tensor, layer))

    def join(self, memory: str, size: int, tenants: Sequence[str]) -> None:
        """Add one tensor for the memory that tensors share, in memory from the first to the last of them."""
        self.sizes[memory] = size
        self.sizes.update(dict.fromkeys(tenants, 0))
        readers, writers = self._in_order(self._readers, tenants), self._in_order(self._writers, tenants)
        # Otherwise a tenant is an input of the graph.
        first = writers.pop(0) if all(tensor in self._writers for tensor in tenants) else None
        if first is not None:
            self.writes[first].append(memory)
        if all(tensor in self._readers for tensor in tenants):
            for layer in dict.fromkeys((*readers, *writers)):
                self._read(layer, memory)
        elif first is not None:  # a tenant that no layer reads stays in memory to the end
            for layer in writers:
                self.wait(first, layer)

    def reads_between(self, home: str, begin: str | None, end: str) -> Iterator[tuple[str, str]]:
        """Yield the tensors in a memory that layers between two others read, and these layers."""
        events = self._read_in[home]
        first = 0 if begin is None else bisect_right(events, self.position[begin], key=itemgetter(0))
        for position, tensor, layer in islice(events, first, None):
            if position >= self.position[end]:
                return
            yield tensor, layer

    def wait(self, first: str, second: str) -> None:
        """Let the second layer wait for the first."""
        if self._waits[second].isdisjoint(self.writes[first]):
            token = f"{first} before {second}"
            self.sizes[token] = 0
            self.writes[first].append(token)
            self._read(second, token)

    def _read(self, layer: str, tensor: str) -> None:
        self.reads[layer].append(tensor)
        self._waits[layer].add(tensor)

    def _in_order(self, users: Mapping[str, Sequence[str]], tensors: Iterable[str]) -> list[str]:
        found = {layer for tensor in tensors for layer in users.get(tensor, ())}
        return sorted(found, key=self.position.__getitem__)


def _users(graph: SharedGraph, side: int) -> dict[str, list[str]]:
    """Return tensor -> layers that read it (side 0) or write it (side 1)."""
    found: dict[str, list[str]] = defaultdict(list)
    for layer, ends in graph.layers.items():
        for tensor in ends[side]:
            found[tensor].append(layer)
    return dict(found)


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
    """Return a graph without memory for some tensors, which the caller of the network provides.

    Raises:
        GraphError: A tensor is unknown or shares memory already.
    """
    tenants = graph.tenants()
    for tensor in tensors:
        if tenants.get(tensor) != [tensor]:
            raise GraphError(f"tensor {tensor!r}: expected one with memory of its own to leave out")
    return replace(graph, homes={tensor: home for tensor, home in graph.homes.items() if tensor not in tensors})


def with_in_place(graph: SharedGraph, names: Collection[str]) -> SharedGraph:
    """Return a graph in which layers that work element by element write their output over an input.

    A layer writes over its first input that has the output's size and that nothing needs after this layer. An input of
    the graph is treated like any other tensor.

    Args:
        graph: Graph to rewrite.
        names: Names of the layers; only those with one output that takes memory can work in place.

    Raises:
        GraphError: A layer is unknown.
    """
    draft = _Draft(graph)
    for layer in _in_running_order(graph, names):
        reads, outputs = graph.layers[layer]
        writes = [tensor for tensor in outputs if graph.sizes[tensor]]
        for source in reads:
            if len(writes) == 1 and draft.may_overwrite(source, writes[0]):
                draft.overwrite(layer, source, writes[0])
                break
    return draft.finished()


def with_direct_concats(graph: SharedGraph, names: Collection[str], alignment: int = 1) -> SharedGraph:
    """Return a graph in which the inputs of concatenations are written straight into their parts of the output.

    An input keeps its own memory, and is copied, if it is an input of the graph, is part of another concatenation
    already, is needed longer than the output, is overwritten by another tensor while the output is needed, occurs a
    second time, or would not be aligned.

    Args:
        graph: Graph to rewrite.
        names: Names of the concatenations. Each joins its inputs one behind the other, as channels are joined at
            batch 1 if they are the slowest dimension.
        alignment: Number of bytes; each part begins at a multiple of it in its memory.

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
            if offset % alignment == 0 and draft.may_be_part(tensor, writes[0]):
                draft.make_part(tensor, writes[0], offset)
            offset += graph.sizes[tensor]
    return draft.finished()


def _in_running_order(graph: SharedGraph, names: Collection[str]) -> list[str]:
    unknown = sorted(set(names) - graph.layers.keys())
    if unknown:
        raise GraphError(f"layer {unknown[0]!r}: expected one of the graph's {len(graph.layers)} layers")
    return [layer for layer in graph.layers if layer in names]


class _Draft:
    """A shared graph under construction, with the lifetimes that decide which tensors may share memory."""

    def __init__(self, graph: SharedGraph) -> None:
        self._graph = graph
        self._homes = dict(graph.homes)
        self._tenants = graph.tenants()
        self._overwritten = dict(graph.overwritten)
        self._part_of = dict(graph.part_of)
        rows = lifetimes(graph.layers, graph.sizes, "sequential").rows
        self._born = {row.tensor: row.born for row in rows}
        self._last = {row.tensor: row.last for row in rows}
        # Of each memory the two tenants that are needed longest; the others are gone before.
        self._latest = {
            home: nlargest(2, ((self._last[tenant], tenant) for tenant in tenants))
            for home, tenants in self._tenants.items()
        }
        self._rooms = Rooms(
            {tensor: (graph.homes[tensor].offset, graph.sizes[tensor]) for tensor in tenants}
            for tenants in self._tenants.values()
        )
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
                last < self._born[output] + (tenant == source)
                for last, tenant in self._latest[self._homes[source].tensor]
            )
        )

    def overwrite(self, layer: str, source: str, output: str) -> None:
        """Put an output into the place of an input of its layer."""
        self._move([output], self._homes[source])
        self._rooms.share(output, source)
        self._overwritten[layer] = source

    def may_be_part(self, tensor: str, output: str) -> bool:
        """Return whether an input of a concatenation may be written straight into its part of the output."""
        if not self._has_all_of_its_memory(tensor) or output not in self._homes:
            return False
        old, new = self._homes[tensor].tensor, self._homes[output]
        moved = self._tenants[old]
        if old == new.tensor or not self._size(tensor) or not self._produced.issuperset(moved):
            return False
        if any(self._last[tenant] > self._last[output] for tenant in moved):
            return False
        around = self._rooms.around(output)
        return not any(self._conflict(tenant, other, tensor, output) for tenant in moved for other in around)

    def make_part(self, tensor: str, output: str, offset: int) -> None:
        """Put an input of a concatenation, and the tensors that share its memory, into the output."""
        old, new = self._homes[tensor].tensor, self._homes[output]
        self._move(self._tenants[old], Home(new.tensor, new.offset + offset))
        self._rooms.put_into(old, output)
        self._part_of[tensor] = output

    def _has_all_of_its_memory(self, tensor: str) -> bool:
        return tensor in self._homes and self._size(self._homes[tensor].tensor) == self._size(tensor)

    def _conflict(self, tenant: str, other: str, tensor: str, output: str) -> bool:
        """Return whether two tensors would need the same bytes for different contents at the same time."""
        if self._last[tenant] < self._born[other] or self._last[other] < self._born[tenant]:
            return False
        return tensor not in self._wholes(tenant) or other not in self._wholes(output)

    def _wholes(self, tensor: str) -> Iterator[str]:
        """Yield a tensor, the concatenation of which it is a part, the one of which this is a part, and so on."""
        yield tensor
        while tensor in self._part_of:
            tensor = self._part_of[tensor]
            yield tensor

    def _move(self, tensors: list[str], home: Home) -> None:
        """Put tensors that have a memory to themselves into another one, at an offset."""
        old = self._homes[tensors[0]].tensor
        self._tenants[home.tensor] += self._tenants.pop(old)
        self._latest[home.tensor] = nlargest(2, self._latest[home.tensor] + self._latest.pop(old))
        for tensor in tensors:
            self._homes[tensor] = Home(home.tensor, home.offset + self._homes[tensor].offset)

    def _size(self, tensor: str) -> int:
        return self._graph.sizes[tensor]
