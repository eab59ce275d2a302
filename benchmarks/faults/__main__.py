"""Faults: a small search is disturbed many times, resumed with --resume, and compared with an undisturbed one.

Each trial starts `memnas search` as a process, waits for a moment that a seed decides, injects one fault
(`benchmarks.faults.injections`), repairs what a person would repair (restarts a killed server, frees the disk), and
runs `memnas search --resume` until it ends well. Trials in the table are not repeated unless the code changed.

A trial takes about a minute. Trials that fill a disk mount one, which needs root.

Run: python -m benchmarks.faults --page docs/faults.md
"""

import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.faults.injections import Fault
from benchmarks.faults.report import page_lines
from benchmarks.faults.services import Services
from benchmarks.faults.trials import Laboratory, Reference, Row, code_digest
from benchmarks.page import with_tables
from flows.cli import ENVIRONMENT
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.files.writing import write_text

LEAST_SHARE, MOST_SHARE = 0.02, 0.98
"""Range of the moments, as shares of the duration of an undisturbed search."""


@click.command(help="Disturb a small search many times and see whether anything is lost.")
@click.option("--params", type=click.Path(exists=True, path_type=Path), default=Path("benchmarks/faults.yaml"))
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/faults.parquet"))
@click.option(
    "--others",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Tables of trials that other processes made, to take over.",
)
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the tables between its two marks.")
@click.option("--trials", type=click.IntRange(1), default=6, show_default=True, help="Of each fault.")
@click.option(
    "--fault", "faults", multiple=True, type=click.Choice([f.name.lower() for f in Fault]), help="Default: all."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides moments and what is hit.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the files of trials that went wrong.")
def main(
    params: Path,
    rows: Path,
    others: tuple[Path, ...],
    page: Path | None,
    trials: int,
    faults: tuple[str, ...],
    seed: int,
    keep: Path | None,
) -> None:
    """Measure, write and print."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that running processes are ended
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    chosen = [Fault[name.upper()] for name in faults] or list(Fault)
    wanted = [number for number in range(trials * len(Fault)) if list(Fault)[number % len(Fault)] in chosen]
    found = {row.trial: row for path in (*others, rows) for row in known(path) if row.code == code_digest()}
    done = sorted(found.values(), key=lambda row: row.trial)
    if others:
        write_parquet(rows, Row, done)
    with tempfile.TemporaryDirectory(prefix="memnas-faults-", ignore_cleanup_errors=True) as folder:
        for row in measure(params, keep or Path(folder), wanted, {row.trial for row in done}, trials, seed):
            done = sorted([*done, row], key=lambda row: row.trial)
            write_parquet(rows, Row, done)
    lines = list(page_lines(done, list(notes(done, seed))))
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))


def known(path: Path) -> Sequence[Row]:
    """Return the trials of a table, none if it does not exist."""
    if not path.exists():
        return ()
    return read_parquet(path, Row, "a table of trials", "delete it and measure again")


def measure(params: Path, folder: Path, wanted: Sequence[int], done: set[int], trials: int, seed: int) -> Iterator[Row]:
    """Yield the trials that are not yet done, and report each on stderr."""
    # The middle of a search comes first, as most can go wrong there.
    parts = sorted(range(trials), key=lambda part: abs(part - trials // 2))
    missing = sorted((n for n in wanted if n not in done), key=lambda n: (parts.index(n // len(Fault)), n))
    if not missing:
        return
    with Services(folder.resolve() / "services") as services:
        laboratory = Laboratory(params, folder.resolve(), services)
        references: dict[bool, Reference] = {}
        for number in missing:
            fault = list(Fault)[number % len(Fault)]
            own = fault is Fault.PARENT_WITH_SERVER  # its search first starts a server of its own
            if own not in references:
                if own:
                    laboratory.reference(fault)  # creates Prefect's database once for all
                references[own] = laboratory.reference(fault)
            moment = moment_of(number, trials, seed) * references[own].seconds
            row = laboratory.trial(number, fault, moment, seed, references[own])
            print(said(row), file=sys.stderr, flush=True)
            yield row


def moment_of(number: int, trials: int, seed: int) -> float:
    """Return the moment of a trial as a share of an undisturbed search; each part has one trial of every fault."""
    part = number // len(Fault)
    share = (part + random.Random(f"moment {seed} {number}").random()) / trials
    return LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * share


def said(row: Row) -> str:
    """Return a trial as one line of text."""
    return (
        f"trial {row.trial}: {row.fault} at {row.moment_seconds:.1f} s ({row.hit}), {row.finished_before} finished; "
        f"ended with {row.exit_code}, {row.resumes} resumes, {row.trained_again} trained again, "
        f"{row.processes_left} left, {row.differing or 'equal'}; {row.seconds:.0f} s"
    )


def notes(rows: Sequence[Row], seed: int) -> Iterator[str]:
    """Yield command, date, machine, versions, n and seeds."""
    own = sorted({round(row.reference_seconds, 1) for row in rows})
    yield from circumstances("faults", ("torch", "prefect", "mlflow", "dvc"), "other programs beside it")
    took = ", ".join(map(str, own))
    yield f"- n: {len(rows)} trials, seed {seed}; an undisturbed search took {took} s, with a Prefect server or without"


if __name__ == "__main__":
    main()
