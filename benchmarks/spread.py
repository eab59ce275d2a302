"""A figure over the repeats of a measurement: median, least and most, or mean and interval."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

from scipy.stats import t as student

FEW = 3
"""Fewer repeats have no interval."""


class Spread(NamedTuple):
    """Least, median and most of a figure over the repeats."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))

    def shown(self, digits: int, sign: Literal["", "+"] = "") -> str:
        """Return median and extremes in words, with "+" before values that are not negative if asked for."""
        median, least, most = (f"{value:{sign},.{digits}f}" for value in (self.median, self.least, self.most))
        return f"{median} ({least} to {most})"


class Mean(NamedTuple):
    """Mean over seeds, and half the width of its 95 % t interval; None with fewer than `FEW` seeds."""

    value: float
    half: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Return the mean of one or more values."""
        count, half = len(values), None
        if count >= FEW:
            half = float(student.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)
        return cls(statistics.mean(values), half, count)

    def shown(self, sign: str = "") -> str:
        """Return it in words, with the number of seeds where there is no interval."""
        spread = f" ± {self.half:.3f}" if self.half is not None else f" (n = {self.seeds})"
        return f"{self.value:{sign}.3f}{spread}"
