"""The memory figures of one network, with the layers and tensors behind each peak."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from memnas_core.memory import CONVENTIONS, LifetimeTable, least_peak, lifetimes


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

    def document(self) -> dict[str, object]:
        """Return the figures as a JSON document without the tables."""
        return {
            "parameters": self.parameters,
            "param_bytes": self.param_bytes,
            "peaks": {f"{convention}_bytes": peak for convention, peak in self.peaks.items()},
            "totals": {f"{convention}_bytes": total for convention, total in self.totals.items()},
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
    least = least_peak(layers, sizes)
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


def _peak_steps(table: LifetimeTable, shapes: Mapping[str, tuple[int, ...]]) -> tuple[PeakStep, ...]:
    steps = []
    for step, (used, layers) in enumerate(zip(table.profile, table.steps, strict=True), start=1):
        if used == table.peak:
            alive = sorted((row for row in table.rows if row.born <= step <= row.last), key=lambda row: -row.bytes)
            tensors = tuple(LiveTensor(row.tensor, tuple(shapes[row.tensor]), row.bytes) for row in alive)
            steps.append(PeakStep(step, layers, tensors))
    return tuple(steps)
