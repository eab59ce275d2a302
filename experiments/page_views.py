"""The tables of the results page: which columns of a CSV are shown, and in what words and units.

A column is either measured here or printed in the paper, and says so; the page never mixes the two.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.pictures.values import NONE

Line = dict[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table on the page.

    Attributes:
        title: Heading of the column.
        show: Makes a cell's text from a line of the CSV.
        is_printed: Whether its figures are printed in the paper.
        is_text: Whether it holds words, which are aligned to the left.
    """

    title: str
    show: Callable[[Line], str]
    is_printed: bool = False
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as the page shows it.

    Attributes:
        caption: What the table shows: data, n and whatever holds for all lines.
        columns: The columns; those with the paper's figures come last.
        rows: Text of each cell.
        source: The CSV that the table is made from, relative to `results/`.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a CSV.

    Raises:
        RecordError: The file does not exist.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise RecordError(f"{path}: expected a table, found {error}; make it with dvc repro") from error


def view(caption: str, columns: Sequence[Column], lines: Iterable[Line], source: str) -> TableView:
    """Return a table with the given columns of the given lines."""
    rows = tuple(tuple(column.show(line) for column in columns) for line in lines)
    return TableView(caption, tuple(columns), rows, source)


def text(name: str) -> Callable[[Line], str]:
    """Return a function that shows a column unchanged."""
    return lambda line: line[name] or NONE


def megabytes(name: str) -> Callable[[Line], str]:
    """Return a function that shows bytes in MB with two decimals; below 0.1 MB, with two significant digits."""

    def show(line: Line) -> str:
        if not line[name]:
            return NONE
        size = int(line[name]) / 1e6
        return f"{size:.2f}" if size >= 0.1 else f"{size:.2g}"

    return show


def percent(name: str, digits: int = 1) -> Callable[[Line], str]:
    """Return a function that shows a share in percent."""
    return lambda line: f"{100 * float(line[name]):.{digits}f}" if line[name] else NONE


def number(name: str, digits: int) -> Callable[[Line], str]:
    """Return a function that shows a number with the given number of decimals."""
    return lambda line: f"{float(line[name]):.{digits}f}" if line[name] else NONE


def count(name: str) -> Callable[[Line], str]:
    """Return a function that shows a whole number with thousands separators."""
    return lambda line: f"{int(float(line[name])):,}" if line[name] else NONE


def with_interval(shown: Callable[[str], Callable[[Line], str]], name: str) -> Callable[[Line], str]:
    """Return a function that shows a figure with its interval, from the columns NAME, NAME_low and NAME_high."""
    middle, low, high = (shown(f"{name}{end}") for end in ("", "_low", "_high"))
    return lambda line: f"{middle(line)} ({low(line)} to {high(line)})" if line[name] else NONE
