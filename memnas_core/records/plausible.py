"""Whether the figures of a record can be: files that others made may hold NaN, or an accuracy of 7."""

import math
from dataclasses import fields

LARGEST_BITS = 63


def implausible(record: object) -> str | None:
    """Return what is wrong with a figure of a record, or None.

    Args:
        record: A dataclass. Its numbers must be finite, accuracies in [0, 1], and times, sizes and images not negative.
    """
    for field in fields(record):  # type: ignore[arg-type]  # any dataclass
        value = getattr(record, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            return f"{field.name} has {value.bit_length():,} bits, which no figure has"
        if not math.isfinite(value):
            return f"{field.name} = {value}, which is no finite number"
        if "accuracy" in field.name and not 0 <= value <= 1:
            return f"{field.name} = {value}, which is not in [0, 1]"
        if field.name.endswith(("_seconds", "_bytes", "images_seen")) and value < 0:
            return f"{field.name} = {value}, which is negative"
    return None
