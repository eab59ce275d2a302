"""What Tables 1 and 2 have in common: the printed figures, the measured memory, and what the printed ones get wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from experiments.tidy import PAPER, read_paper
from memnas_core.graph import Shape
from memnas_core.memory_report import LayerGraph, memory_report
from memnas_core.recorder import weightless
from memnas_core.trace import trace

FLOAT_BYTES = 4
MEGABYTE = 1_000_000
NOT_SEARCHED = "not searched yet"


@dataclass(frozen=True, slots=True)
class Printed:
    """A row as the paper printed it.

    Attributes:
        model: Its name.
        total_mb: Total Memory in MB.
        savings_percent: Memory Savings of the reference row; None in a row of MemNAS.
        latency_ms: Inference Latency on a Pixel 1; None where there is none.
        accuracy_percent: Top-1 Acc.
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
        RecordError: There is no such file.
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
class Memory:
    """Measured memory at float32 and batch 1, in bytes.

    Attributes:
        param_bytes: All trainable weights.
        paper_bytes: Peak activations under `paper`.
        sequential_bytes: The same under `sequential`.
        minimum_bytes: The same under `minimum`.
        minimum_exact: Whether no order of the layers needs less.
    """

    param_bytes: int
    paper_bytes: int
    sequential_bytes: int
    minimum_bytes: int
    minimum_exact: bool


def memory_of(graph: LayerGraph) -> Memory:
    """Return the memory of a graph at float32."""
    report = memory_report(graph, FLOAT_BYTES, FLOAT_BYTES)
    return Memory(
        report.param_bytes, **{f"{k}_bytes": v for k, v in report.peaks.items()}, minimum_exact=report.minimum_exact
    )


def memory_of_network(build: Callable[[], nn.Module], shape: Shape) -> Memory:
    """Return the memory of a torch network for one image; its weights are never made.

    Args:
        build: Makes the network.
        shape: Of an image.

    Raises:
        InputError: The network does not run on images of this shape.
    """
    with weightless():
        network = build()
    return memory_of(trace(network, shape))


@dataclass(frozen=True, slots=True)
class Row:
    """What a line of both tables has; sizes in bytes, accuracies in [0, 1], empty where there is none.

    Attributes:
        model: The name that the paper prints.
        source: Where the measured network's definition comes from, and what differs in it.
        param_bytes: Measured: all trainable weights at float32.
        paper_bytes: Measured: peak activations under `paper` at batch 1.
        sequential_bytes: The same under `sequential`.
        minimum_bytes: The same under `minimum`.
        total_paper_bytes: Weights and peak activations under `paper`.
        total_sequential_bytes: The same under `sequential`.
        total_minimum_bytes: The same under `minimum`.
        minimum_exact: Whether no order of the layers needs less than `minimum`.
        accuracy: Measured on the test images, mean over the trainings.
        accuracy_low: Lower end of its interval.
        accuracy_high: Upper end.
        images_seen: Training images seen by each training.
        trainings: How many trainings the accuracy is the mean of.
        paper_total_mb: Printed: Total Memory.
        paper_accuracy: Printed: Top-1 Acc.
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
    """Return the memory columns of a row; all empty for None."""
    if memory is None:
        names = ("param_bytes", *(f"{total}{name}_bytes" for total in ("", "total_") for name in _CONVENTIONS))
        return dict.fromkeys((*names, "minimum_exact"))
    weights = memory.param_bytes
    return {
        "param_bytes": weights,
        "paper_bytes": memory.paper_bytes,
        "sequential_bytes": memory.sequential_bytes,
        "minimum_bytes": memory.minimum_bytes,
        "total_paper_bytes": weights + memory.paper_bytes,
        "total_sequential_bytes": weights + memory.sequential_bytes,
        "total_minimum_bytes": weights + memory.minimum_bytes,
        "minimum_exact": memory.minimum_exact,
    }


_CONVENTIONS = ("paper", "sequential", "minimum")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A Savings cell that the Total Memory column of its own table rules out.

    Attributes:
        model: Its row.
        printed: What it says, in percent.
        computed: What the two totals give, in percent.
        against: The row of MemNAS that savings are relative to.
    """

    model: str
    printed: float
    computed: float
    against: str


def contradictions(printed: Sequence[Printed]) -> tuple[Contradiction, ...]:
    """Return the Savings cells that no totals give which round to the printed ones.

    Savings are relative to the first row of MemNAS that follows. Totals and savings are printed with one digit, so a
    total may be 0.05 MB and a saving 0.05 points off.
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
    """Return what the page says about a table's memory columns, one sentence a difference.

    Args:
        rows: The table's rows, in the printed order.
        printed: The printed rows.
        example: The row that is given as an example.
    """
    measured = [row for row in rows if row.total_paper_bytes and row.total_sequential_bytes]
    highest = [max(row.total_paper_bytes or 0, row.total_sequential_bytes or 0) / MEGABYTE for row in measured]
    # Rows of MemNAS are other networks than the paper's, so that their totals say nothing about its estimator.
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
    """Return what the page says about rows without a public definition."""
    missing = [row.model for row in rows if row.source.startswith("no public definition")]
    if not missing:
        return []
    return [f"{', '.join(missing)}: no public definition was found, so these rows have the paper's figures alone."]
