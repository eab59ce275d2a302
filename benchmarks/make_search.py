"""How much faster `make search` became: whole searches with today's and with former settings, timed from outside.

`before` is what params.yaml said before candidates inherited weights and began with a small budget: one base a round,
and every candidate trained in full from scratch. Both use today's code. Each search is a process with its own store;
searches run one after the other, and a finished one is not repeated.

Run: python -m benchmarks.make_search --page docs/search-cost.md
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.spread import Spread
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text

BEFORE = (
    "search.aim=score",
    "search.seed_cells=[[conv_3x3, conv_3x3]]",
    "search.weights=fresh",
    "search.warm_learning_rate=null",
    "search.rungs=[1.0]",
    "search.keep=1.0",
    "search.patience=3",
    "objective.accuracy_floor=null",
)
SETTINGS = {"before": BEFORE, "now": (), "now, floor 0.95": ("objective.accuracy_floor=0.95",)}
"""The overrides of params.yaml by name; the last are those of the choice that `now` was made against."""
WEIGHTS = (0.5, 1.0)
"""Weights of accuracy in Eq. 4 (lambda): that of params.yaml, and accuracy alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One whole search.

    Attributes:
        settings: A name in `SETTINGS`.
        accuracy_weight: The paper's lambda.
        seed: Seed of the search.
        seconds: Wall time of the command, from its start to its end.
        images: Training images seen before the final training of the chosen network.
        arch_id: Id of the chosen network.
        test_accuracy: Test accuracy of the chosen network after that training, in [0, 1].
        param_bytes: Bytes of its weights.
        activation_bytes: Activation peak under the convention `arena`, in bytes.
    """

    settings: str
    accuracy_weight: float
    seed: int
    seconds: float
    images: int
    arch_id: str
    test_accuracy: float
    param_bytes: int
    activation_bytes: int


def perform(settings: str, weight: float, seed: int, folder: Path) -> Row:
    """Return what a search found, after running it unless this was done before.

    Raises:
        ClickException: The search failed.
    """
    done = folder / "row.json"
    if not done.is_file():
        overrides = (*SETTINGS[settings], f"objective.accuracy_weight={weight}", f"search.seed={seed}")
        command = [sys.executable, "-m", "flows.cli", "search", "--set", f"store={folder.absolute()}"]
        for override in overrides:
            command += ["--set", override]
        started = time.perf_counter()
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        if ended.returncode:
            raise click.ClickException(f"{shlex.join(command)}: expected a search that ends well:\n{ended.stderr}")
        seconds = time.perf_counter() - started
        found = json.loads((folder / "searches" / "digits" / "metrics.json").read_text(encoding="utf-8"))
        row = Row(
            settings,
            weight,
            seed,
            seconds,
            found["images_seen"],
            found["arch_id"],
            found["test_accuracy"],
            found["param_bytes"],
            found["arena_bytes"],
        )
        write_text(done, json.dumps(asdict(row)))
    return Row(**json.loads(done.read_text(encoding="utf-8")))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield one line for each kind of search in Markdown: medians over seeds, and the range."""
    yield "| λ | settings | seconds | images | test accuracy | weights + activations, kB |"
    yield "|---:|---|---:|---:|---:|---:|"
    names = dict.fromkeys(row.settings for row in rows)
    for weight, settings in product(sorted({row.accuracy_weight for row in rows}), names):
        own = [row for row in rows if (row.accuracy_weight, row.settings) == (weight, settings)]
        cells = [
            Spread.of([row.seconds for row in own]).shown(0),
            Spread.of([row.images for row in own]).shown(0),
            Spread.of([row.test_accuracy for row in own]).shown(4),
            Spread.of([(row.param_bytes + row.activation_bytes) / 1000 for row in own]).shown(1),
        ]
        yield f"| {weight:g} | {settings} | {' | '.join(cells)} |"


def notes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how the figures were measured."""
    seeds = sorted({row.seed for row in rows})
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    yield from circumstances("make_search", ("torch", "prefect", "mlflow", "dvc"), load)
    yield f"- n: seeds {', '.join(map(str, seeds))}; figures: median and range over seeds"


@click.command(help="Run the searches that have not been run yet, and write what they took and found.")
@click.option("--seeds", type=click.IntRange(0), multiple=True, default=(0, 1, 2), show_default=True)
@click.option(
    "--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/make-search"), show_default=True
)
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/make_search.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the table between its two marks.")
def main(seeds: tuple[int, ...], store: Path, rows: Path, page: Path | None) -> None:
    """Search, gather, write and print."""
    kinds = list(product(seeds, WEIGHTS, SETTINGS))  # before and now take turns, so that load affects both alike
    measured = []
    for number, (seed, weight, settings) in enumerate(kinds, start=1):
        row = perform(settings, weight, seed, store / f"{settings}-{weight:g}-{seed}")
        print(f"[{number}/{len(kinds)}] {row}", file=sys.stderr, flush=True)
        measured.append(row)
    lines = [*table(measured), "", *notes(measured)]
    print("\n".join(lines))
    write_parquet(rows, Row, measured)
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page, "make-search"))


if __name__ == "__main__":
    main()
