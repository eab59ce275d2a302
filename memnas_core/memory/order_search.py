"""The order of layers that needs the least activation memory.

This is a best-first search. A state is the set of layers that have run; it decides which tensors are in memory. States
are visited in the order of the peak on the way to them, so that the first visited state in which all layers have run
has the least peak of all orders. Four facts keep the search small:

- Every order needs at least this bound: what must be in memory while a given layer runs, whatever the order. Most
  often the order in which the layers are given reaches the bound; otherwise the search starts with it.
- A ready layer that fits under the peak so far and does not increase the memory in use can run at once without
  loss: if it is moved to the front of the remaining order, no later step needs more memory.
- Layers that read the same tensors, write tensors of the same sizes and have the same readers are interchangeable:
  only one order of them is tried.
- A layer that all paths pass through can run only after all layers before it. So the cost of a chain of blocks is
  the sum, not the product, of the costs of its blocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import heapify, heappop, heappush
from operator import and_, or_

from memnas_core.memory.dataflow import Dataflow, successors

_Trail = tuple["_Trail | None", int]
_State = tuple[int, int, int, int, list[int], "_Trail | None"]
"""Peak so far, minus the order of insertion, live bytes, mask of finished layers, layers that were ready before the
last one ran, trail."""


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """The result of the search.

    Attributes:
        peak: Bytes that `order` needs.
        order: Numbers of the layers.
        lower_bound: Bytes that every order needs.
    """

    peak: int
    order: list[int]
    lower_bound: int


def search(flow: Dataflow, state_limit: int) -> FoundOrder:
    """Return the order with the least peak, or a good one if looking at `state_limit` states is not enough."""
    bound = lower_bound(flow)
    given = given_order(flow)
    if given and peak_of(flow, given) == bound:
        return FoundOrder(bound, given, bound)
    return _Search(flow).run(bound, state_limit)


class _Search:
    def __init__(self, flow: Dataflow) -> None:
        self.flow = flow
        self.all_layers = (1 << len(flow.layer_names)) - 1
        self.output_bytes = [sum(flow.size[tensor] for tensor in writes) for writes in flow.outputs]
        self.masks = [1 << layer for layer in range(len(flow.layer_names))]
        self.freed = [0] * len(flow.layer_names)  # bytes of the inputs that no other layer reads
        self.shared: list[list[tuple[int, int]]] = [[] for _ in flow.layer_names]  # readers and bytes of the others
        for layer, reads in enumerate(flow.inputs):
            for tensor in reads:
                if flow.readers[tensor] == self.masks[layer]:
                    self.freed[layer] += flow.size[tensor]
                else:
                    self.shared[layer].append((flow.readers[tensor], flow.size[tensor]))
        self.predecessors = _with_twins_in_order(flow)
        self.successors = successors(self.predecessors)

    def run(self, bound: int, state_limit: int) -> FoundOrder:
        start = [layer for layer, before in enumerate(self.predecessors) if not before]
        heap: list[_State] = [(bound, 0, self.flow.start_bytes(), 0, start, None)]
        reached: dict[int, int] = {}  # mask of layers that have run -> least peak on the way there
        seen = 0
        while True:
            peak, _, live, done, ready, trail = heappop(heap)
            if trail is not None:
                ready = self._ready_after(trail[1], done, ready)
            live, done, ready, trail = self._run_free(peak, live, done, ready, trail)
            if done == self.all_layers:
                return FoundOrder(peak, _unwind(trail), peak)
            if seen >= state_limit:
                return self._settle(peak, done, ready, trail)
            options, left = [], ~done
            for layer in ready:
                needed = live + self.output_bytes[layer]
                options.append((needed - self._freed(layer, left), max(peak, needed), layer))
            options.sort(reverse=True)  # of equal peaks the last, which leaves least memory, comes first
            for after, higher, layer in options:
                now = done | self.masks[layer]
                seen += 1
                if now not in reached or higher < reached[now]:
                    reached[now] = higher
                    heappush(heap, (higher, -seen, after, now, ready, (trail, layer)))

    def _run_free(
        self, peak: int, live: int, done: int, ready: list[int], trail: _Trail | None
    ) -> tuple[int, int, list[int], _Trail | None]:
        """Run ready layers that fit under the peak and do not increase the memory in use, until none is left."""
        again = True
        while again:
            again, left = False, ~done
            for layer in ready:
                output = self.output_bytes[layer]
                if live + output <= peak:
                    freed = self._freed(layer, left)
                    if freed >= output:
                        done |= self.masks[layer]
                        live += output - freed
                        ready = self._ready_after(layer, done, ready)
                        trail = (trail, layer)
                        again = True
                        break
        return live, done, ready, trail

    def _settle(self, bound: int, done: int, ready: list[int], trail: _Trail | None) -> FoundOrder:
        """Return the best of a few good orders, for a search that was cut short."""
        start = [layer for layer, before in enumerate(self.predecessors) if not before]
        orders = [
            self._greedy(_unwind(trail), done, ready),
            self._greedy([], 0, start),
            given_order(self.flow),
        ]
        peak, order = min((peak_of(self.flow, order), order) for order in orders if order)
        return FoundOrder(peak, order, bound)

    def _greedy(self, order: list[int], done: int, ready: list[int]) -> list[int]:
        """Return an order completed greedily: the next layer is always the one that leaves least memory in use."""
        left = ~done
        queue = [(self.output_bytes[layer] - self._freed(layer, left), layer) for layer in ready]
        heapify(queue)
        while queue:
            _, layer = heappop(queue)
            if done & self.masks[layer]:
                continue  # it has run, when it freed more than at its first entry
            done |= self.masks[layer]
            order.append(layer)
            left = ~done
            new = [other for other in self.successors[layer] if not self.predecessors[other] & left]
            # Where only one reader of a tensor is left, it now frees the tensor.
            last = [readers & left for readers, _ in self.shared[layer]]
            new += [readers.bit_length() - 1 for readers in last if readers and not readers & (readers - 1)]
            for other in new:
                if not self.predecessors[other] & left:
                    heappush(queue, (self.output_bytes[other] - self._freed(other, left), other))
        return order

    def _freed(self, layer: int, left: int) -> int:
        """Return the bytes of the inputs whose last reader is this layer, given the mask of the layers left to run."""
        freed, mask = self.freed[layer], self.masks[layer]
        for readers, size in self.shared[layer]:
            if readers & left == mask:
                freed += size
        return freed

    def _ready_after(self, layer: int, done: int, ready: list[int]) -> list[int]:
        predecessors, rest, place = self.predecessors, ~done, ready.index(layer)
        new = [other for other in self.successors[layer] if not predecessors[other] & rest]
        return ready[:place] + ready[place + 1 :] + new


def lower_bound(flow: Dataflow) -> int:
    """Return a number of bytes that every order needs in some step.

    While a layer runs, a tensor is in memory in any order if it is an input of the graph or written by that
    layer or an ancestor, and is read by that layer or a descendant, or by no layer. The inputs are all in memory
    before the first layer, and the tensors that no layer reads after the last one.
    """
    start = _mask(tensor for tensor, producer in enumerate(flow.producer) if not producer)
    unread = _mask(tensor for tensor, readers in enumerate(flow.readers) if not readers)
    exist = [start | _mask(writes) for writes in flow.outputs]  # masks of tensors that exist when a layer runs
    needed = [unread | _mask(reads) for reads in flow.inputs]  # and of those that it or a later layer reads
    in_order = [layer for step in flow.steps for layer in step]
    for layer in in_order:
        for other in flow.successors[layer]:
            exist[other] |= exist[layer]
    for layer in reversed(in_order):
        for other in flow.successors[layer]:
            needed[layer] |= needed[other]
    weigh = _Scales(flow.size)
    return max(flow.start_bytes(), weigh(unread), *(weigh(mask) for mask in map(and_, exist, needed)))


class _Scales:
    """Sums of the bytes of sets of tensors, by the bits of each size: so many tensors have it, so many bytes each."""

    def __init__(self, sizes: Sequence[int]) -> None:
        bits = range(max(sizes, default=0).bit_length())
        masks = [_mask(tensor for tensor, size in enumerate(sizes) if size >> bit & 1) for bit in bits]
        self._masks = [(bit, mask) for bit, mask in enumerate(masks) if mask]

    def __call__(self, tensors: int) -> int:
        """Return the bytes of the tensors in a mask."""
        return sum((tensors & mask).bit_count() << bit for bit, mask in self._masks)


def _mask(numbers: Iterable[int]) -> int:
    """Return a mask of some numbers."""
    return reduce(or_, (1 << number for number in numbers), 0)


def given_order(flow: Dataflow) -> list[int]:
    """Return the layers in the order given, or an empty list if they cannot run in it."""
    possible = all(not before >> layer for layer, before in enumerate(flow.predecessors))
    return list(range(len(flow.predecessors))) if possible else []


def peak_of(flow: Dataflow, order: list[int]) -> int:
    """Return the largest number of bytes in memory when layers run in an order."""
    live = peak = flow.start_bytes()
    left = flow.readers.copy()
    for layer in order:
        live += sum(flow.size[tensor] for tensor in flow.outputs[layer])
        peak = max(peak, live)
        for tensor in flow.inputs[layer]:
            left[tensor] ^= 1 << layer
            if not left[tensor]:
                live -= flow.size[tensor]
    return peak


def _with_twins_in_order(flow: Dataflow) -> list[int]:
    """Return predecessors in which interchangeable layers also wait for one another."""
    predecessors = flow.predecessors.copy()
    latest: dict[object, int] = {}
    for layer, (reads, writes) in enumerate(zip(flow.inputs, flow.outputs, strict=True)):
        written = sorted((flow.size[tensor], flow.readers[tensor]) for tensor in writes)
        alike = (tuple(sorted(reads)), tuple(written))
        if alike in latest:
            predecessors[layer] |= 1 << latest[alike]
        latest[alike] = layer
    return predecessors


def _unwind(trail: _Trail | None) -> list[int]:
    order = []
    while trail is not None:
        trail, layer = trail
        order.append(layer)
    return order[::-1]
