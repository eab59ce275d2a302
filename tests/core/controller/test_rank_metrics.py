"""Ranking quality against hand tables, scikit-learn, and averages over random orders."""

from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from memnas_core.controller.rank_metrics import average_precision, kendall_tau, ndcg
from memnas_core.errors import InputError

# Six candidates A..F in true order. Predicted order: B D A F C E.
#   position     1     2     3     4     5     6
#   true rank    2     4     1     6     3     5
#   in top 3     1     0     1     0     1     0
TRUE = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
PREDICTED = [0.4, 0.6, 0.2, 0.5, 0.1, 0.3]


def test_average_precision_by_hand() -> None:
    # k = 3: hits at positions 1 and 3, precisions 1/1 and 2/3.
    assert average_precision(TRUE, PREDICTED, 3) == pytest.approx((1 + 2 / 3) / 2)
    # k = 4 (D belongs to the top 4 as well): hits at 1, 2, 3.
    assert average_precision(TRUE, PREDICTED, 4) == pytest.approx(1.0)
    # k = 2 (A and B): hit at 1 only; normalised by hits that is 1, normalised by k it would be 1/2.
    assert average_precision(TRUE, PREDICTED, 2) == pytest.approx(1.0)
    # k = 1: B stands where A should.
    assert average_precision(TRUE, PREDICTED, 1) == 0.0


def test_ndcg_by_hand() -> None:
    # k = 3: gains 1/2, 1/4, 1 over log2 of 2, 3, 4; ideal gains 1, 1/2, 1/3.
    discounts = [1.0, 1 / np.log2(3), 0.5]
    reached = 0.5 * discounts[0] + 0.25 * discounts[1] + 1.0 * discounts[2]
    ideal = 1.0 * discounts[0] + 0.5 * discounts[1] + discounts[2] / 3
    assert ndcg(TRUE, PREDICTED, 3) == pytest.approx(reached / ideal)


def test_kendall_tau_by_hand() -> None:
    # Of 15 pairs, A-B, A-D, C-D, C-F and E-F are discordant: (10 - 5) / 15.
    assert kendall_tau(TRUE, PREDICTED) == pytest.approx(1 / 3)
    # Tau-b with ties: pairs (0,1) tied in true only, two concordant: 2 / sqrt(2 * 3).
    assert kendall_tau([1.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(2 / np.sqrt(6))


def test_true_and_reversed_orders_are_the_extremes() -> None:
    reversed_order = [-figure for figure in TRUE]
    assert average_precision(TRUE, TRUE, 3) == pytest.approx(1.0)
    assert average_precision(TRUE, reversed_order, 3) == 0.0
    assert ndcg(TRUE, TRUE, 4) == pytest.approx(1.0)
    assert ndcg(TRUE, reversed_order, 4) < ndcg(TRUE, PREDICTED, 4) < 1
    assert kendall_tau(TRUE, TRUE) == pytest.approx(1.0)
    assert kendall_tau(TRUE, reversed_order) == pytest.approx(-1.0)


@pytest.mark.parametrize("k", [1, 7, 40, 60])
def test_scikit_learn_agrees(k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(20):
        true = rng.permutation(60).astype(float)
        predicted = true + rng.normal(0, 20, 60)
        order = np.argsort(-predicted)
        hits = (true >= 60 - k)[order][:k]
        # scikit-learn divides by the positives it is shown: of the first k, these are the hits.
        expected = average_precision_score(hits, -np.arange(k)) if hits.any() else 0.0
        assert average_precision(true, predicted, k) == pytest.approx(expected)
        gains = 1 / (60 - true)
        assert ndcg(true, predicted, k) == pytest.approx(ndcg_score([gains], [predicted], k=k))


def test_kendall_tau_counts_pairs() -> None:
    rng = np.random.default_rng(3)
    true, predicted = rng.integers(0, 8, 40).astype(float), rng.integers(0, 8, 40).astype(float)
    signs = [(np.sign(true[i] - true[j]), np.sign(predicted[i] - predicted[j])) for i, j in combinations(range(40), 2)]
    agreement = sum(a * b for a, b in signs)
    untied = np.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    assert kendall_tau(true, predicted) == pytest.approx(agreement / untied)


def test_equal_predictions_count_with_the_mean_over_their_orders() -> None:
    true = [3.0, 7.0, 1.0, 6.0, 2.0, 5.0, 4.0]
    predicted = [1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 0.0]  # groups of 2, 4 and 1; k = 3 cuts the second
    untied = []
    for first in permutations([1, 4]):
        for second in permutations([0, 2, 3, 5]):
            order = [*first, *second, 6]
            scores = np.empty(7)
            scores[order] = np.arange(7, 0, -1)
            untied.append(scores)
    for k in range(1, 8):
        for measure in (average_precision, ndcg):
            mean = np.mean([measure(true, scores, k) for scores in untied])
            assert measure(true, predicted, k) == pytest.approx(mean), (measure, k)
    gains = [1 / (8 - figure) for figure in true]
    assert ndcg(true, predicted, 3) == pytest.approx(ndcg_score([gains], [predicted], k=3))


def test_nothing_depends_on_the_order_given() -> None:
    rng = np.random.default_rng(5)
    true, predicted = rng.normal(size=50), rng.integers(0, 10, 50).astype(float)
    shuffled = rng.permutation(50)
    for measure in (average_precision, ndcg):
        assert measure(true, predicted, 20) == pytest.approx(measure(true[shuffled], predicted[shuffled], 20))


def test_candidates_that_tie_with_the_kth_best_are_relevant() -> None:
    # Top 2 of 3, 2, 2, 1 are three candidates: each of the first two positions is a hit.
    assert average_precision([3.0, 2.0, 2.0, 1.0], [1.0, 4.0, 3.0, 2.0], 2) == pytest.approx(1.0)


@pytest.mark.parametrize(("k", "published_ap"), [(50, 0.187), (100, 0.281)])
def test_a_random_order_scores_well_above_zero(k: int, published_ap: float) -> None:
    """Table 3's figures are close to what no controller at all would reach.

    0.187 and 0.281 are the figures of an independent simulation for "about 390" candidates; they fit n = 401.
    """
    rng = np.random.default_rng(k)
    for n, tolerance in ((401, 0.001), (390, 0.008)):
        assert average_precision(np.arange(float(n)), np.zeros(n), k) == pytest.approx(published_ap, abs=tolerance)
    true = np.arange(390.0)
    orders = [rng.permutation(390).astype(float) for _ in range(300)]
    for measure in (average_precision, ndcg):
        drawn = np.array([measure(true, order, k) for order in orders])
        standard_error = drawn.std() / np.sqrt(len(drawn))
        assert measure(true, np.zeros(390), k) == pytest.approx(drawn.mean(), abs=4 * standard_error)


def test_a_constant_agrees_with_no_order() -> None:
    assert kendall_tau(TRUE, [1.0] * 6) == 0.0


@pytest.mark.parametrize(
    ("true", "predicted", "k", "message"),
    [
        ([1.0, 2.0], [1.0], 1, "shapes"),
        ([1.0, float("nan")], [1.0, 2.0], 1, r"true\[1\]"),
        ([1.0, 2.0], [float("inf"), 2.0], 1, r"predicted\[0\]"),
        ([1.0, 2.0], [1.0, 2.0], 0, "1 to n = 2"),
        ([1.0, 2.0], [1.0, 2.0], 3, "1 to n = 2"),
    ],
)
def test_impossible_figures_are_refused(true: list[float], predicted: list[float], k: int, message: str) -> None:
    for measure in (average_precision, ndcg):
        with pytest.raises(InputError, match=message):
            measure(true, predicted, k)


def test_one_candidate_has_no_order() -> None:
    with pytest.raises(InputError, match="at least 2"):
        kendall_tau([1.0], [1.0])
