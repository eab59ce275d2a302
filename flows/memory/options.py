"""Option types of `memnas memory`: widths of elements, and sizes of memory."""

import re

import click

WIDTHS: dict[str, float] = {"float32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "int8": 1, "int4": 0.5}
MOST_BYTES = 2**53
"""The largest size that is read: sums of such sizes are exact, and they can be printed."""

_WIDEST_BYTES = 64
_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2}


class ElementWidth(click.ParamType[float]):
    """Bytes of one element, given as a number or as the name of a type."""

    name = "TYPE|BYTES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number of bytes; int4 has half a byte."""
        text = str(value)
        if text in WIDTHS:
            return WIDTHS[text]
        if re.fullmatch("[0-9]{1,2}", text) and 0 < int(text) <= _WIDEST_BYTES:
            return int(text)
        expected = f"{', '.join(WIDTHS)} or a number of bytes from 1 to {_WIDEST_BYTES}"
        raise click.BadParameter(f"expected {expected}, found {_shown(text)}", ctx, param)


class ByteCount(click.ParamType[int]):
    """A size of memory such as `65536`, `64kB` (64,000 bytes) or `64KiB` (65,536)."""

    name = "BYTES"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-zA-Z]*)", str(value).strip())
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            expected = "a size such as 65536, 64kB (64,000 bytes) or 64KiB (65,536 bytes)"
            raise click.BadParameter(f"expected {expected}, found {_shown(value)}", ctx, param)
        size = float(match[1]) * unit
        if size > MOST_BYTES:
            raise click.BadParameter(f"expected at most {MOST_BYTES:,} bytes, found {_shown(value)}", ctx, param)
        return int(size)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def shown_width(width: float) -> str:
    """Return a width with the type that has it, such as `4 (float32)`; `2 (16 bits)` where several have."""
    names = [name for name, size in WIDTHS.items() if size == width]
    if len(names) > 1:
        return f"{width:g} ({8 * width:g} bits)"
    return f"{width:g} ({names[0]})" if names else f"{width:g}"
