"""Reading files that somebody else may have written: of a bounded size, no pipes or devices, plain values only."""

import errno
import stat
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

Kind = TypeVar("Kind")

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}  # making one takes milliseconds

MAX_TEXT_BYTES = 64 * 2**20
"""Size of the largest text that is read, that of the record of a training of 300,000 epochs."""

UnixTime = Annotated[float, Field(ge=0, lt=2**35)]
"""Seconds since 1970, up to the year 3058, so that they can be shown as a date."""


def refuse_endless(path: Path) -> None:
    """Raise an error for a path whose content may have no end.

    Raises:
        OSError: The path is a pipe, socket or device, or does not exist.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder fails by itself
        raise OSError(errno.EINVAL, "expected a plain file, found a pipe, socket or device", str(path))


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file; links are followed.
        limit_bytes: Size of the largest file that is read, in bytes.

    Raises:
        OSError: The file cannot be read, is too long, or is a pipe, socket, device or folder.
    """
    refuse_endless(path)
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"expected at most {limit_bytes:,} bytes, found more", str(path))
    return content


def read_text(path: Path, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the content of a regular file of UTF-8 text.

    Raises:
        OSError: The file cannot be read, is too long, or is a pipe, socket, device or folder.
        UnicodeDecodeError: The content is not UTF-8.
    """
    return read_bytes(path, limit_bytes).decode("utf-8")


def parse_record(text: str, kind: type[Kind]) -> Kind:
    """Return the dataclass that a JSON text holds: every field with a value of its type, and no others.

    Raises:
        ValueError: The text holds something else; one line says what.
    """
    try:
        adapter = _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, TypeAdapter(kind))
        record: Kind = adapter.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        raise ValueError(first_finding(error)) from None
    return record


def first_finding(error: ValidationError) -> str:
    """Return what pydantic found first, as `place: message`, or the message alone if it is about the whole."""
    finding = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in finding["loc"])
    return f"{place}: {finding['msg']}" if place else finding["msg"]
