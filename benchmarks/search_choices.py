"""What each choice in memnas's default search is worth: the default against searches that differ in one thing.

Searches are short, `TRAININGS` full trainings' images, since that is where memnas is to be better than others. They
have the data, the box and the trainer of `benchmarks.search`, and run without services
(`benchmarks.search_methods.plain_rounds`). What a search found is kept, a file a search, and not measured again.

Run: python -m benchmarks.search_choices --page docs/search-cost.md
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.search_methods.plain_rounds import search_plainly
from benchmarks.search_methods.tally import Row, Tally
from benchmarks.search_methods.trainer import SEED_CELLS, Task
from benchmarks.search_runs import DATASETS, SEEDS
from benchmarks.spread import Spread
from experiments.code_version import code_version
from memnas_core.settings_file import load_settings
from memnas_core.storage import write_text
from memnas_core.tables import read_parquet, write_parquet
from memnas_core.training import prepare_process

TRAININGS = 5

DEFAULT = "default"

FRESH = ("search.weights=fresh", "search.warm_learning_rate=null")
_CELLS = "search.seed_cells=" + json.dumps([[operation.value for operation in pair] for pair in SEED_CELLS])

CHOICES: Mapping[str, tuple[str, ...]] = {
    DEFAULT: (),
    "candidates fully trained from nothing": (*FRESH, "search.rungs=[1.0]", "search.keep=1.0"),
    "weights from nothing, same rungs": FRESH,
    "all go on to the second rung": ("search.keep=1.0",),
    "half go on": ("search.keep=0.5",),
    "rungs of 0.05 and 0.1, half go on": ("search.rungs=[0.05,0.1]", "search.keep=0.5"),
    "rungs of 0.1 and 0.4, a quarter goes on": ("search.rungs=[0.1,0.4]", "search.keep=0.25"),
    "rungs of 0.1 and 0.8, an eighth goes on": ("search.rungs=[0.1,0.8]", "search.keep=0.125"),
    "warm learning rate 0.02": ("search.warm_learning_rate=0.02",),
    "warm learning rate 0.05": ("search.warm_learning_rate=0.05",),
    "four seeds, fully trained": (_CELLS,),
    "four seeds, a quarter and a half trained": (_CELLS, "search.seed_rungs=[0.25,0.5]", "search.keep=0.5"),
    "one base a round, by Eq. 4": ("search.aim=score", "search.seed_cells=[[conv_3x3,depthwise_5x5]]"),
    "random choice of candidates": ("search.selection=random",),
    "the paper's controller": ("controller.version=paper",),
}
"""What differs from the default, in words and as settings."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A search that differs in one thing.

    Attributes:
        dataset: Its name.
        choice: What differs.
        seed: As in `benchmarks.search_runs.Run`.
        store: Folder that everything lies in.
    """

    dataset: str
    choice: str
    seed: int
    store: Path

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the settings file is overridden with."""
        return (*CHOICES[self.choice], f"search.seed={self.seed}")

    @property
    def path(self) -> Path:
        """Where its rows lie once it has ended."""
        settings = load_settings(DATASETS[self.dataset], self.overrides).as_dict()
        deciding = json.dumps([settings, TRAININGS, code_version("search")], sort_keys=True)
        key = hashlib.sha256(deciding.encode()).hexdigest()[:12]
        return self.store / "choices" / self.dataset / f"{key}.parquet"

    def rows(self) -> tuple[Row, ...]:
        """Return its rows.

        Raises:
            RecordError: They are missing or damaged.
        """
        return read_parquet(self.path, Row, "the rows of a search", "run python -m benchmarks.search_choices again")


def perform(trial: Trial) -> None:
    """Search and write the rows."""
    settings = load_settings(DATASETS[trial.dataset], trial.overrides)
    task = Task.prepare(settings, trial.store)
    limit = TRAININGS * task.full_images
    tally = Tally(trial.dataset, trial.choice, trial.seed, task.box)
    search_plainly(task, tally, limit, trial.store / "products")  # shares the trainings of memnas's long runs
    trial.path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(trial.path, Row, [row for row in tally.rows if row.images <= limit])


@click.command(help="Perform the searches that have not been performed yet, and write what all of them found.")
@click.option("--choices", type=click.Choice(list(CHOICES)), multiple=True, default=list(CHOICES))
@click.option("--seeds", type=click.IntRange(0), multiple=True, default=SEEDS)
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/search"), show_default=True)
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results/search_choices.parquet"),
    show_default=True,
    help="Write the raw rows here, as Parquet.",
)
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the table between its two marks.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Searches at the same time.")
def main(
    choices: tuple[str, ...], seeds: tuple[int, ...], store: Path, rows: Path, page: Path | None, workers: int
) -> None:
    """Search, gather, write and print."""
    compared = dict.fromkeys((DEFAULT, *choices))
    every = product(DATASETS, compared, seeds)
    trials = [Trial(dataset, choice, seed, store) for dataset, choice, seed in every]
    missing = {trial.path: trial for trial in trials if not trial.path.is_file()}  # some choices are a default
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_process, max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, trial): trial for trial in missing.values()}
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()
            trial = futures[future]
            print(f"[{number}/{len(futures)}] {trial.dataset} {trial.choice} seed {trial.seed}", file=sys.stderr)
    found = {trial: trial.rows() for trial in trials}
    lines = [*table(found), "", *notes(seeds)]
    print("\n".join(lines))
    write_parquet(rows, Row, [_named(row, trial) for trial, of_trial in found.items() for row in of_trial])
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page, "choices"))


def table(found: Mapping[Trial, Sequence[Row]]) -> Iterator[str]:
    """Yield a line a choice, in Markdown: hypervolume at the end, and by how much it differs from the default's.

    Seeds decide first weights and validation images, so that differences are taken seed by seed.
    """
    ends = {(trial.dataset, trial.choice, trial.seed): rows[-1].hypervolume for trial, rows in found.items()}
    datasets, choices, seeds = (tuple(dict.fromkeys(part)) for part in zip(*ends, strict=True))
    yield f"| search | {' | '.join(f'{dataset} | from the default' for dataset in datasets)} |"
    yield "|---|" + "---:|" * (2 * len(datasets))
    for choice in choices:
        cells = []
        for dataset in datasets:
            cells.append(Spread.of([ends[dataset, choice, seed] for seed in seeds]).shown(3))
            differences = [ends[dataset, choice, seed] - ends[dataset, DEFAULT, seed] for seed in seeds]
            cells.append("" if choice == DEFAULT else Spread.of(differences).shown(3, sign="+"))
        yield f"| {choice} | {' | '.join(cells)} |"


def notes(seeds: Sequence[int]) -> Iterator[str]:
    """Yield how it was measured."""
    yield from circumstances("search_choices", ("torch", "numpy"), "no figure here is a time")
    yield (
        f"- n: seeds {', '.join(map(str, seeds))}, the images of {TRAININGS} full trainings a search; figures: "
        "hypervolume at the end, and how it differs from the default's with the same seed, median and range over seeds"
    )


def _named(row: Row, trial: Trial) -> Row:
    """Return a row under the name of the choice; one file serves choices that come to the same settings."""
    return replace(row, method=trial.choice)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
