"""The time that a round takes outside training: each part of it, and its growth with candidates and cells.

Searches with the settings of a file go through all their rounds with made-up trainings (`benchmarks.overhead.rounds`).
So each round has the same kinds of bases, candidates, trained networks and records as a real one. Then rounds of such a
search are measured with more and more candidates, from random bases, and with bases of more and more cells.

The benchmark takes some minutes. Run it on an idle machine: it measures wall time in a process that uses one core.

Run: python -m benchmarks.overhead --page docs/overhead.md --picture docs/pictures/overhead.svg
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.circumstances import circumstances
from benchmarks.overhead.clock import Row, Situation
from benchmarks.page import with_tables
from flows.cli import ENVIRONMENT
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings


@click.command(help="Measure the parts of a round outside training, and how they grow.")
@click.option("--params", type=click.Path(exists=True, path_type=Path), default=Path("params.yaml"), show_default=True)
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/overhead.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put the tables between its two marks.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the picture here, as SVG.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="Searches, and repetitions.")
@click.option(
    "--candidates", multiple=True, type=click.IntRange(1), default=(100, 1000, 10_000, 100_000), show_default=True
)
@click.option("--cells", multiple=True, type=click.IntRange(1), default=(1, 2, 4, 8, 16), show_default=True)
def main(
    params: Path,
    rows: Path,
    page: Path | None,
    picture: Path | None,
    repeats: int,
    candidates: tuple[int, ...],
    cells: tuple[int, ...],
) -> None:
    """Measure, write and print."""
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="memnas-overhead-") as store:
        # Prefect reads these when it is imported. Its database lies in the temporary folder, so that it is new too.
        for name, value in {**ENVIRONMENT, "PREFECT_HOME": str(Path(store) / "prefect")}.items():
            os.environ.setdefault(name, value)
        settings = load_settings(params, [f"store={Path(store) / 'store'}"])
        measured = list(measure(settings, repeats, candidates, cells))
    from benchmarks.overhead.report import growth_picture, page_lines

    write_parquet(rows, Row, measured)
    lines = list(page_lines(measured, list(notes(settings, measured, repeats, load))))
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    if picture is not None:
        write_text(picture, growth_picture(measured) + "\n")


def measure(settings: Settings, repeats: int, candidates: Sequence[int], cells: Sequence[int]) -> Iterator[Row]:
    """Yield all rows, and report progress on stderr."""
    from benchmarks.overhead.rounds import (
        GROWTH_CANDIDATES,
        GROWTH_CELLS,
        begin_search,
        growth_rows,
        round_rows,
        warm_up,
    )

    warm_up(settings)
    for repeat in range(repeats):
        session = begin_search(settings, f"search-{repeat}", repeat)
        for number in range(1, settings.search.rounds + 1):
            yield from _told(round_rows(session, number, repeat))
        sizes = [(Situation.CANDIDATES, count, GROWTH_CELLS) for count in candidates]
        sizes += [(Situation.CELLS, GROWTH_CANDIDATES, most) for most in cells]
        for place, (situation, count, most) in enumerate(sizes):
            yield from _told(growth_rows(session, situation, count, most, repeat, len(session.state.rounds) + place))


def _told(rows: Sequence[Row]) -> Sequence[Row]:
    first, seconds = rows[0], sum(row.seconds for row in rows)
    print(
        f"repeat {first.repeat}, {first.situation}: {first.candidates:,} candidates, {first.cells} cells a block: "
        f"{seconds:.2f} s",
        file=sys.stderr,
        flush=True,
    )
    return rows


def notes(settings: Settings, rows: Sequence[Row], repeats: int, load: float) -> Iterator[str]:
    """Yield command, date, machine, versions, n and spread."""
    own = [row for row in rows if row.situation is Situation.ROUND]
    rounds = {(row.repeat, row.round): row for row in own}
    counts = [row.candidates for row in rounds.values()]
    yield from circumstances("overhead", ("torch", "prefect", "mlflow", "dvc"), f"load {load:.1f} at the start")
    yield (
        f"- n: {repeats} searches of {settings.search.rounds} rounds with the seeds of accuracy 0 to {repeats - 1}, "
        f"{len(rounds)} rounds with {min(counts):,} to {max(counts):,} candidates, of which "
        f"{settings.search.top_k} are trained; {repeats} repetitions of every other figure, each with bases of its own"
    )
    yield "- spread: least and largest of all rounds or repetitions; seconds are wall time, with nothing beside it"


if __name__ == "__main__":
    main()
