"""What is chosen from tables of candidates, against a round worked by hand and brute force."""

import random
from dataclasses import replace
from itertools import pairwise, product

import pytest

from memnas_core.choice import best_row, front_of, round_winner, trained_of
from memnas_core.contenders import Base, Ranking, performance_of
from memnas_core.errors import RecordError, TrainingError
from memnas_core.metric import Performance
from memnas_core.records import CandidateRow, Status
from memnas_core.search import rerank
from tests.core.round_by_hand import BASE, CANDIDATES, CONTENDERS, COUNTS, OBJECTIVE, RECORDS, ROWS

# -- the next base --------------------------------------------------------------------------------------------


def test_the_winner_is_the_next_base() -> None:
    found = round_winner(ROWS, BASE, OBJECTIVE)
    assert found == Base(CANDIDATES[5].architecture, CANDIDATES[5].arch_id, Performance(0.80, 900, 1600), "key")
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert round_winner(shuffled, None, OBJECTIVE) == found
    sequential = round_winner(ROWS, BASE, replace(OBJECTIVE, activation_convention="sequential"))
    assert sequential.performance == Performance(0.80, 905, 1600)


def test_a_winner_below_its_base_wins_all_the_same() -> None:
    """The paper chooses the best candidate of a round, not the best of candidates and base."""
    rows = rerank(Ranking(CONTENDERS[1:2], COUNTS), RECORDS, BASE, OBJECTIVE)
    assert rows[0].measured_score == pytest.approx(-0.05)
    assert round_winner(rows, BASE, OBJECTIVE).arch_id == CANDIDATES[2].arch_id


def test_the_base_stays_where_every_training_failed() -> None:
    rows = rerank(Ranking(CONTENDERS[:1], COUNTS), RECORDS, BASE, OBJECTIVE)
    assert not any(row.is_winner for row in rows)
    assert round_winner(rows, BASE, OBJECTIVE) is BASE
    with pytest.raises(TrainingError, match="round 0: expected the first network to train, found diverged; lower "):
        round_winner(rows, None, OBJECTIVE)


def test_what_the_controller_learns_from() -> None:
    assert trained_of(ROWS, OBJECTIVE) == (
        (CANDIDATES[5].architecture, Performance(0.80, 900, 1600)),
        (CANDIDATES[3].architecture, Performance(0.84, 1000, 2000)),
        (CANDIDATES[6].architecture, Performance(0.84, 1000, 2000)),
        (CANDIDATES[2].architecture, Performance(0.88, 1100, 2200)),
    )


# -- the front and the choice ---------------------------------------------------------------------------------


def random_rows(rng: random.Random, count: int) -> list[CandidateRow]:
    """Return a trained seed and rows of few different figures, so that ties are common; some failed."""
    rows = [replace(ROWS[0], arch_id="seed", round=0, param_bytes=600, minimum_bytes=400, measured_accuracy=0.5)]
    for number in range(count):
        trained = rng.random() < 0.8
        rows.append(
            replace(
                ROWS[0],
                arch_id=f"{number:03}",
                round=1,
                param_bytes=100 * rng.randint(1, 9),
                minimum_bytes=100 * rng.randint(1, 9),
                measured_accuracy=rng.randint(1, 9) / 10 if trained else None,
                status=Status.TRAINED if trained else Status.DIVERGED,
                is_winner=False,
            )
        )
    return rows


def test_front_and_choice_by_brute_force() -> None:
    rng = random.Random(0)
    for _, weight in product(range(25), (0.0, 0.3, 1.0)):
        rows = random_rows(rng, rng.randint(0, 25))
        objective = replace(OBJECTIVE, accuracy_weight=weight)
        points = {
            r.arch_id: (r.measured_accuracy, r.param_bytes + r.minimum_bytes) for r in rows if r.measured_accuracy
        }
        undominated = {
            name
            for name, (a, b) in points.items()
            if not any(x >= a and y <= b and (x, y) != (a, b) for x, y in points.values())
        }
        front = front_of(rows, objective)
        assert {row.arch_id for row in front} == undominated
        assert len(front) == len(undominated)
        for left, right in pairwise(front):
            assert left.measured_accuracy <= right.measured_accuracy  # type: ignore[operator]

        def y(row: CandidateRow, weight: float = weight) -> float:
            """Return Eq. 4 relative to the seed: 0.5, 400 and 600."""
            growth = (row.minimum_bytes - 400) / 400 + (row.param_bytes - 600) / 600
            return weight * ((row.measured_accuracy or 0) - 0.5) / 0.5 - (1 - weight) * growth

        best = best_row(rows, objective)
        assert best.arch_id in undominated
        assert y(best) == pytest.approx(max(y(row) for row in front))
        assert best_row([rows[0], *reversed(rows[1:])], objective) == best  # ties do not depend on the order


def test_the_front_looks_at_the_convention_of_the_settings() -> None:
    small = replace(ROWS[0], arch_id="small", minimum_bytes=100, paper_bytes=900)
    large = replace(ROWS[0], arch_id="large", minimum_bytes=200, paper_bytes=800)
    assert [row.arch_id for row in front_of([small, large], OBJECTIVE)] == ["small"]
    paper = replace(OBJECTIVE, activation_convention="paper")
    assert [row.arch_id for row in front_of([small, large], paper)] == ["large"]
    assert performance_of(large.memory, 0.5, paper) == Performance(0.5, 800, large.param_bytes)


def test_the_seed_is_chosen_where_nothing_else_trained() -> None:
    (seed, *_) = random_rows(random.Random(0), 0)
    failed = replace(seed, arch_id="x", round=1, measured_accuracy=None, status=Status.DIVERGED)
    assert best_row([seed, failed], OBJECTIVE) is seed
    assert front_of([failed], OBJECTIVE) == ()


def test_the_choice_keeps_to_the_budget() -> None:
    small = replace(ROWS[0], arch_id="small", param_bytes=500, minimum_bytes=100, measured_accuracy=0.5)
    large = replace(ROWS[0], arch_id="large", param_bytes=900, minimum_bytes=100, measured_accuracy=0.99)
    assert best_row([small, large], OBJECTIVE).arch_id == "large"
    told = replace(OBJECTIVE, max_param_bytes=899)
    assert best_row([small, large], told).arch_id == "small"
    assert [row.arch_id for row in front_of([small, large], told)] == ["small"]
    with pytest.raises(RecordError, match="expected a trained network within the budget"):
        best_row([small, large], replace(OBJECTIVE, max_param_bytes=499))
