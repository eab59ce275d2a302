"""Pages in docs/ with a part that a benchmark writes between two marks."""

from collections.abc import Sequence
from pathlib import Path

from memnas_core.errors import RecordError


def marks(name: str = "benchmark") -> tuple[str, str]:
    """Return the line before a part and the line after it."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def with_tables(text: str, lines: Sequence[str], page: Path, name: str = "benchmark") -> str:
    """Return a page with the lines between its marks replaced.

    Args:
        text: Text of the page.
        lines: Lines to put between the marks.
        page: Path of the page, for the error message.
        name: Name of the marks.

    Raises:
        RecordError: The page has no such marks.
    """
    first, last = marks(name)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise RecordError(f"{page}: expected the marks {first} and {last}, found none; add them where tables belong")
    return "\n".join([before + begin, "", *lines, "", end + after])
