"""Stage `table1`: networks for small images, with memory at the paper's CIFAR shape and accuracy at equal budget.

    python -m experiments.table1

Writes `results/table1.csv` from the printed figures (`experiments/paper/table1.csv`), the committed searches and the
committed trainings (`results/networks/`). Memory is computed here in seconds and needs no training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import click

from experiments.accuracy import Interval, intervals, pooled_deviation
from experiments.found import TABLE1_FOUND, found_so_far, search_key
from experiments.network_jobs import NetworkResult, read_result
from experiments.networks import SMALL, UNDEFINED, Definition
from experiments.plan import RESULTS, Plan, load_plan
from experiments.stage import run_stage
from experiments.table_rows import (
    MEGABYTE,
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
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape

TABLE = RESULTS / "table1.csv"
CIFAR = Shape(3, 32, 32)
CIFAR_CLASSES = 10
PAPER_FILTERS = 64


def table1_rows(plan: Plan, results: Path = RESULTS) -> tuple[Row, ...]:
    """Return the rows of Table 1 in the printed order.

    Args:
        plan: Which searches the found networks come from.
        results: Folder of the committed results.

    RecordError: A committed result is damaged, or the trainings of a row are not of the network that the search found.
    """
    printed = read_printed("table1")
    found = found_so_far(TABLE1_FOUND, plan, results / "searches")
    trained = read_trainings(printed, found, results)
    accuracy = accuracy_intervals(trained)
    rows = []
    for row in printed:
        source, memory = _source_and_memory(row.model, found, plan)
        result, interval = trained.get(row.model), accuracy.get(row.model)
        done = [training for training in result.trainings if not training.diverged] if result else []
        rows.append(
            Row(
                model=row.model,
                source=source,
                **memory_columns(memory),  # type: ignore[arg-type]
                accuracy=round(interval.mean, 5) if interval else None,
                accuracy_low=round(interval.low, 5) if interval else None,
                accuracy_high=round(interval.high, 5) if interval else None,
                images_seen=done[0].images_seen if done else None,
                trainings=len(done) or None,
                paper_total_mb=row.total_mb,
                paper_accuracy=row.accuracy,
            )
        )
    return tuple(rows)


def _source_and_memory(model: str, found: Mapping[str, Architecture], plan: Plan) -> tuple[str, Memory | None]:
    if model in TABLE1_FOUND:
        if model not in found:
            return NOT_SEARCHED, None
        architecture = found[model]
        name = search_key(TABLE1_FOUND[model], plan).folder_name
        return (
            f"found here by the search {name}, F = {architecture.filters}",
            memory_of(lower(architecture, CIFAR, CIFAR_CLASSES)),
        )
    for definition in SMALL:
        if definition.model == model:
            return definition.source, _defined_memory(definition)
    return UNDEFINED[model], None


@cache
def _defined_memory(definition: Definition[[int, int]]) -> Memory:
    return memory_of_network(partial(definition.build, CIFAR.channels, CIFAR_CLASSES), CIFAR)


def read_trainings(
    printed: Sequence[Printed], found: Mapping[str, Architecture], results: Path
) -> dict[str, NetworkResult]:
    """Return the committed trainings by row.

    Raises:
        RecordError: A file is damaged; a found network's trainings are not of the network that the search chose; or
            some networks were trained on other data or with other settings than the rest.
    """
    trained: dict[str, NetworkResult] = {}
    for row in printed:
        result = read_result(results / "networks", row.model)
        if result is None or (row.model in TABLE1_FOUND and row.model not in found):
            continue
        expected = found[row.model].arch_id if row.model in found else None
        if result.arch_id != expected:
            raise RecordError(
                f"{results / 'networks'}: {row.model}: expected trainings of {expected}, which the search found, found "
                f"those of {result.arch_id}; train it with dvc repro networks"
            )
        first = next(iter(trained.values()), result)
        if (result.training, result.data.digest) != (first.training, first.data.digest):
            raise RecordError(
                f"{results / 'networks'}: {row.model}: expected the data and settings of {first.model}, found others; "
                "train them alike with dvc repro networks"
            )
        trained[row.model] = result
    return trained


def accuracies_of(trained: Mapping[str, NetworkResult]) -> dict[str, list[float]]:
    """Return the test accuracy of every training that did not diverge, by row."""
    return {
        model: [value for training in result.trainings if (value := training.test_accuracy) is not None]
        for model, result in trained.items()
    }


def accuracy_intervals(trained: Mapping[str, NetworkResult]) -> dict[str, Interval]:
    """Return mean accuracy with its interval by row."""
    if not trained:
        return {}
    test_images = next(iter(trained.values())).data.test_size
    return intervals(accuracies_of(trained), test_images)


def table1_notes(plan: Plan, results: Path = RESULTS) -> tuple[str, ...]:
    """Return the notes below Table 1 on the results page, one sentence for each difference from the paper.

    Raises:
        RecordError: As for `table1_rows`.
    """
    printed = read_printed("table1")
    rows = table1_rows(plan, results)
    found = found_so_far(TABLE1_FOUND, plan, results / "searches")
    trained = read_trainings(printed, found, results)
    notes = memory_notes(rows, printed, "ResNet-56")
    notes += [
        "Memory is computed for one image of 3x32x32 and 10 classes, as in the paper; accuracy below comes from the "
        "same networks on other images, with the first layer for their channels."
    ]
    for model, architecture in found.items():
        here = memory_of(lower(architecture, CIFAR, CIFAR_CLASSES))
        wide = memory_of(lower(replace(architecture, filters=PAPER_FILTERS), CIFAR, CIFAR_CLASSES))
        sizes = [(memory.param_bytes + memory.sequential_bytes) / MEGABYTE for memory in (here, wide)]
        notes.append(
            f"{model} is the network found here with F = {architecture.filters}, not the paper's with F = "
            f"{PAPER_FILTERS}: with sequential activations it takes {sizes[0]:.2f} MB, and its blocks at F = "
            f"{PAPER_FILTERS} would take {sizes[1]:.2f} MB."
        )
    missing = [model for model in TABLE1_FOUND if model not in found]
    if missing:
        notes.append(f"{' and '.join(missing)}: the search has not been run yet (dvc repro).")
    return (*notes, *_accuracy_notes(rows, trained), *undefined_note(rows))


def _accuracy_notes(rows: Sequence[Row], trained: Mapping[str, NetworkResult]) -> list[str]:
    if not trained:
        return ["Accuracy has not been measured yet (dvc repro)."]
    result = next(iter(trained.values()))
    data, training = result.data, result.training
    deviation, freedom = pooled_deviation(accuracies_of(trained))
    channels, height, width = data.shape
    done = [row for row in rows if row.accuracy is not None]
    seeds = len(result.trainings)
    notes = [
        f"Accuracy is that of {data.name} at {channels}x{height}x{width}, not of CIFAR-10: every network sees "
        f"{result.trainings[0].images_seen:,} images ({training.epochs} pass{'es' if training.epochs > 1 else ''} over "
        f"{data.train_size:,}) under the same settings, {seeds} time{'s' if seeds > 1 else ''} from fresh weights, "
        "where the paper's networks had the "
        "budgets of their own papers; figures of the two columns do not compare, and a small budget favours networks "
        "that learn fast over those that are best in the end."
    ]
    if freedom:
        notes.append(
            "The interval (95 %) covers other seeds and other test images: Student's t with the standard deviation "
            f"between trainings of one network, pooled over all networks ({100 * deviation:.2f} points, {freedom} "
            f"degrees of freedom), and the binomial variance of {data.test_size:,} test images."
        )
    else:
        notes.append(
            f"The interval (95 %) is that of {data.test_size:,} test images alone: with one training a network, what "
            "another seed would change is not measured."
        )
    if len(done) > 1:
        best = max(done, key=lambda row: row.accuracy or 0.0)
        best_printed = max(rows, key=lambda row: row.paper_accuracy)
        notes.append(
            f"The paper prints the highest accuracy for {best_printed.model} ({best_printed.paper_accuracy:.1%} of "
            f"CIFAR-10); at equal budget here it is that of {best.model} ({best.accuracy:.1%})."
        )
    diverged = {model: sum(t.diverged for t in result.trainings) for model, result in trained.items()}
    notes += [
        f"{count} of {seeds} trainings of {model} diverged and {'are' if count > 1 else 'is'} not in its mean."
        for model, count in diverged.items()
        if count
    ]
    return notes


def main() -> None:
    """Write the table."""
    rows = table1_rows(load_plan())
    write_rows(TABLE, rows)
    measured = sum(row.sequential_bytes is not None for row in rows)
    scored = sum(row.accuracy is not None for row in rows)
    click.echo(f"{len(rows)} rows, {measured} with memory, {scored} with accuracy: {TABLE}")


if __name__ == "__main__":
    run_stage(main)
