"""Tidy CSV files: a line a row, a column an attribute; and the figures that the paper printed."""

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.storage import write_text

PAPER = Path(__file__).parent / "paper"

_COLUMN_NAMES = {"accuracy_weight": "lambda"}
"""The paper's name of a column where Python has none."""


def write_rows(path: Path, rows: Sequence[object]) -> None:
    """Write dataclasses of one kind as CSV, as a whole; what is None stays empty.

    Args:
        path: The file.
        rows: One at least.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    names = [field.name for field in fields(rows[0])]  # type: ignore[arg-type]
    lines = [[getattr(row, name) for name in names] for row in rows]
    write_table(path, [_COLUMN_NAMES.get(name, name) for name in names], lines)


def write_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Write columns' names and lines as CSV, as a whole.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    write_text(path, out.getvalue())


def read_paper(name: str, folder: Path = PAPER) -> list[dict[str, str]]:
    """Return the lines of `experiments/paper/NAME.csv`: figures that the paper printed, and nothing else.

    Raises:
        RecordError: There is no such file.
    """
    path = folder / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise RecordError(f"{path}: expected figures of the paper, found {error}; restore it with git") from error


def paper_quantities(name: str, folder: Path = PAPER) -> dict[str, float]:
    """Return quantity -> value of a paper file with these two columns."""
    return {line["quantity"]: float(line["value"]) for line in read_paper(name, folder)}
