"""Table 3 and the learning curve, made from the runs of the controller study."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from experiments.controllers.judge import Interval, Judged, bootstrap_at_k, bootstrap_tau, interval
from experiments.controllers.protocol import CUTOFFS, Benchmark, Split, splits
from experiments.controllers.study import ControllerRun, judged
from memnas_core.errors import RecordError


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of `table3.csv`; the columns are its fields, `accuracy_weight` printed as `lambda`.

    Attributes:
        controller: Name of the controller.
        split: `random` or `rounds`.
        accuracy_weight: The paper's lambda.
        train_n: Number of candidates learned from; in split `rounds` the mean over its rounds.
        n: Number of candidates ranked.
        k: The paper's k.
        ap: AP@k, mean over all runs, with its interval.
        ndcg: NDCG@k, mean over all runs, with its interval.
        tau: Kendall's tau, mean over all runs, with its interval.
        ceiling: Kendall's tau between the two halves of the trainings, mean over the same candidates.
        tau_within_bases: Kendall's tau over pairs of candidates with the same base.
        ceiling_within_bases: Kendall's tau between the two halves of the trainings, over the same pairs.
        training_seconds: Mean time to learn, in seconds.
        ranking_seconds: Mean time to rank n candidates, in seconds.
        seeds: Number of seeds.
    """

    controller: str
    split: str
    accuracy_weight: float
    train_n: int
    n: int
    k: int
    ap: float
    ap_low: float
    ap_high: float
    ndcg: float
    ndcg_low: float
    ndcg_high: float
    tau: float
    tau_low: float
    tau_high: float
    ceiling: float
    tau_within_bases: float
    ceiling_within_bases: float
    training_seconds: float
    ranking_seconds: float
    seeds: int


@dataclass(frozen=True, slots=True)
class CurveRow:
    """A row of `table3_learning_curve.csv`, for split `random`.

    Attributes:
        controller: Name of the controller.
        accuracy_weight: The paper's lambda.
        train_n: Number of candidates learned from.
        n: Number of candidates ranked.
        tau: Kendall's tau, mean over the seeds, with its interval.
        ceiling: Kendall's tau between the two halves of the trainings.
        training_seconds: Mean time to learn, in seconds.
        seeds: Number of seeds.
    """

    controller: str
    accuracy_weight: float
    train_n: int
    n: int
    tau: float
    tau_low: float
    tau_high: float
    ceiling: float
    training_seconds: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Lead:
    """The difference in Kendall's tau between a controller and another one, on the same candidates and seeds."""

    other: str
    split: str
    accuracy_weight: float
    tau: Interval

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.tau.low > 0 or self.tau.high < 0


Row = TypeVar("Row", TableRow, CurveRow)


class Runs:
    """The runs of one benchmark, by controller, split, lambda and size."""

    def __init__(self, benchmark: Benchmark, runs: Sequence[ControllerRun]) -> None:
        self._benchmark = benchmark
        self._splits: dict[tuple[str, int, int], Split] = {}
        for split in splits(benchmark, sorted({run.seed for run in runs})):
            self._splits[split.name, split.seed, split.last_round] = split
        self._all = runs
        self.controllers = list(dict.fromkeys(run.controller for run in runs))
        self.accuracy_weights = sorted({run.accuracy_weight for run in runs})
        self.most = max(run.train_n for run in runs if run.split == "random")
        self.sizes = sorted({run.train_n for run in runs if run.split == "random"})

    def of(self, controller: str, split: str, accuracy_weight: float, train_n: int | None = None) -> "RunsOfRow":
        """Return the runs behind a row; `train_n` defaults to the largest of split `random`."""
        wanted = train_n or self.most
        found = [
            run
            for run in self._all
            if (run.controller, run.split, run.accuracy_weight) == (controller, split, accuracy_weight)
            and (split == "rounds" or run.train_n == wanted)
        ]
        by_seed = [
            [
                judged(self._benchmark, run, self._splits[run.split, run.seed, run.last_round])
                for run in found
                if run.seed == seed
            ]
            for seed in sorted({run.seed for run in found})
        ]
        return RunsOfRow(tuple(found), by_seed)


@dataclass(frozen=True, slots=True, eq=False)
class RunsOfRow:
    """The runs that a row is the mean of, and their rankings by seed."""

    runs: tuple[ControllerRun, ...]
    rankings: Sequence[Sequence[Judged]]

    def mean(self, name: str) -> float:
        """Return the mean of a column over the runs."""
        return float(np.mean([getattr(run, name) for run in self.runs]))


def table_rows(runs: Runs) -> Iterator[TableRow]:
    """Yield the rows of Table 3, the same combinations of split, lambda and k for every controller."""
    for controller, split, accuracy_weight in product(runs.controllers, ("random", "rounds"), runs.accuracy_weights):
        yield from rows_of(runs, controller, split, accuracy_weight)


def rows_of(runs: Runs, controller: str, split: str, accuracy_weight: float) -> Iterator[TableRow]:
    """Yield a controller's rows for one split and lambda, one for each k that n allows."""
    found = runs.of(controller, split, accuracy_weight)
    tau = interval(*bootstrap_tau(found.rankings))
    n = min(run.n for run in found.runs)
    cutoffs = [k for k in CUTOFFS if k <= n]
    for k, (of_ap, of_gain) in zip(cutoffs, bootstrap_at_k(found.rankings, cutoffs), strict=True):
        ap, gain = interval(*of_ap), interval(*of_gain)
        yield TableRow(
            controller=controller,
            split=split,
            accuracy_weight=accuracy_weight,
            train_n=round(found.mean("train_n")),
            n=n,
            k=k,
            ap=ap.value,
            ap_low=ap.low,
            ap_high=ap.high,
            ndcg=gain.value,
            ndcg_low=gain.low,
            ndcg_high=gain.high,
            tau=tau.value,
            tau_low=tau.low,
            tau_high=tau.high,
            ceiling=found.mean("ceiling"),
            tau_within_bases=found.mean("tau_within_bases"),
            ceiling_within_bases=found.mean("ceiling_within_bases"),
            training_seconds=found.mean("training_seconds"),
            ranking_seconds=found.mean("ranking_seconds"),
            seeds=len(found.rankings),
        )


def curve_rows(runs: Runs) -> Iterator[CurveRow]:
    """Yield the learning curve of every controller."""
    for controller, accuracy_weight, train_n in product(runs.controllers, runs.accuracy_weights, runs.sizes):
        found = runs.of(controller, "random", accuracy_weight, train_n)
        tau = interval(*bootstrap_tau(found.rankings))
        yield CurveRow(
            controller=controller,
            accuracy_weight=accuracy_weight,
            train_n=train_n,
            n=found.runs[0].n,
            tau=tau.value,
            tau_low=tau.low,
            tau_high=tau.high,
            ceiling=found.mean("ceiling"),
            training_seconds=found.mean("training_seconds"),
            seeds=len(found.rankings),
        )


def leads(runs: Runs, controller: str, others: Sequence[str]) -> Iterator[Lead]:
    """Yield a controller's lead over each of some others, for each split and lambda."""
    for split, accuracy_weight in product(("random", "rounds"), runs.accuracy_weights):
        value, replicates = bootstrap_tau(runs.of(controller, split, accuracy_weight).rankings)
        for other in others:
            theirs, their_replicates = bootstrap_tau(runs.of(other, split, accuracy_weight).rankings)
            ahead = interval(value - theirs, replicates - their_replicates)
            yield Lead(other, split, accuracy_weight, ahead)


def rounded(row: Row) -> Row:
    """Return a row whose figures are rounded to four decimals, as they are printed."""
    figures: dict[str, Any] = {name: round(value, 4) for name, value in asdict(row).items() if isinstance(value, float)}
    return replace(row, **figures)


def read_table3(path: Path) -> list[TableRow]:
    """Read `table3.csv`.

    Raises:
        RecordError: The file is missing, or has other columns.
    """
    kinds = get_type_hints(TableRow)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [
                {name.replace("lambda", "accuracy_weight"): text for name, text in line.items()}
                for line in csv.DictReader(file)
            ]
        return [TableRow(**{name: kinds[name](text) for name, text in line.items()}) for line in lines]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path}: expected Table 3, found {error}; make it with dvc repro table3") from error
