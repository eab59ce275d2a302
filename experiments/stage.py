"""What all stages share: a bar that tells the time left, and one-line errors for what the user can fix."""

import sys
from collections.abc import Callable

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from memnas_core.errors import MemnasError


def stage_progress() -> Progress:
    """Return progress bars with share, time passed and time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; a `MemnasError` becomes one line on stderr and its exit code."""
    try:
        main()
    except MemnasError as error:
        click.echo(f"{error}", err=True)
        sys.exit(error.exit_code)
