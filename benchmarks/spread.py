"""A figure over the repeats of a measurement: median, and from the least to the most."""

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self


class Spread(NamedTuple):
    """A figure over the repeats."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))

    def shown(self, digits: int, sign: Literal["", "+"] = "") -> str:
        """Return median and extremes in words, with "+" before what is not negative if asked for."""
        median, least, most = (f"{value:{sign},.{digits}f}" for value in (self.median, self.least, self.most))
        return f"{median} ({least} to {most})"
