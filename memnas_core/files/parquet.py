"""Dataclasses as Parquet files: columns are fields, and their types follow from the annotations."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq

from memnas_core.errors import RecordError
from memnas_core.files.flat import columns, flat, unflat
from memnas_core.files.untrusted import refuse_endless
from memnas_core.files.writing import replacing, storage_errors

Row = TypeVar("Row")

MAX_ROWS = 2**20
"""Largest number of rows that is read: a small file can hold any number of equal rows. A round has a few thousand."""

_ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema_of(kind: type) -> pa.Schema:
    """Return the columns of a dataclass of plain values, enumerations of strings, tuples of one kind, and the like."""
    return pa.schema([pa.field(c.name, _arrow_type(c.kind), nullable=_may_be_none(c.kind)) for c in columns(kind)])


def table_of(kind: type[Row], rows: Sequence[Row]) -> pa.Table:
    """Return rows as an Arrow table, a column for each field."""
    return pa.Table.from_pylist([flat(row) for row in rows], schema=schema_of(kind))


def write_parquet(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write rows to a file, which is replaced as a whole.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    table = table_of(kind, rows)
    with storage_errors(path), replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: Path, kind: type[Row], what: str, remedy: str) -> tuple[Row, ...]:
    """Read rows.

    Args:
        path: The file.
        kind: The dataclass of a row; the file may lack columns whose fields have defaults.
        what: What was expected there, for the message.
        remedy: What to do where it is missing or damaged.

    Raises:
        RecordError: The file is missing, truncated or has other columns.
    """
    every = columns(kind)
    try:
        refuse_endless(path)
        with pq.ParquetFile(path) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
            absent = {column.name for column in every if column.is_optional and column.name not in names}
            expected = pa.schema([field for field in schema_of(kind) if field.name not in absent])
            if names != expected.names:
                raise ValueError(f"the columns {', '.join(names)}")
            if file.schema_arrow.types != expected.types:
                raise ValueError(f"columns of the types {', '.join(map(str, file.schema_arrow.types))}")
            if rows > MAX_ROWS:
                raise ValueError(f"{rows:,} rows, more than {MAX_ROWS:,}")
            table = file.read().cast(expected)  # which also finds a null where none may be
        kinds = {column.name: column.kind for column in every}
        return tuple(
            unflat(kind, {name: _python_value(value, kinds[name]) for name, value in row.items()})
            for row in table.to_pylist()
        )
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RecordError(f"{path}: expected {what}, found {error}; {remedy}") from error


def _may_be_none(hint: Any) -> bool:  # noqa: ANN401 -- an annotation may be anything
    return NoneType in get_args(hint)


def _without_none(hint: Any) -> Any:  # noqa: ANN401
    return next(option for option in get_args(hint) if option is not NoneType) if _may_be_none(hint) else hint


def _arrow_type(hint: Any) -> pa.DataType:  # noqa: ANN401
    kind = _without_none(hint)
    if get_origin(kind) is tuple:
        return pa.list_(_arrow_type(get_args(kind)[0]))
    return pa.string() if issubclass(kind, StrEnum) else _ARROW_TYPES[kind]


def _python_value(value: Any, hint: Any) -> Any:  # noqa: ANN401
    kind = _without_none(hint)
    if value is None:
        return None
    if get_origin(kind) is tuple:
        return tuple(value)
    return kind(value) if issubclass(kind, StrEnum) else value
