"""The results page's notes on Table 3, computed from the measured figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.controllers.learners import DEFAULT, PAPERS_SCC, SINGLE_RNN
from experiments.controllers.protocol import ACCURACY_WEIGHTS, load_benchmark
from experiments.controllers.study import read_runs
from experiments.controllers.table import Lead, Runs, TableRow, leads, read_table3
from experiments.plan import load_plan

RANDOM = "random order"
SPLITS = {"random": "the random split", "rounds": "the next round"}


def table3_notes(results: Path) -> tuple[str, ...]:
    """Return the notes of the table in a folder of results.

    Raises:
        RecordError: The candidates, the runs or the table are missing or damaged.
    """
    convention = load_plan().load_settings().objective.activation_convention
    runs = Runs(load_benchmark(convention, results / "candidates.parquet"), read_runs(results / "controllers.parquet"))
    return notes(read_table3(results / "table3.csv"), runs)


def notes(rows: Sequence[TableRow], runs: Runs) -> tuple[str, ...]:
    """Return one sentence for each thing that a reader of the table should know.

    Args:
        rows: Rows of Table 3.
        runs: Runs that the table was made from.
    """
    return (*_whole(rows), *_winners(rows, runs), _papers_own(runs), *_by_chance(rows), _protocol(rows))


def _whole(rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield for each lambda who is first over both splits, and how near to the ceiling."""
    for accuracy_weight in ACCURACY_WEIGHTS:
        here = [row for row in rows if row.accuracy_weight == accuracy_weight]
        mean = {name: np.mean([row.tau for row in here if row.controller == name]) for name in _names(here)}
        first, second = sorted(mean, key=lambda name: -mean[name])[:2]
        ceiling = np.mean([row.ceiling for row in here])
        yield (
            f"λ = {accuracy_weight:g}, over both splits: {first} ranks best with a mean tau of {mean[first]:.3f}, "
            f"{mean[first] / ceiling:.2f} of {ceiling:.3f}, on which two halves of the trainings agree; next is "
            f"{second} with {mean[second]:.3f}."
        )


def _winners(rows: Sequence[TableRow], runs: Runs) -> Iterator[str]:
    """Yield for each split and lambda how the default stands to the best other, and whether that is chance."""
    for accuracy_weight in ACCURACY_WEIGHTS:
        for split, words in SPLITS.items():
            here = {row.controller: row for row in rows if (row.split, row.accuracy_weight) == (split, accuracy_weight)}
            own = here[DEFAULT]
            other = max((row for row in here.values() if row is not own), key=lambda row: row.tau)
            (lead,) = (
                lead
                for lead in leads(runs, DEFAULT, [other.controller])
                if (lead.split, lead.accuracy_weight) == (split, accuracy_weight)
            )
            yield (
                f"λ = {accuracy_weight:g}, {words}: {DEFAULT} reaches tau {own.tau:.3f} "
                f"[{own.tau_low:.3f}, {own.tau_high:.3f}] with a ceiling of {own.ceiling:.3f}; the best other is "
                f"{other.controller} with {other.tau:.3f}, {_difference(lead)}."
            )


def _papers_own(runs: Runs) -> str:
    """Return how the paper's SCC stands to a single recurrent network."""
    found = "; ".join(
        f"λ = {lead.accuracy_weight:g}, {SPLITS[lead.split]}: {_difference(lead)}"
        for lead in leads(runs, PAPERS_SCC, [SINGLE_RNN])
    )
    return f"The paper's own controller, {PAPERS_SCC}, against {SINGLE_RNN}, in tau. {found}."


def _difference(lead: Lead) -> str:
    words = "a difference of" if lead.is_certain else "a difference within chance:"
    return f"{words} {lead.tau.value:+.3f} [{lead.tau.low:+.3f}, {lead.tau.high:+.3f}]"


def _by_chance(rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield what a random order scores, which AP and NDCG have to be compared with."""
    for split, words in SPLITS.items():
        here = [row for row in rows if (row.controller, row.split) == (RANDOM, split) and row.accuracy_weight == 1.0]
        if here:
            figures = ", ".join(f"AP@{row.k} {row.ap:.3f} and NDCG@{row.k} {row.ndcg:.3f}" for row in here)
            yield f"A random order of the {here[0].n} candidates of {words} scores {figures}."


def _protocol(rows: Sequence[TableRow]) -> str:
    seeds = min(row.seeds for row in rows)
    return (
        f"Intervals are 95 % over {seeds} seeds and the ranked candidates (bootstrap). Controllers learn from the mean "
        "of the first half of each candidate's trainings and are judged against that of the second; the ceiling is the "
        "tau between the two, which a perfect predictor of the expected accuracy could exceed. AP is normalised by "
        "hits; NDCG has the gain 1/rank."
    )


def _names(rows: Sequence[TableRow]) -> list[str]:
    return list(dict.fromkeys(row.controller for row in rows))
