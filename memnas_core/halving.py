"""Successive halving: all candidates of a round train a little, the promising ones go on.

A *rung* is one training of a fixed number of images with a cosine cycle of its own. A candidate that goes on begins its
next rung with the weights of the last one, as a warm restart does.

Source: Jamieson and Talwalkar, 2016; the paper trains all k candidates fully. What a candidate needs in memory is known
exactly from the start, so that a few can be stopped for certain: those that would not win with an accuracy of 1.
"""

import math
from collections.abc import Sequence

from memnas_core.config import TrainingSettings


def rung_images(rungs: Sequence[float], training: TrainingSettings, train_size: int) -> tuple[int | None, ...]:
    """Return the training images of each rung; None: a full training as the settings have it, restarts included.

    Args:
        rungs: Shares of a full training.
        training: Epochs of a full training.
        train_size: Training images of the data set.
    """
    full = training.epochs * train_size
    return tuple(None if share == 1 else max(1, round(share * full)) for share in rungs)


def planned_images(images: Sequence[int], candidates: int, keep: float) -> int:
    """Return the training images of a round in which as many candidates go on as may.

    Args:
        images: Training images of each rung.
        candidates: In the first rung.
        keep: Share that goes on at most.
    """
    total = 0
    for rung in images:
        total += candidates * rung
        candidates = math.ceil(keep * candidates)
    return total


def going_on(values: Sequence[float], best_possible: Sequence[float], keep: float) -> list[int]:
    """Return the indices of the candidates that go on to the next rung, the best first.

    Args:
        values: What each candidate is worth as it is; the higher the better.
        best_possible: What each would be worth with an accuracy of 1.
        keep: Share of the candidates that go on at most, rounded up.
    """
    best = max(values, default=0.0)
    order = sorted(range(len(values)), key=lambda index: -values[index])
    most = math.ceil(keep * len(values))
    return [index for index in order[:most] if best_possible[index] >= best]
