"""Faults: a small search is disturbed many times, goes on with --resume, and is compared with an undisturbed one.

Each trial starts `memnas search` as a process, waits for a moment that a seed decides, lets one thing go wrong
(`benchmarks.fault_injections`), repairs what a person would repair (starts a killed server, frees the disk), and runs
`memnas search --resume` until it ends well. Trials that are in the table, of the same code, are not repeated.

A trial takes about a minute. Disks are mounted for those that fill one, which root may do.

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
from benchmarks.fault_injections import Fault
from benchmarks.fault_report import page_lines
from benchmarks.fault_services import Services
from benchmarks.fault_trials import Laboratory, Reference, Row, code_digest
from benchmarks.page import with_tables
from flows.cli import ENVIRONMENT
from memnas_core.storage import write_text
from memnas_core.tables import read_parquet, write_parquet

LEAST_SHARE, MOST_SHARE = 0.02, 0.98
"""Moments lie between these shares of what an undisturbed search takes."""


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what runs is ended
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
    """Return the trials of a table, if there is one."""
    if not path.exists():
        return ()
    return read_parquet(path, Row, "a table of trials", "delete it and measure again")


def measure(params: Path, folder: Path, wanted: Sequence[int], done: set[int], trials: int, seed: int) -> Iterator[Row]:
    """Yield the trials that are not done, and say on stderr what became of them."""
    # The middle of a search first, where most can go wrong.
    parts = sorted(range(trials), key=lambda part: abs(part - trials // 2))
    missing = sorted((n for n in wanted if n not in done), key=lambda n: (parts.index(n // len(Fault)), n))
    if not missing:
        return
    with Services(folder.resolve() / "services") as services:
        laboratory = Laboratory(params, folder.resolve(), services)
        references: dict[bool, Reference] = {}
        for number in missing:
            fault = list(Fault)[number % len(Fault)]
            own = fault is Fault.PARENT_WITH_SERVER  # its search starts a server of its own first
            if own not in references:
                if own:
                    laboratory.reference(fault)  # makes Prefect's database, once for all
                references[own] = laboratory.reference(fault)
            moment = moment_of(number, trials, seed) * references[own].seconds
            row = laboratory.trial(number, fault, moment, seed, references[own])
            print(said(row), file=sys.stderr, flush=True)
            yield row


def moment_of(number: int, trials: int, seed: int) -> float:
    """Return when a trial is disturbed, as a share of an undisturbed search: one of a fault's trials in each part."""
    part = number // len(Fault)
    share = (part + random.Random(f"moment {seed} {number}").random()) / trials
    return LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * share


def said(row: Row) -> str:
    """Return a trial in a line."""
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
