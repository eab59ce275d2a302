"""Activation memory of any dataflow graph: lifetimes, peaks, and the order of layers that needs the least memory.

A graph is given as plain values: `layers` maps a layer's name to `(inputs, outputs)`, names of tensors, and
`sizes` a tensor's name to its bytes. A tensor that no layer writes is an input of the graph and is in memory from the
start; a tensor that no layer reads stays in memory to the end.

    convention   what it counts
    paper        all layers whose inputs exist run in one unit of time; a tensor dies in the very step in
                 which its last reader's output appears (section 3.4.1 and Figure 3)
    sequential   layers run one after another in a given order; a layer's inputs and outputs are both in memory
                 while it runs
    minimum      the least peak under sequential over all valid orders

The paper calls its figure an upper bound. It is not one, because it never counts a layer's inputs and outputs
together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memnas_core.errors import GraphError
from memnas_core.memory.dataflow import Dataflow, Layers, Sizes
from memnas_core.memory.order_search import given_order, peak_of, search
from memnas_core.memory.steps import profile

LIFETIME_CONVENTIONS = ("paper", "sequential", "minimum")

STATE_LIMIT = 100_000
"""Number of states that the search for the least peak looks at before it gives up, after about half a second."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A row of the lifetime table (the paper's Figure 3).

    Attributes:
        tensor: Name of the tensor.
        bytes: Size of the tensor.
        born: First step in which the tensor is in memory; the graph's inputs are born in step 1.
        last: Last step in which the tensor is in memory.
    """

    tensor: str
    bytes: int
    born: int
    last: int


@dataclass(frozen=True, slots=True)
class LifetimeTable:
    """The lifetimes of all tensors, and the memory in use in each step.

    Attributes:
        rows: Lifetime of each tensor, in order of birth.
        profile: Bytes in memory in each step, from step 1.
        steps: Layers whose outputs appear in each step, from step 1, which has none under `paper`.
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
        bytes: Peak of `order`.
        order: Layers in an order that has this peak.
        lower_bound: Bytes that every order needs; equal to `bytes` if `exact`.
        exact: Whether every better order has been ruled out.
    """

    bytes: int
    order: tuple[str, ...]
    lower_bound: int
    exact: bool


class Peaks(NamedTuple):
    """The peaks of a graph under each convention, in bytes; `sequential` takes layers in the order given."""

    paper: int
    sequential: int
    minimum: int


def peak_activation_bytes(layers: Layers, sizes: Sizes, convention: str, order: Sequence[str] | None = None) -> int:
    """Return the peak activation memory of a graph in bytes.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        convention: `paper`, `sequential` or `minimum`.
        order: For `sequential`, the order in which layers run; default: the order of `layers`.

    Raises:
        GraphError: The graph is cyclic or incomplete, the order impossible, or the convention unknown.

    Source: section 3.4.1; the docstring of this module explains the conventions.
    """
    if convention == "minimum" and order is None:
        return least_peak(layers, sizes).bytes
    return lifetimes(layers, sizes, convention, order).peak


def peaks(layers: Layers, sizes: Sizes) -> Peaks:
    """Return the peaks of a graph under all conventions; this is faster than computing each by itself.

    Raises:
        GraphError: The graph is cyclic or incomplete, or its layers are in no order in which they can run.
    """
    flow = Dataflow(layers, sizes)
    return Peaks(*_given_peaks(flow), search(flow, STATE_LIMIT).peak)


def given_peaks(layers: Layers, sizes: Sizes) -> tuple[int, int]:
    """Return the peaks of a graph under `paper` and `sequential`, which need no search.

    Raises:
        GraphError: The graph is cyclic or incomplete, or its layers are in no order in which they can run.
    """
    return _given_peaks(Dataflow(layers, sizes))


def minimum_peak(layers: Layers, sizes: Sizes) -> tuple[int, tuple[str, ...]]:
    """Return the least `sequential` peak over all valid orders, in bytes, and an order that reaches it.

    The peak is exact for every graph whose search ends within `STATE_LIMIT` states, far more than the blocks of a
    search need; `least_peak` also returns whether the peak is exact, and a lower bound.

    Raises:
        GraphError: The graph is cyclic or incomplete.
    """
    found = least_peak(layers, sizes)
    return found.bytes, found.order


def lifetimes(layers: Layers, sizes: Sizes, convention: str, order: Sequence[str] | None = None) -> LifetimeTable:
    """Return the lifetime of every tensor and the memory of every step.

    Arguments and errors are those of `peak_activation_bytes`.
    """
    if order is not None and convention != "sequential":
        raise GraphError(f"order: only the convention sequential takes one, found it with {convention!r}")
    if convention not in LIFETIME_CONVENTIONS:
        raise GraphError(f"convention: expected one of {', '.join(LIFETIME_CONVENTIONS)}, found {convention!r}")
    flow = Dataflow(layers, sizes)
    if convention == "paper":
        return _paper(flow).table(flow)
    if convention == "minimum":
        return _sequential(flow, search(flow, STATE_LIMIT).order).table(flow)
    return _sequential(flow, _numbers(flow, tuple(layers) if order is None else order)).table(flow)


def least_peak(layers: Layers, sizes: Sizes, state_limit: int = STATE_LIMIT) -> LeastPeak:
    """Return the order of layers with the least `sequential` peak; `memnas_core.memory.order_search` explains how.

    If no order is better than the given one, the given one is returned.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        state_limit: Number of states to look at before giving up exactness.

    Raises:
        GraphError: The graph is cyclic or incomplete.
    """
    flow = Dataflow(layers, sizes)
    found = search(flow, state_limit)
    given = given_order(flow)
    order = given if given and peak_of(flow, given) == found.peak else found.order
    names = tuple(flow.layer_names[layer] for layer in order)
    return LeastPeak(found.peak, names, found.lower_bound, exact=found.peak == found.lower_bound)


class _Spans(NamedTuple):
    """The first and last step of each tensor, and the layers whose outputs appear in each step."""

    born: list[int]
    last: list[int]
    steps: Sequence[Sequence[int]]

    def profile(self, flow: Dataflow) -> list[int]:
        """Return the bytes in memory in each step."""
        return profile(zip(flow.size, self.born, self.last, strict=True), len(self.steps))

    def table(self, flow: Dataflow) -> LifetimeTable:
        """Return the spans as a lifetime table with names."""
        in_order = sorted(range(len(flow.size)), key=lambda tensor: self.born[tensor])
        rows = tuple(
            Lifetime(flow.tensor_names[tensor], flow.size[tensor], self.born[tensor], self.last[tensor])
            for tensor in in_order
        )
        steps = tuple(tuple(flow.layer_names[layer] for layer in step) for step in self.steps)
        return LifetimeTable(rows, tuple(self.profile(flow)), steps)


def _given_peaks(flow: Dataflow) -> tuple[int, int]:
    paper, sequential = _paper(flow), _sequential(flow, range(len(flow.layer_names)))
    return max(paper.profile(flow)), max(sequential.profile(flow))


def _paper(flow: Dataflow) -> _Spans:
    steps = [[], *flow.steps]  # in step 1 the inputs of the graph appear
    born = [1] * len(flow.size)
    last = [len(steps)] * len(flow.size)
    for time, ready in enumerate(flow.steps, start=2):
        for layer in ready:
            for tensor in flow.outputs[layer]:
                born[tensor] = time
            for tensor in flow.inputs[layer]:
                last[tensor] = time - 1  # later readers replace earlier ones
    return _Spans(born, last, steps)


def _sequential(flow: Dataflow, order: Sequence[int]) -> _Spans:
    """Return the spans of all tensors when layers run in an order.

    Raises:
        GraphError: A layer comes before another whose output it reads.
    """
    done = 0
    born = [1] * len(flow.size)
    last = [max(len(order), 1)] * len(flow.size)
    for time, layer in enumerate(order, start=1):
        missing = flow.predecessors[layer] & ~done
        if missing:
            before, name = flow.layer_names[missing.bit_length() - 1], flow.layer_names[layer]
            raise GraphError(f"order: expected {before!r} before {name!r}, which reads its output")
        done |= 1 << layer
        for tensor in flow.outputs[layer]:
            born[tensor] = time
        for tensor in flow.inputs[layer]:
            last[tensor] = time
    return _Spans(born, last, [[layer] for layer in order] or [[]])


def _numbers(flow: Dataflow, order: Sequence[str]) -> list[int]:
    number = {name: place for place, name in enumerate(flow.layer_names)}
    if len(order) != len(number) or set(order) != number.keys():
        raise GraphError(f"order: expected each of the {len(number)} layers once, found {list(order)[:8]}")
    return [number[name] for name in order]
