"""The memory figures of one network, with the layers and tensors behind each peak."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from memnas_core.arena_rules import LayerRoles
from memnas_core.graph import Graph
from memnas_core.memory import CONVENTIONS, LeastPeak, LifetimeTable, least_peak, lifetimes
from memnas_core.parameters import ParameterCount
from memnas_core.running_order import best_order


class LayerGraph(Protocol):
    """What an architecture's `Graph` and a torch network's `TracedGraph` have in common."""

    @property
    def weights(self) -> int:
        """Number of trainable weights."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of every tensor."""

    def plain(self) -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs)."""

    def sizes(self, element_bytes: int) -> Mapping[str, int]:
        """Return the bytes of every tensor at batch 1."""


class DescribedGraph(LayerGraph, Protocol):
    """A graph that says itself what its layers and weights are, as a `TracedGraph` does."""

    def roles(self) -> LayerRoles:
        """Return which layers may run in place or join tensors, and what the network returns."""

    def parameters(self, fold_batch_norm: bool) -> ParameterCount:
        """Return how many weights there are of each kind."""


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
        step: Its number from 1.
        layers: The layers whose outputs appear in it.
        tensors: What is in memory, the largest first.
    """

    step: int
    layers: tuple[str, ...]
    tensors: tuple[LiveTensor, ...]


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Memory of a network at batch 1; mappings go from a convention to what it gives.

    Attributes:
        parameters: Number of trainable weights.
        param_bytes: Their bytes.
        tables: Lifetimes of all tensors.
        at_peak: Every step that reaches the peak.
        minimum_lower_bound_bytes: No order of the layers needs less.
    """

    parameters: int
    param_bytes: int
    tables: Mapping[str, LifetimeTable]
    at_peak: Mapping[str, tuple[PeakStep, ...]]
    minimum_lower_bound_bytes: int

    @property
    def peaks(self) -> dict[str, int]:
        """Peak of the activations in bytes."""
        return {convention: table.peak for convention, table in self.tables.items()}

    @property
    def totals(self) -> dict[str, int]:
        """Parameters and peak together in bytes."""
        return {convention: self.param_bytes + peak for convention, peak in self.peaks.items()}

    @property
    def minimum_exact(self) -> bool:
        """Whether no order needs less than `minimum` says."""
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


def memory_report(graph: LayerGraph, weight_bytes: int, activation_bytes: int) -> MemoryReport:
    """Measure a graph under every convention.

    Args:
        graph: The layers, in the order that `sequential` follows.
        weight_bytes: Bytes of one weight.
        activation_bytes: Bytes of one activation.
    """
    layers, sizes = graph.plain(), graph.sizes(activation_bytes)
    least = _least(graph, activation_bytes)
    tables = {
        "paper": lifetimes(layers, sizes, "paper"),
        "sequential": lifetimes(layers, sizes, "sequential"),
        "minimum": lifetimes(layers, sizes, "sequential", least.order),
    }
    assert tuple(tables) == CONVENTIONS, "a table for every convention"
    shapes = graph.shapes()
    return MemoryReport(
        parameters=graph.weights,
        param_bytes=graph.weights * weight_bytes,
        tables=tables,
        at_peak={convention: _peak_steps(table, shapes) for convention, table in tables.items()},
        minimum_lower_bound_bytes=least.lower_bound,
    )


def _least(graph: LayerGraph, activation_bytes: int) -> LeastPeak:
    """Return the least peak; the order is the given one where none is better, of an architecture the deployed one."""
    if isinstance(graph, Graph):
        return best_order(graph, activation_bytes)[1]
    return least_peak(graph.plain(), graph.sizes(activation_bytes))


def _peak_steps(table: LifetimeTable, shapes: Mapping[str, tuple[int, ...]]) -> tuple[PeakStep, ...]:
    steps = []
    for step, (used, layers) in enumerate(zip(table.profile, table.steps, strict=True), start=1):
        if used == table.peak:
            alive = sorted((row for row in table.rows if row.born <= step <= row.last), key=lambda row: -row.bytes)
            tensors = tuple(LiveTensor(row.tensor, tuple(shapes[row.tensor]), row.bytes) for row in alive)
            steps.append(PeakStep(step, layers, tensors))
    return tuple(steps)
