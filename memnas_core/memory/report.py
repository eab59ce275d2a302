"""The memory figures of a network, with the layers and tensors at each peak."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Protocol

from memnas_core.memory.arena_rules import LayerRoles
from memnas_core.memory.lifetimes import LIFETIME_CONVENTIONS, LeastPeak, Lifetime, LifetimeTable, least_peak, lifetimes
from memnas_core.memory.parameters import CountsParameters, ParameterCount
from memnas_core.memory.running_order import best_order
from memnas_core.space.graph import IMAGE, Graph


class LayerGraph(Protocol):
    """What an architecture's `Graph` and a torch network's `TracedGraph` have in common."""

    @property
    def weights(self) -> int:
        """Number of weights, frozen ones included."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of every tensor."""

    def plain(self) -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs)."""

    def sizes(self, element_bytes: int) -> Mapping[str, int]:
        """Return the bytes of every tensor."""


class DescribedGraph(LayerGraph, Protocol):
    """A graph that itself describes its layers and weights, as a `TracedGraph` does."""

    def roles(self) -> LayerRoles:
        """Return which layers may run in place or join tensors, and what the network returns."""

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return the number of weights of each kind."""

    def depthwise(self) -> frozenset[str]:
        """Return the depthwise convolutions: each channel of the output needs one channel of the input alone."""

    def computations(self) -> Mapping[str, tuple[tuple[str, ...], int]]:
        """Return layer name -> (operations, number of weights that the layer is the first to read)."""


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor in memory at a peak."""

    name: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class PeakStep:
    """A step that reaches the peak.

    Attributes:
        step: Number of the step, from 1.
        layers: Layers whose outputs appear in the step.
        tensors: Tensors in memory, the largest first.
    """

    step: int
    layers: tuple[str, ...]
    tensors: tuple[LiveTensor, ...]


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Memory of a network.

    Attributes:
        parameters: Number of weights, frozen ones included.
        param_bytes: Bytes of the weights.
        tables: Convention -> lifetimes of all tensors.
        at_peak: Convention -> every step that reaches the peak.
        minimum_lower_bound_bytes: Bytes that every order of the layers needs.
    """

    parameters: int
    param_bytes: int
    tables: Mapping[str, LifetimeTable]
    at_peak: Mapping[str, tuple[PeakStep, ...]]
    minimum_lower_bound_bytes: int

    @property
    def peaks(self) -> dict[str, int]:
        """Convention -> peak of the activations, in bytes."""
        return {convention: table.peak for convention, table in self.tables.items()}

    @property
    def totals(self) -> dict[str, int]:
        """Convention -> sum of parameters and peak, in bytes."""
        return {convention: self.param_bytes + peak for convention, peak in self.peaks.items()}

    @property
    def minimum_exact(self) -> bool:
        """Whether it is certain that no order needs less than the peak under `minimum`."""
        return self.tables["minimum"].peak == self.minimum_lower_bound_bytes

    def peak_document(self) -> dict[str, int]:
        """Return the peaks as they stand in a JSON document."""
        return {f"{convention}_bytes": peak for convention, peak in self.peaks.items()}

    def total_document(self) -> dict[str, int]:
        """Return the totals as they stand in a JSON document."""
        return {f"{convention}_bytes": total for convention, total in self.totals.items()}

    def document(self) -> dict[str, object]:
        """Return the figures as a JSON document without the tables."""
        return {
            "parameters": self.parameters,
            "param_bytes": self.param_bytes,
            "peaks": self.peak_document(),
            "totals": self.total_document(),
            "minimum_exact": self.minimum_exact,
            "minimum_lower_bound_bytes": self.minimum_lower_bound_bytes,
            "at_peak": {name: [asdict(step) for step in steps] for name, steps in self.at_peak.items()},
        }


def tensor_bytes(graph: LayerGraph, element_bytes: float) -> dict[str, int]:
    """Return the bytes of every tensor; elements of less than a byte are packed, and each tensor begins anew."""
    return {tensor: ceil(size * element_bytes) for tensor, size in graph.sizes(1).items()}


def memory_report(graph: LayerGraph, weight_bytes: float, activation_bytes: float) -> MemoryReport:
    """Return the memory of a graph under every convention.

    Args:
        graph: The network, with its layers in the order that `sequential` follows.
        weight_bytes: Bytes of one weight.
        activation_bytes: Bytes of one activation.
    """
    layers, sizes = graph.plain(), tensor_bytes(graph, activation_bytes)
    stored = graph.parameters(fold_batch_norm=False).total if isinstance(graph, CountsParameters) else graph.weights
    least = _least(graph, sizes)
    tables = {
        "paper": lifetimes(layers, sizes, "paper"),
        "sequential": lifetimes(layers, sizes, "sequential"),
        "minimum": lifetimes(layers, sizes, "sequential", least.order),
    }
    assert tuple(tables) == LIFETIME_CONVENTIONS, "a table for every convention"
    shapes = graph.shapes()
    return MemoryReport(
        parameters=graph.weights,
        param_bytes=ceil(stored * weight_bytes),
        tables=tables,
        at_peak={convention: _peak_steps(table, shapes) for convention, table in tables.items()},
        minimum_lower_bound_bytes=least.lower_bound,
    )


def _least(graph: LayerGraph, sizes: Mapping[str, int]) -> LeastPeak:
    """Return the least peak; its order is the given one if none is better, or an architecture's deployed order."""
    if isinstance(graph, Graph):
        return best_order(graph, sizes[IMAGE] // graph.input_shape.elements)[1]
    return least_peak(graph.plain(), sizes)


def _peak_steps(table: LifetimeTable, shapes: Mapping[str, tuple[int, ...]]) -> tuple[PeakStep, ...]:
    steps, peak = [], table.peak
    waiting, alive = iter(table.rows), list[Lifetime]()  # rows are in order of birth
    coming = next(waiting, None)
    for step, (used, layers) in enumerate(zip(table.profile, table.steps, strict=True), start=1):
        if used == peak:
            while coming is not None and coming.born <= step:
                alive.append(coming)
                coming = next(waiting, None)
            alive = [row for row in alive if row.last >= step]
            steps.append(PeakStep(step, layers, live_tensors(alive, step, shapes)))
    return tuple(steps)


class _Living(Protocol):
    """A tensor, or memory that several share, with its lifetime."""

    @property
    def tensor(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def born(self) -> int: ...
    @property
    def last(self) -> int: ...


def live_tensors(rows: Sequence[_Living], step: int, shapes: Mapping[str, tuple[int, ...]]) -> tuple[LiveTensor, ...]:
    """Return what is in memory in a step, the largest first.

    Args:
        rows: Tensors with their lifetimes.
        step: Number of the step, from 1.
        shapes: Shapes of all tensors.
    """
    alive = sorted((row for row in rows if row.born <= step <= row.last), key=lambda row: -row.bytes)
    return tuple(LiveTensor(row.tensor, tuple(shapes[row.tensor]), row.bytes) for row in alive)
