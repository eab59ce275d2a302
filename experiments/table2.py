"""Stage `table2`: networks for 224x224 images, with memory of every public definition and latency as a ratio.

    python -m experiments.table2

Writes `results/table2.csv` from the printed figures (`experiments/paper/table2.csv`), the committed searches and the
committed latencies (`results/latency.json`). Memory is computed here in seconds. Nothing is trained on ImageNet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

from experiments.extend import IMAGENET, extend, lower_extended
from experiments.found import TABLE2_FOUND, found_so_far, search_key
from experiments.latency import REFERENCE, LatencyRun, NetworkLatency, read_latency
from experiments.networks import LARGE, UNDEFINED, Definition
from experiments.plan import RESULTS, Plan, load_plan
from experiments.stage import run_stage
from experiments.table_rows import (
    NOT_SEARCHED,
    Memory,
    Printed,
    Row,
    memory_columns,
    memory_notes,
    memory_of,
    memory_of_network,
    read_printed,
    undefined_note,
)
from experiments.tidy import write_rows
from memnas_core.errors import RecordError
from memnas_core.space.architecture import Architecture

TABLE = RESULTS / "table2.csv"


@dataclass(frozen=True, slots=True)
class LargeRow(Row):
    """A line of Table 2.

    Attributes:
        latency_ratio: Measured time for one image divided by that of MobileNet V2 (1.0x), median over rounds.
        latency_ratio_low: First quartile of this ratio over rounds.
        latency_ratio_high: Third quartile of this ratio over rounds.
        paper_latency_ms: Inference Latency on a Pixel 1 as printed, in milliseconds.
    """

    latency_ratio: float | None
    latency_ratio_low: float | None
    latency_ratio_high: float | None
    paper_latency_ms: float | None


def table2_rows(plan: Plan, results: Path = RESULTS) -> tuple[LargeRow, ...]:
    """Return the rows of Table 2 in the printed order.

    Args:
        plan: Which searches the found networks come from.
        results: Folder of the committed results.

    Raises:
        RecordError: A committed result is damaged, or a latency is not of the network that the search found.
    """
    found = found_so_far(TABLE2_FOUND, plan, results / "searches")
    latencies = latencies_of(read_latency(results / "latency.json"), found)
    return tuple(_row(printed, found, latencies.get(printed.model), plan) for printed in read_printed("table2"))


def _row(printed: Printed, found: Mapping[str, Architecture], latency: NetworkLatency | None, plan: Plan) -> LargeRow:
    source, memory = source_and_memory(printed.model, found, plan)
    return LargeRow(
        model=printed.model,
        source=source,
        **memory_columns(memory),  # type: ignore[arg-type]
        accuracy=None,
        accuracy_low=None,
        accuracy_high=None,
        images_seen=None,
        trainings=None,
        paper_total_mb=printed.total_mb,
        paper_accuracy=printed.accuracy,
        latency_ratio=round(latency.ratio, 3) if latency else None,
        latency_ratio_low=round(latency.ratio_low, 3) if latency else None,
        latency_ratio_high=round(latency.ratio_high, 3) if latency else None,
        paper_latency_ms=printed.latency_ms,
    )


def source_and_memory(model: str, found: Mapping[str, Architecture], plan: Plan) -> tuple[str, Memory | None]:
    """Return where a row's network comes from, and its memory if there is one.

    Args:
        model: Row of the table.
        found: The found networks by row.
        plan: Which searches the found networks come from.
    """
    if model in TABLE2_FOUND:
        if model not in found:
            return NOT_SEARCHED, None
        extended = extend(found[model])
        name = search_key(TABLE2_FOUND[model], plan).folder_name
        return (
            f"the blocks found here by the search {name}, extended to {len(extended.blocks)} blocks and F = "
            f"{extended.filters}",
            memory_of(lower_extended(extended)),
        )
    for definition in LARGE:
        if definition.model == model:
            return definition.source, _defined_memory(definition)
    return UNDEFINED[model], None


@cache
def _defined_memory(definition: Definition[[]]) -> Memory:
    return memory_of_network(definition.build, IMAGENET)


def latencies_of(run: LatencyRun | None, found: Mapping[str, Architecture]) -> dict[str, NetworkLatency]:
    """Return the measured latencies by row.

    Raises:
        RecordError: A latency is not of the network that the search found.
    """
    latencies = {network.model: network for network in run.networks} if run else {}
    for model, architecture in found.items():
        if model in latencies and latencies[model].arch_id != architecture.arch_id:
            raise RecordError(
                f"latency.json: {model}: expected the latency of {architecture.arch_id}, which the search found, found "
                f"that of {latencies[model].arch_id}; measure again with dvc repro latency"
            )
    return latencies


def table2_notes(plan: Plan, results: Path = RESULTS) -> tuple[str, ...]:
    """Return the notes below Table 2 on the results page, one sentence for each difference from the paper.

    Raises:
        RecordError: As for `table2_rows`.
    """
    rows = table2_rows(plan, results)
    notes = memory_notes(rows, read_printed("table2"), REFERENCE)
    notes += [
        "MemNAS-A and -B are not the paper's networks but the blocks found here at λ = 0.5 and 0.8, each repeated in "
        "place until there are 16, with F = 256; the paper does not say how five blocks become sixteen nor where their "
        "strides are, so three stem convolutions with stride 2 and halvings at blocks 6 and 11 are our reading.",
        "No network was trained on ImageNet here: accuracy is the paper's column alone.",
        *undefined_note(rows),
    ]
    missing = [row.model for row in rows if row.source == NOT_SEARCHED]
    if missing:
        notes.append(f"{' and '.join(missing)}: the search has not been run yet (dvc repro).")
    return (*notes, *_latency_notes(rows, read_latency(results / "latency.json")))


def _latency_notes(rows: Sequence[LargeRow], run: LatencyRun | None) -> list[str]:
    if run is None:
        return ["Latency has not been measured yet (dvc repro)."]
    (reference,) = (network for network in run.networks if network.model == REFERENCE)
    notes = [
        f"Latency is that of torch on {run.machine}, one thread, batch 1, median of {run.rounds} rounds, as a ratio "
        f"to {REFERENCE} ({reference.median_ms:.0f} ms there); the paper's milliseconds are of a Pixel 1."
    ]
    (base,) = (row.paper_latency_ms for row in rows if row.model == REFERENCE)
    compared = [
        f"{row.model} {row.paper_latency_ms / base:.2f} printed, {row.latency_ratio:.2f} measured"
        for row in rows
        if base and row.paper_latency_ms and row.latency_ratio and row.model != REFERENCE
    ]
    if compared:
        notes.append(f"As ratios, where the paper prints a latency: {'; '.join(compared)}.")
    return notes


def main() -> None:
    """Write the table."""
    rows = table2_rows(load_plan())
    write_rows(TABLE, rows)
    measured = sum(row.sequential_bytes is not None for row in rows)
    timed = sum(row.latency_ratio is not None for row in rows)
    click.echo(f"{len(rows)} rows, {measured} with memory, {timed} with latency: {TABLE}")


if __name__ == "__main__":
    run_stage(main)
