"""A dataclass as one flat row of a table: a dataclass in one of its fields stands there with fields of its own."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar, get_type_hints

Row = TypeVar("Row")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Name of the field.
        kind: What the field is annotated with.
        is_optional: Whether the field has a default, so that a table may lack the column.
    """

    name: str
    kind: Any
    is_optional: bool


def columns(kind: type) -> list[Column]:
    """Return the columns of a dataclass, in order.

    Args:
        kind: A dataclass of plain values and of other such dataclasses; no two fields have one name.
    """
    found: list[Column] = []
    for field, hint in _fields(kind):
        if isinstance(hint, type) and is_dataclass(hint):
            found += columns(hint)
        else:
            found.append(Column(field.name, hint, field.default is not MISSING))
    return found


def flat(row: object) -> dict[str, Any]:
    """Return column -> value of a dataclass."""
    found: dict[str, Any] = {}
    for field, hint in _fields(type(row)):
        value = getattr(row, field.name)
        found |= flat(value) if is_dataclass(hint) else {field.name: value}
    return found


def unflat(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """Return the dataclass that `flat` made a row of; fields that are missing there have their defaults."""
    given = {}
    for field, hint in _fields(kind):
        if isinstance(hint, type) and is_dataclass(hint):
            given[field.name] = unflat(hint, values)
        elif field.name in values:
            given[field.name] = values[field.name]
    return kind(**given)


def _fields(kind: type) -> list[tuple[Field[Any], Any]]:
    assert is_dataclass(kind), "rows are dataclasses"
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in fields(kind)]
