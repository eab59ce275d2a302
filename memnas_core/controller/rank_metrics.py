"""How well predicted figures order candidates: AP@k, NDCG@k and Kendall's tau.

    symbol     meaning                                                           shape
    n          candidates                                                        scalar
    k          how many candidates of the predicted order are looked at          scalar
    true       measured figure of each candidate, larger is better               (n,)
    predicted  predicted figure of each candidate, larger is better              (n,)

The paper names AP and NDCG but states no formula and no n, so the formulas are fixed here, and every table of
them must print n and the formula. Ties in the predictions count with the exact mean over all orders of the tied
candidates: nothing depends on the order in which candidates are given, and a constant prediction scores what
a random order scores on average.

Source: section 4.5, Table 3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from memnas_core.errors import InputError

Figures = Sequence[float] | npt.NDArray[np.floating]
_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _TieGroup:
    """Candidates with one prediction, at the positions `start` to `stop - 1` of the predicted order."""

    start: int
    stop: int
    members: npt.NDArray[np.intp]


def average_precision(true: Figures, predicted: Figures, k: int) -> float:
    """Return AP@k, normalised by hits.

    With rel(i) = 1 where the candidate at position i of the predicted order belongs to the true top k, and
    P(i) the share of such candidates among the first i:

        AP@k = sum over i <= k of rel(i) P(i) / sum over i <= k of rel(i),   0 without any hit.

    "Normalised by hits" is what the denominator says; the other usual formula divides by k and gives less. A
    random order scores well above 0 here: H/k + (h - 1)/(k - 1) (1 - H/k) with h = k k / n expected hits and
    H = 1 + 1/2 + ... + 1/k, that is 0.191 and 0.288 for n = 390 and k = 50, 100.

    Args:
        true: Measured figures, shape (n,). Candidates that tie with the k-th best all belong to the top k.
        predicted: Predicted figures, shape (n,).
        k: Number of positions that count, from 1 to n.

    Raises:
        InputError: Lengths differ, a figure is not finite, or k is out of range.
    """
    true, predicted = _checked(true, predicted)
    _check_k(k, len(true))
    relevant = true >= np.sort(true)[-k]
    hits = 0  # hits of the groups that lie wholly within the first k
    precisions = 0.0  # sum of rel(i) P(i) over these groups
    for group in _tie_groups(predicted):
        hits_here = int(relevant[group.members].sum())
        if group.stop <= k:
            precisions += _expected_precisions(group.start, group.stop - group.start, hits_here, hits)
            hits += hits_here
            continue
        # This group straddles k: how many of its hits come before k is hypergeometric.
        places = k - group.start
        inside = np.arange(min(places, hits_here) + 1)
        chances = stats.hypergeom(len(group.members), hits_here, places).pmf(inside)
        mean = 0.0
        for count, chance in zip(inside.tolist(), chances.tolist(), strict=True):
            total = precisions + _expected_precisions(group.start, places, count, hits)
            mean += chance * total / (hits + count) if hits + count else 0.0
        return mean
    return precisions / hits if hits else 0.0


def ndcg(true: Figures, predicted: Figures, k: int) -> float:
    """Return NDCG@k with the gain 1/rank.

        DCG@k = sum over i <= k of gain(i) / log2(i + 1),   NDCG@k = DCG@k / DCG@k of the true order.

    The gain of a candidate is 1 / its true rank (1 for the best, 1/2 for the second, ...); ties have their
    mean rank. It needs no threshold and puts most weight on finding the very best, the one that a round
    keeps. With accuracies as gains every order would score close to 1, as those of a round are nearly
    equal. A random order scores 0.097 and 0.150 for n = 390 and k = 50, 100.

    Args:
        true: Measured figures, shape (n,).
        predicted: Predicted figures, shape (n,).
        k: Number of positions that count, from 1 to n.

    Raises:
        InputError: As in `average_precision`.
    """
    true, predicted = _checked(true, predicted)
    _check_k(k, len(true))
    gains = 1.0 / stats.rankdata(-true, method="average")
    discounts = np.zeros(len(true))
    discounts[:k] = 1.0 / np.log2(np.arange(2, k + 2))
    reached = 0.0
    for group in _tie_groups(predicted):
        reached += float(gains[group.members].mean() * discounts[group.start : group.stop].sum())
    return reached / float(np.sort(gains)[::-1] @ discounts)


def kendall_tau(true: Figures, predicted: Figures) -> float:
    """Return Kendall's tau-b, from -1 (reversed) through 0 (unrelated) to 1 (the same order).

    tau-b = (concordant - discordant) / sqrt((pairs not tied in true) (pairs not tied in predicted)).
    It is 0 if either is constant, since a constant gives no order.

    Args:
        true: Measured figures, shape (n,), n >= 2.
        predicted: Predicted figures, shape (n,).

    Raises:
        InputError: Lengths differ, a figure is not finite, or n < 2.
    """
    true, predicted = _checked(true, predicted)
    if len(true) < 2:
        raise InputError(f"Kendall's tau: expected at least 2 candidates, found {len(true)}")
    tau = float(stats.kendalltau(true, predicted, variant="b").statistic)
    return 0.0 if np.isnan(tau) else tau


def _expected_precisions(start: int, places: int, hits: int, hits_before: int) -> float:
    """Return the mean sum of rel(i) P(i) where `hits` fall anywhere on the `places` after `start`."""
    if hits == 0:
        return 0.0
    offset = np.arange(places)
    # Each position is a hit with probability hits/places; the other hits are spread evenly around it.
    hits_between = offset * (hits - 1) / max(places - 1, 1)
    return float((hits / places * (hits_before + hits_between + 1) / (start + offset + 1)).sum())


def _tie_groups(predicted: _Array) -> Iterator[_TieGroup]:
    """Yield the groups of equal predictions, best first."""
    order = np.argsort(-predicted, kind="stable")
    borders = np.flatnonzero(np.diff(predicted[order])) + 1
    start = 0
    for members in np.split(order, borders):
        yield _TieGroup(start, start + len(members), members)
        start += len(members)


def _checked(true: Figures, predicted: Figures) -> tuple[_Array, _Array]:
    left, right = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape:
        raise InputError(
            f"expected a true and a predicted figure a candidate, found shapes {left.shape}, {right.shape}"
        )
    for name, figures in (("true", left), ("predicted", right)):
        if not np.isfinite(figures).all():
            place = int(np.flatnonzero(~np.isfinite(figures))[0])
            raise InputError(
                f"{name}[{place}]: expected a finite figure, found {figures[place]}; "
                "leave out candidates without a result"
            )
    return left, right


def _check_k(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise InputError(f"k: expected 1 to n = {n}, found {k}")
