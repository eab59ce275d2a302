"""Types of the options of `memnas memory`: widths of elements, and sizes of memory."""

import re

import click

WIDTHS = {"float32": 4, "float16": 2, "int8": 1}
_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2}


class ElementWidth(click.ParamType[int]):
    """Bytes of an element: a number, or the name of a type."""

    name = "TYPE|BYTES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        text = str(value)
        if text in WIDTHS:
            return WIDTHS[text]
        if text.isdecimal() and int(text) > 0:
            return int(text)
        expected = f"{', '.join(WIDTHS)} or a positive number of bytes"
        raise click.BadParameter(f"expected {expected}, found {text!r}", ctx, param)


class ByteCount(click.ParamType[int]):
    """A size of memory such as `65536`, `64kB` (64,000 bytes) or `64KiB` (65,536)."""

    name = "BYTES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-zA-Z]*)", str(value).strip())
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            expected = "a size such as 65536, 64kB (64,000 bytes) or 64KiB (65,536 bytes)"
            raise click.BadParameter(f"expected {expected}, found {value!r}", ctx, param)
        return int(float(match[1]) * unit)


def shown_width(width: int) -> str:
    """Return a width with the type that has it, such as `4 (float32)`."""
    names = [name for name, size in WIDTHS.items() if size == width]
    return f"{width} ({names[0]})" if names else str(width)
