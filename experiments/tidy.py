"""Tidy CSV files, with one line for each row and one column for each attribute; and the figures the paper printed."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.files.flat import flat
from memnas_core.files.writing import write_text

PAPER = Path(__file__).parent / "paper"

_COLUMN_NAMES = {"accuracy_weight": "lambda"}
"""The paper's name for a column where Python cannot use it."""


def write_rows(path: Path, rows: Sequence[object]) -> None:
    """Write dataclasses of one kind atomically as CSV; None becomes an empty cell.

    Args:
        path: The file.
        rows: At least one row.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    columns = [_COLUMN_NAMES.get(name, name) for name in flat(rows[0])]
    write_table(path, columns, [list(flat(row).values()) for row in rows])


def write_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Write column names and lines atomically as CSV.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    write_text(path, out.getvalue())


def read_paper(name: str, folder: Path = PAPER) -> list[dict[str, str]]:
    """Return the lines of `experiments/paper/NAME.csv`, which holds only figures that the paper printed.

    Raises:
        RecordError: The file does not exist.
    """
    path = folder / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise RecordError(f"{path}: expected figures of the paper, found {error}; restore it with git") from error


def paper_quantities(name: str, folder: Path = PAPER) -> dict[str, float]:
    """Return the values by quantity of a paper file with these two columns."""
    return {line["quantity"]: float(line["value"]) for line in read_paper(name, folder)}
