"""What Tables 1 and 2 share: the printed figures, the measured memory, and contradictions among the printed figures."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import nn

from experiments.tidy import PAPER, read_paper
from memnas_core.memory.figures import PeakFigures
from memnas_core.memory.report import LayerGraph, memory_report
from memnas_core.space.layers import Shape
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import trace

FLOAT_BYTES = 4
MEGABYTE = 1_000_000
NOT_SEARCHED = "not searched yet"


@dataclass(frozen=True, slots=True)
class Printed:
    """A row as the paper printed it.

    Attributes:
        model: Name of the network.
        total_mb: Total Memory in MB.
        savings_percent: Memory Savings of the reference row, in percent; None in a row of MemNAS.
        latency_ms: Inference Latency on a Pixel 1 in milliseconds, or None if not printed.
        accuracy_percent: Top-1 Acc. in percent.
    """

    model: str
    total_mb: float
    savings_percent: float | None
    latency_ms: float | None
    accuracy_percent: float

    @property
    def accuracy(self) -> float:
        """The printed accuracy in [0, 1]."""
        return round(self.accuracy_percent / 100, 4)


def read_printed(table: str, folder: Path = PAPER) -> tuple[Printed, ...]:
    """Return the rows of `table1` or `table2` as the paper printed them.

    Raises:
        RecordError: The file does not exist.
    """

    def number(line: dict[str, str], column: str) -> float | None:
        return float(line[column]) if line.get(column) else None

    return tuple(
        Printed(
            model=line["model"],
            total_mb=float(line["total_mb"]),
            savings_percent=number(line, "savings_percent"),
            latency_ms=number(line, "latency_ms"),
            accuracy_percent=float(line["accuracy_percent"]),
        )
        for line in read_paper(table, folder)
    )


@dataclass(frozen=True, slots=True)
class Memory(PeakFigures):
    """Measured memory at float32 and batch 1, in bytes.

    Attributes:
        minimum_exact: Whether no order of the layers needs less.
    """

    minimum_exact: bool


def memory_of(graph: LayerGraph) -> Memory:
    """Return the memory of a graph at float32."""
    report = memory_report(graph, FLOAT_BYTES, FLOAT_BYTES)
    return Memory(
        report.param_bytes, **{f"{k}_bytes": v for k, v in report.peaks.items()}, minimum_exact=report.minimum_exact
    )


def memory_of_network(build: Callable[[], nn.Module], shape: Shape) -> Memory:
    """Return the memory of a torch network for one image; its weights are never allocated.

    Args:
        build: Builds the network.
        shape: Shape of one image.

    Raises:
        InputError: The network does not run on images of this shape.
    """
    with weightless():
        network = build()
    return memory_of(trace(network, shape))


@dataclass(frozen=True, slots=True)
class Row:
    """The columns that both tables share: sizes in bytes, accuracies in [0, 1], empty where there is no value.

    Attributes:
        model: The name that the paper prints.
        source: Where the measured network's definition comes from, and what differs in it.
        param_bytes: Measured bytes of all trainable weights at float32.
        paper_bytes: Measured peak activations under the convention `paper` at batch 1.
        sequential_bytes: Measured peak activations under the convention `sequential` at batch 1.
        minimum_bytes: Measured peak activations under the convention `minimum` at batch 1.
        total_paper_bytes: Weights plus peak activations under `paper`.
        total_sequential_bytes: Weights plus peak activations under `sequential`.
        total_minimum_bytes: Weights plus peak activations under `minimum`.
        minimum_exact: Whether it is proven that no order of the layers needs less than `minimum_bytes`.
        accuracy: Measured test accuracy, mean over the trainings.
        accuracy_low: Lower end of the accuracy's interval.
        accuracy_high: Upper end of the accuracy's interval.
        images_seen: Training images seen by each training.
        trainings: Number of trainings that the accuracy is the mean of.
        paper_total_mb: Total Memory as printed, in MB.
        paper_accuracy: Top-1 Acc. as printed, in [0, 1].
    """

    model: str
    source: str
    param_bytes: int | None
    paper_bytes: int | None
    sequential_bytes: int | None
    minimum_bytes: int | None
    total_paper_bytes: int | None
    total_sequential_bytes: int | None
    total_minimum_bytes: int | None
    minimum_exact: bool | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    images_seen: int | None
    trainings: int | None
    paper_total_mb: float
    paper_accuracy: float


def memory_columns(memory: Memory | None) -> dict[str, int | bool | None]:
    """Return the memory columns of a row, all empty for None."""
    if memory is None:
        return dict.fromkeys((*(field.name for field in fields(Memory)), *(f"total_{name}" for name in _PEAKS)))
    totals = {f"total_{name}": memory.param_bytes + getattr(memory, name) for name in _PEAKS}
    return asdict(memory) | totals


_PEAKS = tuple(field.name for field in fields(PeakFigures) if field.name != "param_bytes")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A Savings cell that cannot follow from the Total Memory column of its own table.

    Attributes:
        model: Row of the cell.
        printed: The saving that the cell states, in percent.
        computed: The saving that follows from the two totals, in percent.
        against: The row of MemNAS that the saving is relative to.
    """

    model: str
    printed: float
    computed: float
    against: str


def contradictions(printed: Sequence[Printed]) -> tuple[Contradiction, ...]:
    """Return the Savings cells for which no totals that round to the printed ones give the printed saving.

    Savings are relative to the next row of MemNAS. Totals and savings are printed with one decimal, so a total may be
    off by 0.05 MB and a saving by 0.05 points.
    """
    half = 0.05
    found = []
    for place, row in enumerate(printed):
        if row.savings_percent is None:
            continue
        ours = next(other for other in printed[place:] if other.savings_percent is None)
        least = 100 * (1 - (ours.total_mb + half) / (row.total_mb - half)) - half
        most = 100 * (1 - (ours.total_mb - half) / (row.total_mb + half)) + half
        if not least <= row.savings_percent <= most:
            computed = 100 * (1 - ours.total_mb / row.total_mb)
            found.append(Contradiction(row.model, row.savings_percent, round(computed, 1), ours.model))
    return tuple(found)


def memory_notes(rows: Sequence[Row], printed: Sequence[Printed], example: str) -> list[str]:
    """Return the page's notes on a table's memory columns, one sentence for each difference.

    Args:
        rows: Rows of the table, in the printed order.
        printed: The rows as printed.
        example: The row that serves as an example.
    """
    measured = [row for row in rows if row.total_paper_bytes and row.total_sequential_bytes]
    highest = [max(row.total_paper_bytes or 0, row.total_sequential_bytes or 0) / MEGABYTE for row in measured]
    # Rows of MemNAS are other networks than the paper's, so their totals say nothing about its estimator.
    known = {row.model for row in printed if row.savings_percent is not None}
    factors = [row.paper_total_mb / total for row, total in zip(measured, highest, strict=True) if row.model in known]
    shown = next(row for row in measured if row.model == example)
    low, high = sorted((shown.total_paper_bytes or 0, shown.total_sequential_bytes or 0))
    larger = sum(factor > 1 for factor in factors)
    notes = [
        "The printed Total Memory cannot be reproduced: weights and peak activations at float32 and batch 1 are, even "
        f"under the larger of the paper's and the sequential convention, below it in {larger} of {len(factors)} rows, "
        f"by factors from {min(factors):.2f} to {max(factors):.2f} ({example}: {low / MEGABYTE:.2f} to "
        f"{high / MEGABYTE:.2f} MB computed, {shown.paper_total_mb} MB printed); so every row is computed anew by one "
        "estimator, and the printed figure stands beside it."
    ]
    notes += [
        f"The printed Memory Savings of {cell.model}, {cell.printed} %, contradict the table's own totals, which give "
        f"{cell.computed} % against {cell.against}."
        for cell in contradictions(printed)
    ]
    inexact = [row.model for row in measured if not row.minimum_exact]
    if inexact:
        notes.append(f"`minimum` is the best order found, not proven to be the best of all, for {', '.join(inexact)}.")
    return notes


def undefined_note(rows: Sequence[Row]) -> list[str]:
    """Return the page's note on rows without a public definition."""
    missing = [row.model for row in rows if row.source.startswith("no public definition")]
    if not missing:
        return []
    return [f"{', '.join(missing)}: no public definition was found, so these rows have the paper's figures alone."]
