"""Activation memory of any dataflow graph: lifetimes, peaks, and the order of layers that needs least.

A graph is given as plain values: `layers` maps a layer's name to `(inputs, outputs)`, names of tensors, and
`sizes` a tensor's name to its bytes. A tensor that no layer writes is a graph input and lives from the start;
one that no layer reads lives to the end.

    convention   what it counts
    paper        all layers whose inputs exist run in one unit of time; a tensor dies in the very step in which
                 its last reader's output appears (section 3.4.1 and Figure 3)
    sequential   one layer after another in a stated order; a layer's inputs and outputs are both in memory
                 while it runs
    minimum      sequential, least over all valid orders

The paper calls its figure an upper bound. It is not: a layer's inputs and outputs are never in memory together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memnas_core.errors import GraphError

Layers = Mapping[str, tuple[Sequence[str], Sequence[str]]]
Sizes = Mapping[str, int]

CONVENTIONS = ("paper", "sequential", "minimum")

STATE_LIMIT = 300_000
"""States that the search for the least peak may visit for one bound before it settles for a bound."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A row of the lifetime table (the paper's Figure 3).

    Attributes:
        tensor: Its name.
        bytes: Its size.
        born: First step in which it is in memory; the graph's inputs are born in step 1.
        last: Last step in which it is in memory.
    """

    tensor: str
    bytes: int
    born: int
    last: int


@dataclass(frozen=True, slots=True)
class LifetimeTable:
    """Which tensor lives from when to when, and the memory that is used in each step.

    Attributes:
        rows: One lifetime a tensor, in order of birth.
        profile: Bytes in memory in each step, the first being step 1.
        steps: What happens in each step: the layers whose outputs appear in it. Under `paper` step 1 has none.
    """

    rows: tuple[Lifetime, ...]
    profile: tuple[int, ...]
    steps: tuple[tuple[str, ...], ...]

    @property
    def peak(self) -> int:
        """The largest memory of any step, in bytes."""
        return max(self.profile, default=0)


@dataclass(frozen=True, slots=True)
class LeastPeak:
    """The least peak over all orders.

    Attributes:
        bytes: The peak of `order`.
        order: Layers in an order that reaches it.
        lower_bound: No order needs less; equal to `bytes` when `exact`.
        exact: Whether every better order has been ruled out.
    """

    bytes: int
    order: tuple[str, ...]
    lower_bound: int
    exact: bool


def peak_activation_bytes(
    layers: Layers, sizes: Sizes, convention: str, order: Sequence[str] | None = None
) -> int:
    """Return the peak activation memory of a graph in bytes.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        convention: `paper`, `sequential` or `minimum`.
        order: For `sequential`, the order in which layers run; default: the order of `layers`.

    Raises:
        GraphError: The graph is cyclic or incomplete, the order impossible, or the convention unknown.

    Source: section 3.4.1; the conventions are told apart in this module's head.
    """
    return lifetimes(layers, sizes, convention, order).peak


def minimum_peak(layers: Layers, sizes: Sizes) -> tuple[int, tuple[str, ...]]:
    """Return the least `sequential` peak over all valid orders, in bytes, and an order that reaches it.

    Exact for every graph whose search ends within `STATE_LIMIT` states, which is far beyond the blocks that
    are searched; `least_peak` tells whether it did and gives a lower bound.

    Raises:
        GraphError: The graph is cyclic or incomplete.
    """
    found = least_peak(layers, sizes)
    return found.bytes, found.order


def lifetimes(
    layers: Layers, sizes: Sizes, convention: str, order: Sequence[str] | None = None
) -> LifetimeTable:
    """Return the lifetime of every tensor and the memory of every step.

    Arguments and errors as `peak_activation_bytes`.
    """
    if order is not None and convention != "sequential":
        raise GraphError(f"order: only the convention sequential takes one, found it with {convention!r}")
    match convention:
        case "paper":
            return _paper_lifetimes(_Graph(layers, sizes))
        case "sequential":
            return _sequential_lifetimes(_Graph(layers, sizes), tuple(layers) if order is None else order)
        case "minimum":
            return _sequential_lifetimes(_Graph(layers, sizes), least_peak(layers, sizes).order)
    raise GraphError(f"convention: expected one of {', '.join(CONVENTIONS)}, found {convention!r}")


class _Graph:
    """A checked graph with layers and tensors as numbers, and sets of layers as bit masks."""

    __slots__ = ("freeable", "inputs", "layer_names", "outputs", "predecessors", "readers", "size", "start", "tensors")

    def __init__(self, layers: Layers, sizes: Sizes) -> None:
        number: dict[str, int] = {}
        self.tensors: list[str] = []
        self.size: list[int] = []
        self.layer_names = list(layers)

        def number_of(tensor: str, layer: str) -> int:
            if tensor not in number:
                size = sizes.get(tensor)
                if size is None or size < 0:
                    raise GraphError(f"tensor {tensor!r} of layer {layer!r}: expected its bytes, found {size}")
                number[tensor] = len(self.tensors)
                self.tensors.append(tensor)
                self.size.append(size)
            return number[tensor]

        self.inputs = [[number_of(t, layer) for t in dict.fromkeys(ins)] for layer, (ins, _) in layers.items()]
        self.outputs = [[number_of(t, layer) for t in dict.fromkeys(outs)] for layer, (_, outs) in layers.items()]
        producer: dict[int, int] = {}
        for layer, outs in enumerate(self.outputs):
            for tensor in outs:
                if tensor in producer:
                    first = self.layer_names[producer[tensor]]
                    raise GraphError(
                        f"tensor {self.tensors[tensor]!r}: expected one layer to write it, found {first!r} and "
                        f"{self.layer_names[layer]!r}"
                    )
                producer[tensor] = layer
        self.readers = [0] * len(self.tensors)
        self.predecessors = [0] * len(self.layer_names)
        for layer, ins in enumerate(self.inputs):
            for tensor in ins:
                self.readers[tensor] |= 1 << layer
                if tensor in producer:
                    self.predecessors[layer] |= 1 << producer[tensor]
        self.start = [tensor for tensor in range(len(self.tensors)) if tensor not in producer]
        # Inputs that a layer can free: a tensor it reads always has a reader, so all of them.
        self.freeable = [[(self.readers[t], self.size[t]) for t in ins] for ins in self.inputs]

    def steps(self) -> list[list[int]]:
        """Return layers by the step in which they run when each runs as soon as its inputs exist."""
        done, remaining, steps = 0, list(range(len(self.layer_names))), []
        while remaining:
            ready = [layer for layer in remaining if not self.predecessors[layer] & ~done]
            if not ready:
                names = ", ".join(self.layer_names[layer] for layer in remaining[:5])
                raise GraphError(f"layers {names}: expected an order in which they can run, found a cycle")
            for layer in ready:
                done |= 1 << layer
            remaining = [layer for layer in remaining if not done >> layer & 1]
            steps.append(ready)
        return steps


def _paper_lifetimes(graph: _Graph) -> LifetimeTable:
    steps = graph.steps()
    end = len(steps) + 1
    born = dict.fromkeys(graph.start, 1)
    last = dict.fromkeys(range(len(graph.tensors)), end)
    for time, ready in enumerate(steps, start=2):
        for layer in ready:
            born.update(dict.fromkeys(graph.outputs[layer], time))
            last.update(dict.fromkeys(graph.inputs[layer], time - 1))  # the latest reader writes last
    names = ((), *(tuple(graph.layer_names[layer] for layer in ready) for ready in steps))
    return _table(graph, born, last, names)


def _sequential_lifetimes(graph: _Graph, order: Sequence[str]) -> LifetimeTable:
    numbers = {name: number for number, name in enumerate(graph.layer_names)}
    if len(order) != len(numbers) or set(order) != numbers.keys():
        raise GraphError(f"order: expected each of the {len(numbers)} layers once, found {list(order)[:8]}")
    done = 0
    end = max(len(order), 1)
    born = dict.fromkeys(graph.start, 1)
    last = dict.fromkeys(range(len(graph.tensors)), end)
    for time, name in enumerate(order, start=1):
        layer = numbers[name]
        missing = graph.predecessors[layer] & ~done
        if missing:
            before = graph.layer_names[missing.bit_length() - 1]
            raise GraphError(f"order: expected {before!r} before {name!r}, which reads its output")
        done |= 1 << layer
        born.update(dict.fromkeys(graph.outputs[layer], time))
        last.update(dict.fromkeys(graph.inputs[layer], time))
    return _table(graph, born, last, tuple((name,) for name in order) or ((),))


def _table(
    graph: _Graph, born: Mapping[int, int], last: Mapping[int, int], steps: tuple[tuple[str, ...], ...]
) -> LifetimeTable:
    profile = [0] * len(steps)
    rows = []
    for tensor in sorted(born, key=lambda tensor: (born[tensor], tensor)):
        rows.append(Lifetime(graph.tensors[tensor], graph.size[tensor], born[tensor], last[tensor]))
        for time in range(born[tensor], last[tensor] + 1):
            profile[time - 1] += graph.size[tensor]
    return LifetimeTable(tuple(rows), tuple(profile), steps)


def least_peak(layers: Layers, sizes: Sizes, state_limit: int = STATE_LIMIT) -> LeastPeak:
    """Search the order of layers with the least `sequential` peak.

    A state is the set of layers that have run. For a bound B, starting at a lower bound of every order, a
    depth-first search asks whether all layers can run within B; if not, B rises to the least memory that stood
    in the way. Two facts keep it small: a failed state is never visited again, and a ready layer that fits
    under B and leaves memory no higher than it found it can run at once without loss (moved to the front of
    any order that keeps B, it lowers or keeps the memory of all that follows).

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        state_limit: States to visit for one bound before giving up exactness.

    Raises:
        GraphError: The graph is cyclic or incomplete.
    """
    graph = _Graph(layers, sizes)
    graph.steps()  # refuses cycles
    search = _OrderSearch(graph, state_limit)
    bound = search.lower_bound
    while True:
        order = search.within(bound)
        if order is not None:
            return LeastPeak(bound, tuple(graph.layer_names[i] for i in order), bound, exact=True)
        if search.states >= state_limit:
            order = search.greedy()
            names = tuple(graph.layer_names[i] for i in order)
            peak = _sequential_lifetimes(graph, names).peak
            return LeastPeak(peak, names, bound, exact=peak == bound)
        bound = search.next_bound


class _OrderSearch:
    """Depth-first search for an order of layers whose memory stays within a bound."""

    def __init__(self, graph: _Graph, state_limit: int) -> None:
        self.graph = graph
        self.state_limit = state_limit
        self.all_layers = (1 << len(graph.layer_names)) - 1
        self.output_bytes = [sum(graph.size[t] for t in outs) for outs in graph.outputs]
        self.successors: list[list[int]] = [[] for _ in graph.layer_names]
        for layer, before in enumerate(graph.predecessors):
            for other in _bits(before):
                self.successors[other].append(layer)
        self.start_bytes = sum(graph.size[t] for t in graph.start)
        self.start_ready = [layer for layer, before in enumerate(graph.predecessors) if not before]
        self.lower_bound = self._lower_bound()
        self.states = 0
        self.next_bound = 0

    def _lower_bound(self) -> int:
        """At least the start, the end, and every layer's own inputs and outputs are in memory together."""
        graph = self.graph
        end = sum(size for size, readers in zip(graph.size, graph.readers, strict=True) if not readers)
        own = [
            sum(graph.size[t] for t in {*ins, *outs})
            for ins, outs in zip(graph.inputs, graph.outputs, strict=True)
        ]
        return max(self.start_bytes, end, *own, 0)

    def within(self, bound: int) -> list[int] | None:
        """Return an order of all layers that never needs more than `bound` bytes, or None.

        Sets `states` to the states visited and, when there is no such order, `next_bound` to the least memory
        above the bound that a refused layer would have needed.
        """
        self.states = 0
        blocked: float = float("inf")
        failed: set[int] = set()
        pending = [(0, self.start_bytes, self.start_ready, None)]
        trails: list[tuple[int, int, list[int], object]] = pending  # done, live bytes, ready, trail
        while trails:
            done, live, ready, trail = trails.pop()
            done, live, ready, trail = self._run_free(done, live, ready, trail, bound)
            if done == self.all_layers:
                return _unwind(trail)
            if done in failed:
                continue
            failed.add(done)
            self.states += 1
            if self.states >= self.state_limit:
                return None
            options = []
            for layer in ready:
                needed = live + self.output_bytes[layer]
                if needed > bound:
                    blocked = min(blocked, needed)
                    continue
                options.append((needed - self._freed(layer, done), layer))
            options.sort(reverse=True)  # the last is popped first: the one that leaves least memory
            for after, layer in options:
                now = done | 1 << layer
                trails.append((now, after, self._ready_after(layer, now, ready), (trail, layer)))
        self.next_bound = int(blocked)
        return None

    def greedy(self) -> list[int]:
        """Return an order that always runs what leaves least memory: no guarantee, but never stuck."""
        done, live, ready, order = 0, self.start_bytes, self.start_ready, []
        while ready:
            change, layer = min((self.output_bytes[i] - self._freed(i, done), i) for i in ready)
            done |= 1 << layer
            live += change
            ready = self._ready_after(layer, done, ready)
            order.append(layer)
        return order

    def _run_free(
        self, done: int, live: int, ready: list[int], trail: object, bound: int
    ) -> tuple[int, int, list[int], object]:
        """Run every ready layer that fits and leaves memory no higher, until none is left."""
        again = True
        while again:
            again = False
            for layer in ready:
                output = self.output_bytes[layer]
                if live + output <= bound:
                    freed = self._freed(layer, done)
                    if freed >= output:
                        done |= 1 << layer
                        live += output - freed
                        ready = self._ready_after(layer, done, ready)
                        trail = (trail, layer)
                        again = True
                        break
        return done, live, ready, trail

    def _freed(self, layer: int, done: int) -> int:
        """Return the bytes of the inputs whose only reader left is this layer."""
        freed = 0
        rest = ~(done | 1 << layer)
        for readers, size in self.graph.freeable[layer]:
            if not readers & rest:
                freed += size
        return freed

    def _ready_after(self, layer: int, done: int, ready: list[int]) -> list[int]:
        predecessors = self.graph.predecessors
        new = [other for other in self.successors[layer] if not predecessors[other] & ~done]
        return [other for other in ready if other != layer] + new


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _unwind(trail: object) -> list[int]:
    order = []
    while trail is not None:
        assert isinstance(trail, tuple)
        trail, layer = trail
        order.append(layer)
    return order[::-1]
