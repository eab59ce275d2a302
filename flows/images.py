"""What a search says of a folder of images and does with it before any service starts."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memnas_core.files.printable import printable
from memnas_core.settings.schema import Settings

if TYPE_CHECKING:
    from memnas_core.data.prepare import Progress as Watch
    from memnas_core.data.source import Origin

LINE_SECONDS = 30.0  # between lines where no bar is shown


def prepare_images(settings: Settings, origin: "Origin | None") -> None:
    """List the classes, counts and splits of a folder, and prepare its images; other data sets are left alone.

    Args:
        settings: Settings of the search.
        origin: The folder, as it was found a moment ago; None for named data sets.

    Raises:
        DataError: The folder cannot be used; a file in the store lists all images that cannot be read.
        StorageError: The disk is full or the store not writable.
    """
    from memnas_core.data import check_varied, open_dataset, prepare_dataset

    if origin is None or origin.layout is None:
        return
    for line in lines_of_counts(origin.layout.counts(), origin.layout.places()):
        click.echo(printable(line))
    factor = settings.network.reduction
    with _progress() as watch:
        folder = prepare_dataset(settings.data, settings.search.seed, Path(settings.store), factor, watch, origin)
    check_varied(folder)
    info = open_dataset(folder).info
    sizes = f"{info.train_size:,} images to train on, {info.validation_size:,} to validate, {info.test_size:,} to test"
    click.echo(f"Prepared: {sizes}.")
    for warning in info.warnings:
        click.echo(printable(f"Warning: {warning}."))


def lines_of_counts(counts: Mapping[str, Mapping[str, int]], splits: Mapping[str, str], most: int = 12) -> list[str]:
    """Return lines with classes, counts and where splits were taken from.

    Args:
        counts: Number of images, by split and class.
        splits: Folder that each split was taken from.
        most: So many classes are shown at most.
    """
    lines = []
    for split, classes in counts.items():
        shown = ", ".join(f"{name} {count}" for name, count in list(classes.items())[:most])
        more = f" and {len(classes) - most} more" if len(classes) > most else ""
        where = "" if splits[split] in (".", split) else f" in {splits[split]}"
        lines.append(f"{split}{where}: {sum(classes.values()):,} images of {len(classes)} classes ({shown}{more})")
    held = [name for name in ("validation", "test") if name not in counts]
    if held:
        lines.append(f"{' and '.join(held)}: held out of train")
    return lines


@contextmanager
def _progress() -> Iterator["Watch"]:
    """Give a function that shows how far preparing is: a bar on a terminal, elsewhere a line every half a minute."""
    console = Console(highlight=False)
    columns = (
        TextColumn("preparing"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("preparing", total=None)
    said = time.monotonic()

    def watch(done: int, total: int) -> None:
        nonlocal said
        bar.update(task, completed=done, total=total)
        if not console.is_terminal and time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            click.echo(f"Preparing images: {done:,} of {total:,}")

    with bar:
        yield watch
