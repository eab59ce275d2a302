"""The order of layers that needs the least activation memory.

Best-first search. A state is the set of layers that have run; it decides which tensors are in memory. States
are taken up in the order of the peak that leads to them, so that the first state in which all layers have run
has the least peak of all orders. Four facts keep the search small:

- No order stays below the bound that follows from what must be in memory beside each layer in any order. Most
  often the order in which the layers are given reaches it; otherwise the search starts there.
- A ready layer that fits under the peak so far and leaves memory no higher can run at once without loss:
  moved to the front of any order that keeps a peak, it lowers or keeps the memory of all that follows.
- Layers that read and write alike and have the same readers are interchangeable: one order of them will do.
- Before a layer that everything must pass can run, all that lies before it has run. So a chain of blocks
  costs the sum, not the product, of what its blocks cost.
"""

from dataclasses import dataclass
from heapq import heappop, heappush

from memnas_core.dataflow import Dataflow, successors

_Trail = tuple["_Trail | None", int]
_State = tuple[int, int, int, int, list[int], "_Trail | None"]
"""Peak so far, minus the order of insertion, live bytes, mask of finished layers, ready layers, trail."""


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """What the search found.

    Attributes:
        peak: Bytes that `order` needs.
        order: Numbers of layers.
        lower_bound: No order needs less.
    """

    peak: int
    order: list[int]
    lower_bound: int


def search(flow: Dataflow, state_limit: int) -> FoundOrder:
    """Return the order of least peak, or a good one where looking at `state_limit` states did not suffice."""
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
        self.freeable = [[(flow.readers[t], flow.size[t]) for t in reads] for reads in flow.inputs]
        self.predecessors = _with_twins_in_order(flow)
        self.successors = successors(self.predecessors)

    def run(self, bound: int, state_limit: int) -> FoundOrder:
        start = [layer for layer, before in enumerate(self.predecessors) if not before]
        heap: list[_State] = [(bound, 0, self.flow.start_bytes(), 0, start, None)]
        reached: dict[int, int] = {}  # mask of layers that have run -> least peak that leads there
        seen = 0
        while True:
            peak, _, live, done, ready, trail = heappop(heap)
            live, done, ready, trail = self._run_free(peak, live, done, ready, trail)
            if done == self.all_layers:
                return FoundOrder(peak, _unwind(trail), peak)
            if seen >= state_limit:
                return self._settle(peak, done, ready, trail)
            options = []
            for layer in ready:
                needed = live + self.output_bytes[layer]
                options.append((needed - self._freed(layer, done), max(peak, needed), layer))
            options.sort(reverse=True)  # of equal peaks the last is taken up first: what leaves least memory
            for after, higher, layer in options:
                now = done | 1 << layer
                seen += 1
                if now not in reached or higher < reached[now]:
                    reached[now] = higher
                    left = self._ready_after(layer, now, ready)
                    heappush(heap, (higher, -seen, after, now, left, (trail, layer)))

    def _run_free(
        self, peak: int, live: int, done: int, ready: list[int], trail: _Trail | None
    ) -> tuple[int, int, list[int], _Trail | None]:
        """Run every ready layer that fits under the peak and leaves memory no higher, until none is left."""
        again = True
        while again:
            again = False
            for layer in ready:
                output = self.output_bytes[layer]
                if live + output <= peak:
                    freed = self._freed(layer, done)
                    if freed >= output:
                        done |= 1 << layer
                        live += output - freed
                        ready = self._ready_after(layer, done, ready)
                        trail = (trail, layer)
                        again = True
                        break
        return live, done, ready, trail

    def _settle(self, bound: int, done: int, ready: list[int], trail: _Trail | None) -> FoundOrder:
        """Return the best of a few good orders where the search was cut short."""
        start = [layer for layer, before in enumerate(self.predecessors) if not before]
        orders = [
            self._greedy(_unwind(trail), done, ready),
            self._greedy([], 0, start),
            given_order(self.flow),
        ]
        peak, order = min((peak_of(self.flow, order), order) for order in orders if order)
        return FoundOrder(peak, order, bound)

    def _greedy(self, order: list[int], done: int, ready: list[int]) -> list[int]:
        """Go on with an order, always running what leaves least memory."""
        while ready:
            _, layer = min((self.output_bytes[i] - self._freed(i, done), i) for i in ready)
            done |= 1 << layer
            ready = self._ready_after(layer, done, ready)
            order.append(layer)
        return order

    def _freed(self, layer: int, done: int) -> int:
        """Return the bytes of the inputs whose only reader left is this layer."""
        freed = 0
        rest = ~(done | 1 << layer)
        for readers, size in self.freeable[layer]:
            if not readers & rest:
                freed += size
        return freed

    def _ready_after(self, layer: int, done: int, ready: list[int]) -> list[int]:
        predecessors = self.predecessors
        new = [other for other in self.successors[layer] if not predecessors[other] & ~done]
        return [other for other in ready if other != layer] + new


def lower_bound(flow: Dataflow) -> int:
    """Return bytes that every order needs at some time.

    While a layer runs, a tensor is in memory in any order if it is an input of the graph or written by that
    layer or an ancestor, and is read by that layer or a descendant, or by none. So it is before the first and
    after the last layer.
    """
    before = [1 << layer for layer in range(len(flow.layer_names))]  # each layer and its ancestors
    after = before.copy()
    in_order = [layer for step in flow.steps for layer in step]
    for layer in in_order:
        for other in flow.successors[layer]:
            before[other] |= before[layer]
    for layer in reversed(in_order):
        for other in flow.successors[layer]:
            after[layer] |= after[other]
    tensors = list(zip(flow.size, flow.producer, flow.readers, strict=True))
    bound = max(flow.start_bytes(), sum(size for size, _, readers in tensors if not readers))
    for ancestors, descendants in zip(before, after, strict=True):
        live = 0
        for size, producer, readers in tensors:
            if not producer & ~ancestors and (not readers or readers & descendants):
                live += size
        bound = max(bound, live)
    return bound


def given_order(flow: Dataflow) -> list[int]:
    """Return the layers in the order given, or nothing if they cannot run in it."""
    possible = all(not before >> layer for layer, before in enumerate(flow.predecessors))
    return list(range(len(flow.predecessors))) if possible else []


def peak_of(flow: Dataflow, order: list[int]) -> int:
    """Return the most bytes in memory when layers run in an order."""
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
