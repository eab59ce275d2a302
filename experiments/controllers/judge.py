"""How well a ranking agrees with the second half of the trainings: the figures of each run, and their intervals.

    symbol  meaning                                                    shape
    m       candidates that are ranked                                 scalar
    true    y'' of each candidate                                      (m,)
    ranks   place of each candidate in the predicted order, 1 is best; (m,)
            ties have their mean
    R       replicates of the bootstrap                                scalar

Intervals are the percentiles 2.5 and 97.5 of a bootstrap over seeds (and thereby over the draw of the split and the
controller's own chance) and over the ranked candidates. All controllers are resampled alike, so that their differences
have intervals too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from experiments.controllers.protocol import Array, Indices
from memnas_core.controller.rank_metrics import average_precision, kendall_tau, ndcg

REPLICATES = 500
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One ranking and the measured values that it is judged against.

    Attributes:
        true: y'' of each candidate; shape (m,).
        ranks: Place of each candidate in the predicted order; shape (m,).
    """

    true: Array
    ranks: Array


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its interval."""

    value: float
    low: float
    high: float


def tau_within(true: Array, predicted: Array, groups: Indices) -> float:
    """Return Kendall's tau-b over the pairs of candidates within the same group; 0 where there is no such pair."""
    same = groups[:, None] == groups[None, :]
    left = np.sign(true[:, None] - true[None, :]) * same
    right = np.sign(predicted[:, None] - predicted[None, :]) * same
    pairs = np.sqrt(np.abs(left).sum() * np.abs(right).sum())
    return float((left * right).sum() / pairs) if pairs else 0.0


def bootstrap_tau(runs: Sequence[Sequence[Judged]]) -> tuple[float, Array]:
    """Return the mean tau over all runs, and the mean of each replicate, shape (R,).

    Args:
        runs: Rankings by seed (one for each round in split `rounds`); every seed has equally many.
    """
    value = float(np.mean([kendall_tau(judged.true, -judged.ranks) for of_seed in runs for judged in of_seed]))
    means = np.empty((len(runs), REPLICATES))
    for number, of_seed in enumerate(runs):
        means[number] = np.mean([_tau_replicates(judged, number) for judged in of_seed], axis=0)
    return value, _over_seeds(means)


def bootstrap_at_k(
    runs: Sequence[Sequence[Judged]], cutoffs: Sequence[int]
) -> list[tuple[tuple[float, Array], tuple[float, Array]]]:
    """Return AP@k and NDCG@k for each k, both as the mean over all runs and the mean of each replicate, shape (R,).

    Args:
        runs: Rankings by seed, as for `bootstrap_tau`.
        cutoffs: The values of the paper's k.
    """
    flat = [judged for of_seed in runs for judged in of_seed]
    means = np.empty((len(cutoffs), 2, len(runs), REPLICATES))
    for number, of_seed in enumerate(runs):
        means[:, :, number] = np.mean([_at_k_replicates(judged, cutoffs, number) for judged in of_seed], axis=0)
    found = []
    for place, k in enumerate(cutoffs):
        ap = float(np.mean([average_precision(judged.true, -judged.ranks, k) for judged in flat]))
        gain = float(np.mean([ndcg(judged.true, -judged.ranks, k) for judged in flat]))
        found.append(((ap, _over_seeds(means[place, 0])), (gain, _over_seeds(means[place, 1]))))
    return found


def interval(value: float, replicates: Array) -> Interval:
    """Return a figure with the interval given by its replicates."""
    low, high = np.percentile(replicates, INTERVAL)
    return Interval(value, float(low), float(high))


def _over_seeds(means: Array) -> Array:
    """Return the means over seeds drawn with replacement; `means` has shape (seeds, R)."""
    seeds = len(means)
    drawn = np.random.default_rng(seeds).integers(seeds, size=(seeds, REPLICATES))
    return np.asarray(np.take_along_axis(means, drawn, axis=0).mean(axis=0))


@lru_cache(maxsize=64)
def _drawn(candidates: int, number: int) -> Indices:
    """Return candidates drawn with replacement, the same for every controller; shape (R, m)."""
    return np.random.default_rng((candidates, number)).integers(candidates, size=(REPLICATES, candidates))


@lru_cache(maxsize=64)
def _times_drawn(candidates: int, number: int) -> Array:
    """Return how often each candidate is drawn; shape (R, m)."""
    drawn = _drawn(candidates, number)
    return np.stack([np.bincount(row, minlength=candidates) for row in drawn]).astype(np.float64)


def _tau_replicates(judged: Judged, number: int) -> Array:
    """Return tau-b of resampled candidates; a candidate that is drawn twice ties with itself in both orders."""
    weights = _times_drawn(len(judged.true), number)
    left = np.sign(judged.true[:, None] - judged.true[None, :])
    right = np.sign(judged.ranks[None, :] - judged.ranks[:, None])

    def pairs(signs: Array) -> Array:
        return np.asarray(((weights @ signs) * weights).sum(axis=1))

    untied = np.sqrt(pairs(np.abs(left)) * pairs(np.abs(right)))
    return np.divide(pairs(left * right), untied, out=np.zeros(len(weights)), where=untied > 0)


def _at_k_replicates(judged: Judged, cutoffs: Sequence[int], number: int) -> Array:
    """Return AP@k and NDCG@k of resampled candidates; ties in the prediction are broken at random; shape (ks, 2, R)."""
    m = len(judged.true)
    order = np.lexsort((np.random.default_rng(number).random(m), judged.ranks))
    place = np.empty(m, dtype=np.int64)
    place[order] = np.arange(m)
    true = judged.true[order[np.sort(place[_drawn(m, number)], axis=1)]]  # in predicted order
    gains = 1.0 / rankdata(-true, axis=1)
    best_gains, ascending = np.sort(gains, axis=1)[:, ::-1], np.sort(true, axis=1)
    found = []
    for k in cutoffs:
        relevant = true[:, :k] >= ascending[:, [m - k]]
        hits = relevant.cumsum(axis=1)
        ap = (relevant * hits / np.arange(1, k + 1)).sum(axis=1) / np.maximum(hits[:, -1], 1)
        discounts = 1.0 / np.log2(np.arange(2, k + 2))
        found.append([ap, (gains[:, :k] @ discounts) / (best_gains[:, :k] @ discounts)])
    return np.array(found)
