"""The JSON format of architectures, for records and for hand-written files."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

from memnas_core.errors import ArchitectureError
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.operations import OPERATIONS

FORMAT_VERSION = 1
_KEYS = (
    {"memnas_architecture", "filters", "stem_stride", "blocks"},
    {"stride", "filters", "cells"},
    {"first", "second", "combiner", "included"},
)
MAX_FILTERS = 2**20  # the paper uses at most 64; without a limit, byte counts could have too many digits to print


def to_json(architecture: Architecture) -> str:
    """Return an architecture as one line of JSON that `from_json` reads back to an equal value."""
    blocks = [_block_document(block) for block in architecture.blocks]
    stem = {} if architecture.stem_stride == 1 else {"stem_stride": architecture.stem_stride}
    document = {"memnas_architecture": FORMAT_VERSION, "filters": architecture.filters, **stem, "blocks": blocks}
    return json.dumps(document, separators=(",", ":"))


def _block_document(block: Block) -> dict[str, object]:
    own = {} if block.filters is None else {"filters": block.filters}
    return {"stride": block.stride, **own, "cells": [_cell_document(cell) for cell in block.cells]}


def _cell_document(cell: Cell) -> dict[str, object]:
    return {
        "first": list(cell.first) if cell.first else None,
        "second": list(cell.second) if cell.second else None,
        "combiner": cell.combiner.value,
        "included": cell.included,
    }


def from_json(text: str, source: str = "architecture") -> Architecture:
    """Read an architecture from JSON.

    Args:
        text: JSON in the format of `to_json`.
        source: Where the text came from, for messages.

    Raises:
        ArchitectureError: The text is not JSON, is not an architecture, has another version or breaks a rule of
            the search space; the message names the place.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"{source}: expected JSON, found none: {error}") from None
    if _field(document, "memnas_architecture", int, source) != FORMAT_VERSION:
        found = document["memnas_architecture"]
        raise ArchitectureError(f"{source}: expected version {FORMAT_VERSION} of the format, found {found}")
    blocks = []
    for number, entry in enumerate(_field(document, "blocks", list, source), start=1):
        place = f"{source}, block {number}"
        cells = tuple(
            _read_cell(cell, f"{place}, cell {position}")
            for position, cell in enumerate(_field(entry, "cells", list, place), start=1)
        )
        stride = _field(entry, "stride", int, place)
        own = _filters(entry, place) if "filters" in entry else None
        try:
            blocks.append(Block(cells, stride, own))
        except ArchitectureError as error:
            raise ArchitectureError(f"{place}: {error}") from None
    filters = _filters(document, source)
    stem_stride = _field(document, "stem_stride", int, source) if "stem_stride" in document else 1
    try:
        return Architecture(tuple(blocks), filters, stem_stride)
    except ArchitectureError as error:
        raise ArchitectureError(f"{source}: {error}") from None


def read_architecture(text: str, source: str) -> Architecture:
    """Read an architecture from a file that somebody may have written by hand: no key is given twice or unknown.

    Args:
        text: JSON in the format of `to_json`.
        source: Where the text came from, for messages.

    Raises:
        ArchitectureError: As `from_json`, or a key is given twice or unknown.
    """

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        known = max(_KEYS, key=lambda keys: len(keys & set(names)))
        known = known if known & set(names) else set().union(*_KEYS)
        for place, name in enumerate(names):
            if name not in known:
                expected = ", ".join(sorted(known))
                raise ArchitectureError(f"{source}: expected the keys {expected}, found {_shown(name)}; remove it")
            if name in names[:place]:
                raise ArchitectureError(f"{source}: {name}: expected one value, found the key twice; remove one")
        return dict(pairs)

    with suppress(ValueError, RecursionError):  # what is no JSON is told below
        json.loads(text, object_pairs_hook=check)
    return from_json(text, source)


def _filters(entry: object, place: str) -> int:
    filters = _field(entry, "filters", int, place)
    if filters > MAX_FILTERS:
        raise ArchitectureError(f"{place}: filters: expected at most {MAX_FILTERS:,}, found more")
    return filters


def _read_cell(entry: object, place: str) -> Cell:
    combiner = _field(entry, "combiner", str, place)
    if combiner not in set(Combiner):
        raise ArchitectureError(f"{place}: combiner: expected sum or concat, found {_shown(combiner)}")
    first, second = _read_branch(entry, "first", place), _read_branch(entry, "second", place)
    return Cell(first, second, Combiner(combiner), _field(entry, "included", bool, place))


def _read_branch(entry: object, name: str, place: str) -> Branch | None:
    if not isinstance(entry, dict) or name not in entry:
        raise ArchitectureError(f"{place}: {name}: expected [input, operation] or null, found nothing")
    value = entry[name]
    if value is None:
        return None
    match value:
        case [int() as number, str() as operation] if not isinstance(number, bool):
            if operation in OPERATIONS:
                return Branch(number, OPERATIONS[operation])
            known = ", ".join(OPERATIONS)
            raise ArchitectureError(f"{place}: {name}: expected one of {known}, found {_shown(operation)}")
    raise ArchitectureError(f"{place}: {name}: expected [input, operation] or null, found {_shown(value)}")


_T = TypeVar("_T")
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def _field(entry: object, name: str, kind: type[_T], place: str) -> _T:
    if not isinstance(entry, dict):
        raise ArchitectureError(f"{place}: expected an object with {name!r}, found {_shown(entry)}")
    if name not in entry:
        raise ArchitectureError(f"{place}: {name}: expected {_KINDS[kind]}, found nothing")
    value = entry[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ArchitectureError(f"{place}: {name}: expected {_KINDS[kind]}, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
