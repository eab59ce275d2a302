"""Words for the person at the terminal: control characters in them are shown, not obeyed.

Names of files and folders may come from somebody else, and may hold codes that clear the screen or hide text.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

from memnas_core.files.printable import printable_lines


def say(text: str) -> None:
    """Print a text with escapes for control characters other than line ends and tabs."""
    click.echo(printable_lines(text))


def escape_logs() -> None:
    """Escape what this process logs from now on, whoever logs and whichever handler prints it."""

    def record(*arguments: object, **more: object) -> logging.LogRecord:
        made = logging.LogRecord(*arguments, **more)  # type: ignore[arg-type]
        made.msg, made.args = printable_lines(made.getMessage()), ()
        return made

    logging.setLogRecordFactory(record)


class EscapingGroup(click.Group):
    """Commands whose usage errors are escaped; they quote what was given."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Parse the group's own arguments."""
        with _escaped():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Parse and run the command."""
        with _escaped():
            return super().invoke(ctx)


@contextmanager
def _escaped() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        error.message = printable_lines(error.message)  # type: ignore[misc]  # it is final for subclasses
        raise
