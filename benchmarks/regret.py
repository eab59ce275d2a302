"""What a better choice could gain in a round: whole pools of candidates are trained on both rungs.

A search with the settings of the yardstick, and a second rung that is longer, plays some rounds. Of the candidates of
the next round, a pool is drawn uniformly, and all of it is trained on the first rung and then on the second. So it is
known what each way to choose whom to try, and each way to choose who goes on, would have gained: the area that the best
network added to the front.

    tried         first of the pool in the order of ...
    uniform       chance
    memory        memory saved against the base
    base          the area expected if a candidate is as accurate as its base
    scc           the area expected by the paper's SCC
    default       the area expected by the default controller
    oracle        the area after the second rung

Run: python -m benchmarks.regret Fashion-MNIST
     python -m benchmarks.regret "CIFAR-10 (JPEG copy)" --images FOLDER
     python -m benchmarks.regret
"""

import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.search.methods.memnas import memory_alone
from benchmarks.search.methods.trainer import Task
from benchmarks.search.runs import Run
from benchmarks.search.yardstick import DATASETS, check_images
from benchmarks.spread import Mean
from experiments.code_version import code_version
from memnas_core.controller.examples import Example
from memnas_core.controller.interface import Controller
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.files.writing import write_text
from memnas_core.objective.score import performance_of
from memnas_core.records.trainings import TrainingRecord
from memnas_core.search import steps
from memnas_core.search.candidates import Generation
from memnas_core.search.front_aim import FrontComparison, rank_for_front
from memnas_core.search.loop import Steps, play_round
from memnas_core.search.state import SearchState
from memnas_core.training import worker
from memnas_core.training.job import candidate_seed
from memnas_core.training.loop import prepare_process
from memnas_core.training.record import finished

SEEDS = (20, 21, 22)
"""None of them is used elsewhere."""

ROUNDS = (2, 4)
"""A pool is drawn from the candidates of these rounds."""

SECOND = 4
"""Length of the second rung, in first rungs."""

POOL = 56
TRIED, PROMOTED = 8, 2
"""Networks that a round tries, and those that go on, as in the default settings."""


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate of a pool.

    Attributes:
        dataset: Name of the data set.
        seed: Seed of the search and of the pool.
        round: Round whose candidates the pool is drawn from.
        arch_id: Id of the network.
        total_bytes: Weights and activations together.
        first_accuracy: Validation accuracy after the first rung, in [0, 1]; 0 where the training failed.
        first_gain: Area that it adds to the front then.
        second_accuracy: The same after the second rung.
        second_gain: Area that it adds to the front then.
        memory: Place in the pool by memory saved, from 0.
        base: Place if candidates were as accurate as their bases.
        scc: Place by the paper's SCC.
        default: Place by the default controller.
        code: Digest of the code that decides trainings and rounds.
    """

    dataset: str
    seed: int
    round: int
    arch_id: str
    total_bytes: int
    first_accuracy: float
    first_gain: float
    second_accuracy: float
    second_gain: float
    memory: int
    base: int
    scc: int
    default: int
    code: str


def perform(run: Run) -> list[Row]:
    """Train the pools of a search."""
    task = run.task()
    shares = task.settings.search.rungs
    search = replace(task.settings.search, rungs=(*shares, SECOND * shares[0]), choice="measured")
    settings = replace(task.settings, search=search)
    return measure_pools(run.dataset, replace(task, settings=settings), run.store / "trainings")


def measure_pools(dataset: str, task: Task, trainings: Path) -> list[Row]:
    """Play a search and train its pools; what was trained before is not trained again."""
    search = SearchState(task.settings, task.folder, task.info, trainings)
    rows: list[Row] = []
    for number in range(max(ROUNDS) + 1):
        if number in ROUNDS:
            rows += _pool(dataset, search, number)
        if number < max(ROUNDS):
            play_round(search, Steps())
    return rows


def _pool(dataset: str, search: SearchState, number: int) -> list[Row]:
    settings, objective = search.settings, search.settings.objective
    whole = steps.generate(search, number)
    rng = random.Random(f"{settings.search.seed} {number} pool")
    drawn = rng.sample(range(len(whole.candidates)), min(POOL, len(whole.candidates)))
    pool = Generation([whole.candidates[i] for i in drawn], [whole.memory[i] for i in drawn], whole.counts)
    comparison = search.aim.comparison(search)
    assert isinstance(comparison, FrontComparison), "the yardstick's settings look for a front"
    places = {name: _places(order) for name, order in _orders(search, pool, comparison, number).items()}
    found = []
    for place, (candidate, memory) in enumerate(zip(pool.candidates, pool.memory, strict=True)):
        before: TrainingRecord | None = None
        accuracies, gains = [], []
        for images in search.rungs(number):
            job = search.candidate_job(candidate, images, before)
            before = finished(job) or worker.run(job)
            accuracies.append(before.validation_accuracy or 0.0)
            gains.append(comparison.value(performance_of(memory, accuracies[-1], objective)))
            if before.validation_accuracy is None:  # it diverged, and has no weights to go on with
                accuracies, gains = [*accuracies, 0.0][:2], [*gains, 0.0][:2]
                break
        found.append(
            Row(
                dataset=dataset,
                seed=settings.search.seed,
                round=number,
                arch_id=candidate.arch_id,
                total_bytes=performance_of(memory, 0.0, objective).total_bytes,
                first_accuracy=accuracies[0],
                first_gain=gains[0],
                second_accuracy=accuracies[1],
                second_gain=gains[1],
                code=code_version("search"),
                **{name: order[place] for name, order in places.items()},
            )
        )
    return found


def _places(order: Sequence[int]) -> list[int]:
    """Return the place in an order of each index."""
    places = [0] * len(order)
    for place, index in enumerate(order):
        places[index] = place
    return places


def _orders(
    search: SearchState, pool: Generation, comparison: FrontComparison, number: int
) -> dict[str, Sequence[int]]:
    """Return the indices of a pool's candidates in the order of each way to choose."""
    settings = search.settings
    seed = candidate_seed(settings.search.seed, number, search.chosen[-1].arch_id)
    examples = [Example(network, performance.accuracy) for network, performance in search.examples]
    paper = Controller.train(replace(settings.controller, version="paper"), examples, settings.search.seed)
    where = {candidate.arch_id: index for index, candidate in enumerate(pool.candidates)}

    def ranked(controller: Controller | None) -> list[int]:
        top_k = settings.search.top_k
        ranking = rank_for_front(pool, controller, search.bases, comparison.front, settings.objective, top_k, seed)
        return [where[one.arch_id] for one in ranking.candidates]

    return {
        "memory": memory_alone(search, pool, random.Random(seed)),
        "base": ranked(None),
        "scc": ranked(paper),
        "default": ranked(search.controller),
    }


Choice = Callable[[Sequence[Row], random.Random], Sequence[Row]]
"""Returns some rows of a pool, or of those that were tried."""


def first_by(key: Callable[[Row], float], count: int) -> Choice:
    """Return a choice of the rows for which a figure is least."""
    return lambda rows, _rng: sorted(rows, key=lambda row: (key(row), row.arch_id))[:count]


def by_chance(count: int) -> Choice:
    """Return a choice in which all rows have the same chance."""
    return lambda rows, rng: rng.sample(rows, count)


TRYING: Mapping[str, Choice] = {
    "uniform": by_chance(TRIED),
    "memory alone": first_by(lambda row: row.memory, TRIED),
    "base's accuracy": first_by(lambda row: row.base, TRIED),
    "the paper's SCC": first_by(lambda row: row.scc, TRIED),
    "default": first_by(lambda row: row.default, TRIED),
    "oracle": first_by(lambda row: -row.second_gain, TRIED),
}
PROMOTING: Mapping[str, Choice] = {
    "chance": by_chance(PROMOTED),
    "area at the first rung (default)": first_by(lambda row: -row.first_gain, PROMOTED),
    "oracle": first_by(lambda row: -row.second_gain, PROMOTED),
}

DRAWS = 2_000
"""Draws over which choices by chance are averaged."""


def gain(pool: Sequence[Row], trying: Choice, promoting: Choice) -> float:
    """Return the area that the best promoted network adds to the front, a mean over draws.

    Args:
        pool: Candidates of one round.
        trying: Who gets the first rung.
        promoting: Who of these gets the second.
    """
    rng = random.Random(0)
    best = (max(row.second_gain for row in promoting(trying(pool, rng), rng)) for _ in range(DRAWS))
    return statistics.fmean(best)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield for each data set the mean regret of all choices over its pools, in Markdown."""
    for dataset in dict.fromkeys(row.dataset for row in rows):
        pools: dict[tuple[int, int], list[Row]] = {}
        for row in rows:
            if row.dataset == dataset:
                pools.setdefault((row.seed, row.round), []).append(row)
        most = [max(row.second_gain for row in pool) for pool in pools.values()]
        yield f"{dataset}: the best of a pool adds {Mean.of(most).shown()} to the front's area. What a choice adds:"
        yield ""
        yield f"| tried, {TRIED} of {POOL} | {' | '.join(f'promoted by {name}' for name in PROMOTING)} |"
        yield "|---|" + "---:|" * len(PROMOTING)
        for name, trying in TRYING.items():
            cells = [
                Mean.of([gain(pool, trying, how) for pool in pools.values()]).shown() for how in PROMOTING.values()
            ]
            yield f"| {name} | {' | '.join(cells)} |"
        yield ""


@click.command(help="Train the pools on DATASETS that are not in the rows yet, and write the page.")
@click.argument("datasets", type=click.Choice(list(DATASETS)), nargs=-1)
@click.option("--images", type=click.Path(path_type=Path), help="Folder of CIFAR-10 as JPEG files.")
@click.option("--seeds", type=click.IntRange(0), multiple=True, default=SEEDS)
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/search"), show_default=True)
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results/regret.parquet"),
    show_default=True,
    help="Rows of all pools; new ones are added.",
)
@click.option("--page", type=click.Path(exists=True, path_type=Path), default=Path("docs/search-cost.md"))
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Searches at the same time.")
def main(
    datasets: tuple[str, ...],
    images: Path | None,
    seeds: tuple[int, ...],
    store: Path,
    rows: Path,
    page: Path,
    workers: int,
) -> None:
    """Train, gather and write."""
    folders = check_images(datasets, images)
    found = list(read_parquet(rows, Row, "the rows of the pools", "restore it from git")) if rows.exists() else []
    done = {(row.dataset, row.seed) for row in found}
    every = (Run(name, "memnas", seed, folders[name], store) for name, seed in product(datasets, seeds))
    missing = [run for run in every if (run.dataset, run.seed) not in done]
    with ProcessPoolExecutor(workers, get_context("spawn"), prepare_process, max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, run): run for run in missing}
        for future in as_completed(futures):
            found += future.result()
            found.sort(key=lambda row: (row.dataset, row.seed, row.round, row.arch_id))
            write_parquet(rows, Row, found)
            print(f"{futures[future].dataset}, seed {futures[future].seed}", file=sys.stderr, flush=True)
    lines = [*table(found), *circumstances("regret", ("torch", "scikit-learn"), "no figure here is a time")]
    write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page, "regret"))
    print("\n".join(lines))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
