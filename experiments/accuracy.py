"""Mean accuracy of a few trainings, with an interval that covers both the seeds and the choice of test images.

    symbol  meaning
    n       trainings of a network
    m       test images, the same for all
    p       mean test accuracy of the network
    s       standard deviation between trainings of one network, pooled over all networks
    d       degrees of freedom of s: trainings minus networks
    t       quantile of Student's distribution with d degrees of freedom

The interval is p ± t sqrt(s²/n + p (1 - p)/m): where p would lie if the network were trained again with other seeds
and tested on other images. A t interval from only a network's own two or three trainings would be many times wider,
and its width mostly chance. Pooling makes so few trainings usable; it assumes that all networks scatter alike. A
binomial (Wilson) interval alone ignores the seeds. It becomes too narrow, by a factor of up to the root of n, if the
predictions of n trainings on the same m images are counted as n·m independent ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An accuracy in [0, 1] with its interval."""

    mean: float
    low: float
    high: float


def pooled_deviation(accuracies: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Return s and d; (0, 0) where no network was trained twice."""
    squares = sum((value - fmean(values)) ** 2 for values in accuracies.values() for value in values if values)
    freedom = sum(len(values) - 1 for values in accuracies.values() if values)
    return (sqrt(squares / freedom), freedom) if freedom else (0.0, 0)


def intervals(accuracies: Mapping[str, Sequence[float]], test_images: int) -> dict[str, Interval]:
    """Return the interval of each network that has at least one training.

    Args:
        accuracies: Test accuracy of each training, in [0, 1], by network.
        test_images: Number of images on which each accuracy was measured.
    """
    deviation, freedom = pooled_deviation(accuracies)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, freedom) if freedom else stats.norm.ppf((1 + LEVEL) / 2))
    found = {}
    for model, values in accuracies.items():
        if values:
            mean = fmean(values)
            half = quantile * sqrt(deviation**2 / len(values) + mean * (1 - mean) / test_images)
            found[model] = Interval(mean, max(0.0, mean - half), min(1.0, mean + half))
    return found
