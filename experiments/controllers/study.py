"""The runs of the controller study: every learner on every split, finished runs kept, and one row for each run.

A run is fitted and timed once and kept in the store under a key of all that decides it, so that an interrupted study
continues. Predictions are kept as places in the order, since all figures of Table 3 depend only on these.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np
from rich.progress import Progress
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from experiments.code_version import code_version
from experiments.controllers.judge import Judged, tau_within
from experiments.controllers.learners import CONTESTANTS, LEARNERS, Contestant
from experiments.controllers.protocol import (
    ACCURACY_WEIGHTS,
    CURVE_SIZES,
    CUTOFFS,
    SEEDS,
    Benchmark,
    Split,
    load_benchmark,
    splits,
)
from memnas_core.controller.rank_metrics import average_precision, kendall_tau, ndcg
from memnas_core.environment import machine
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.files.writing import write_text
from memnas_core.settings.kinds import ActivationConvention
from memnas_core.settings.schema import ControllerSettings
from memnas_core.workers.processes import Workers


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """One learner on one split.

    Attributes:
        learner: Key of `LEARNERS`.
        accuracy_weight: Lambda of the Eq. 4 that is learned; 1 stands for the accuracy itself, of which Eq. 4 is then a
            multiple.
        split: Which candidates are learned from and which are ranked.
        train_n: Number of the split's candidates that are learned from, taken from the start.
    """

    learner: str
    accuracy_weight: float
    split: Split
    train_n: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """The predictions of a learner.

    Attributes:
        predicted: Accuracy or Eq. 4, whichever was learned, of each candidate of the split's `test`.
        training_seconds: Time to learn, in seconds.
        ranking_seconds: Time to predict, in seconds.
        machine: Machine that the times were measured on.
    """

    predicted: tuple[float, ...]
    training_seconds: float
    ranking_seconds: float
    machine: str


@dataclass(frozen=True, slots=True)
class ControllerRun:
    """A row of `controllers.parquet`: one controller on one split with one lambda.

    Attributes:
        controller: Name of the controller in Table 3.
        split: `random` or `rounds`.
        seed: Seed of the split and of the controller.
        last_round: Last round that was learned from; 0 for split `random`.
        accuracy_weight: The paper's lambda.
        train_n: Number of candidates learned from.
        n: Number of candidates ranked.
        tau: Kendall's tau between the predicted order and y''.
        ceiling: Kendall's tau between y' and y''.
        tau_within_bases: Kendall's tau between the predicted order and y'', over pairs of candidates of one base.
        ceiling_within_bases: Kendall's tau between y' and y'', over the same pairs.
        ap: AP@k for each k of `CUTOFFS` that is not larger than n.
        ndcg: NDCG@k for the same k.
        training_seconds: Time to learn, in seconds.
        ranking_seconds: Time to rank n candidates, in seconds.
        machine: Machine that the times were measured on.
        predicted_ranks: Place of each ranked candidate in the predicted order, in the order of arch_ids.
    """

    controller: str
    split: str
    seed: int
    last_round: int
    accuracy_weight: float
    train_n: int
    n: int
    tau: float
    ceiling: float
    tau_within_bases: float
    ceiling_within_bases: float
    ap: tuple[float, ...]
    ndcg: tuple[float, ...]
    training_seconds: float
    ranking_seconds: float
    machine: str
    predicted_ranks: tuple[float, ...]


def run_study(
    table: Path,
    settings: ControllerSettings,
    convention: ActivationConvention,
    store: Path,
    workers: Workers,
    progress: Progress,
    contestants: Sequence[Contestant] = CONTESTANTS,
    seeds: Sequence[int] = SEEDS,
) -> tuple[ControllerRun, ...]:
    """Fit the runs that are not yet fitted, and return a row for each contestant, split, size and lambda.

    Args:
        table: The trained candidates.
        settings: Settings of the controllers.
        convention: The convention whose activation peak enters Eq. 4.
        store: Folder for finished fittings.
        workers: Workers that run the fittings.
        progress: Receives a bar.
        contestants: The rows of Table 3.
        seeds: Seeds of the splits.
    """
    benchmark = load_benchmark(convention, table)
    wanted = [*_wanted(benchmark, contestants, seeds)]
    paths = {
        _path(store, benchmark, settings, fitting): fitting
        for contestant, accuracy_weight, split, train_n in wanted
        for fitting in [_fitting(contestant, accuracy_weight, split, train_n)]
    }
    bar = progress.add_task("fittings", total=len(paths))
    missing = [path for path in paths if not path.exists()]
    progress.advance(bar, len(paths) - len(missing))
    Random(0).shuffle(missing)  # mixes cheap and costly ones, so that the time left can be estimated
    with ThreadPoolExecutor(workers.count) as threads:
        running = [threads.submit(workers.run, fit, table, settings, convention, paths[path], path) for path in missing]
        for done in as_completed(running):
            done.result()
            progress.advance(bar)
    return tuple(
        _run(benchmark, contestant, accuracy_weight, split, train_n, _read(path))
        for contestant, accuracy_weight, split, train_n in wanted
        for path in [_path(store, benchmark, settings, _fitting(contestant, accuracy_weight, split, train_n))]
    )


def fit(
    table: Path, settings: ControllerSettings, convention: ActivationConvention, fitting: Fitting, path: Path
) -> None:
    """Run one fitting and store it; called in a worker process."""
    benchmark = _benchmark(table, table.stat().st_mtime_ns, convention)
    train = fitting.split.train[: fitting.train_n]
    targets = (
        benchmark.first[train] if fitting.accuracy_weight == 1.0 else benchmark.first_y(train, fitting.accuracy_weight)
    )
    ranked = [benchmark.known[index] for index in fitting.split.test]
    known = [benchmark.known[index] for index in train]
    with threadpool_limits(1):
        begun = perf_counter()
        predict = LEARNERS[fitting.learner](settings, known, targets, fitting.split.seed)
        learned = perf_counter()
        predicted = predict(ranked)
        ended = perf_counter()
    fitted = Fitted(tuple(predicted.tolist()), learned - begun, ended - learned, machine())
    write_text(path, json.dumps(asdict(fitted)))


def write_runs(path: Path, runs: Sequence[ControllerRun]) -> None:
    """Write `controllers.parquet` atomically.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_parquet(path, ControllerRun, runs)


def read_runs(path: Path) -> tuple[ControllerRun, ...]:
    """Read `controllers.parquet`.

    Raises:
        RecordError: The file is missing or damaged, or has other columns.
    """
    return read_parquet(path, ControllerRun, "the runs of the controller study", "make it with dvc repro table3")


def judged(benchmark: Benchmark, run: ControllerRun, split: Split) -> Judged:
    """Return the ranking of a run together with the measured values."""
    return Judged(benchmark.second_y(split.test, run.accuracy_weight), np.array(run.predicted_ranks, dtype=np.float64))


def _wanted(
    benchmark: Benchmark, contestants: Sequence[Contestant], seeds: Sequence[int]
) -> Iterator[tuple[Contestant, float, Split, int]]:
    """Yield all runs: contestant, lambda, split, candidates to learn from."""
    for split in splits(benchmark, seeds):
        sizes = [len(split.train)]
        if split.name == "random":
            sizes += [size for size in CURVE_SIZES if size < len(split.train)]
        for train_n in sizes:
            for contestant in contestants:
                for accuracy_weight in ACCURACY_WEIGHTS:
                    yield contestant, accuracy_weight, split, train_n


def _fitting(contestant: Contestant, accuracy_weight: float, split: Split, train_n: int) -> Fitting:
    learned = 1.0 if contestant.target == "accuracy" else accuracy_weight
    return Fitting(contestant.learner, learned, split, train_n)


def _path(store: Path, benchmark: Benchmark, settings: ControllerSettings, fitting: Fitting) -> Path:
    """Return the path of a fitting; its name is a key of everything that decides the fitting."""
    train, test = fitting.split.train[: fitting.train_n], fitting.split.test
    deciding = [
        code_version("controllers"),
        fitting.learner,
        fitting.accuracy_weight,
        fitting.split.seed,
        asdict(settings),
        benchmark.convention,
        benchmark.first_y(train, fitting.accuracy_weight).tolist(),
        [benchmark.arch_ids[index] for index in [*train, *test]],
    ]
    key = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:20]
    return store / "controllers" / f"{fitting.learner}-{key}.json"


def _run(
    benchmark: Benchmark, contestant: Contestant, accuracy_weight: float, split: Split, train_n: int, fitted: Fitted
) -> ControllerRun:
    test = split.test
    predicted = np.array(fitted.predicted)
    if contestant.target == "accuracy":
        predicted = benchmark.metric(test, predicted, accuracy_weight, 0)
    ranks = rankdata(-predicted)
    first, true = benchmark.first_y(test, accuracy_weight), benchmark.second_y(test, accuracy_weight)
    bases = benchmark.bases[test]
    cutoffs = [k for k in CUTOFFS if k <= len(test)]
    return ControllerRun(
        controller=contestant.name,
        split=split.name,
        seed=split.seed,
        last_round=split.last_round,
        accuracy_weight=accuracy_weight,
        train_n=train_n,
        n=len(test),
        tau=kendall_tau(true, predicted),
        ceiling=kendall_tau(true, first),
        tau_within_bases=tau_within(true, predicted, bases),
        ceiling_within_bases=tau_within(true, first, bases),
        ap=tuple(average_precision(true, predicted, k) for k in cutoffs),
        ndcg=tuple(ndcg(true, predicted, k) for k in cutoffs),
        training_seconds=fitted.training_seconds,
        ranking_seconds=fitted.ranking_seconds,
        machine=fitted.machine,
        predicted_ranks=tuple(ranks.tolist()),
    )


def _read(path: Path) -> Fitted:
    document = json.loads(path.read_text(encoding="utf-8"))
    return Fitted(**{**document, "predicted": tuple(document["predicted"])})


@lru_cache(maxsize=1)
def _benchmark(table: Path, modified: int, convention: ActivationConvention) -> Benchmark:
    del modified  # part of the cache key: a table that was rewritten is read again
    return load_benchmark(convention, table)
