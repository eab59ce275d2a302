"""The summary of a round and the end of a search, by hand and by brute force."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status, TrainingRecord, joined
from memnas_core.search.candidates import Base, RankedCandidate, Ranking
from memnas_core.search.choice import round_winner
from memnas_core.search.generation import first_candidate
from memnas_core.search.score_aim import ScoreAim, ScoreComparison
from memnas_core.search.state import SearchState
from memnas_core.search.steps import ranked_rows
from memnas_core.search.summary import completion, predicted_tau, summarise
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import MoveCounts
from tests.core.search.round_by_hand import (
    BASE,
    CANDIDATES,
    COMPARISON,
    COUNTS,
    OBJECTIVE,
    RANKED,
    RECORDS,
    ROWS,
    SEARCH,
    SEED,
    record,
)
from tests.core.small_search import INFO, WORKLOAD, small_settings

# -- the summary of a round ----------------------------------------------------------------------------------


def summary_of(records: Sequence[TrainingRecord], started: float = 0.0, now: float = 100.0) -> RoundSummary:
    after = round_winner(ROWS, BASE, OBJECTIVE)
    return summarise(1, BASE, after, COUNTS, ROWS, records, started, now)


def test_summary_by_hand() -> None:
    found = summary_of(list(RECORDS.values()), started=-10.0, now=30.0)
    assert (found.round, found.base_id, found.winner_id) == (1, SEED.arch_id, CANDIDATES[5].arch_id)
    assert (found.winner_move, found.score) == (CANDIDATES[5].words, pytest.approx(0.15))
    assert (found.accuracy, found.param_bytes, found.activation_bytes) == (0.80, 1600, 900)
    assert found.cells == max(len(block.cells) for block in CANDIDATES[5].architecture.blocks) == 2
    assert (found.grown, found.trimmed, found.cut) == (COUNTS.grown, COUNTS.trimmed, COUNTS.cut)
    assert (found.candidates, found.trained, found.failed) == (7, 4, 2)
    assert found.images_seen == 600
    assert (found.wall_seconds, found.training_cpu_seconds) == (40.0, 0.0)
    # predicted 0.4 0.6 0.3 0.7 beside measured 0.15 0.025 0.025 -0.05: one pair is tied, four of the other
    # five are reversed: tau-b = (1 - 4) / sqrt(6 * 5)
    assert found.rank_tau == pytest.approx(-3 / 30**0.5)


def test_cpu_time_is_no_wall_time() -> None:
    """Two trainings of 4 s each shared a core; a third one's worker was lost, and nobody knows its CPU time."""
    shared = [replace(record(CANDIDATES[1], 0.5, started=0.0, seconds=4.0), cpu_seconds=cpu) for cpu in (1.5, 2.25)]
    lost = record(CANDIDATES[2], None, Status.WORKER_LOST, seconds=30.0)
    assert summary_of([*shared, lost]).training_cpu_seconds == 3.75
    assert joined([*shared, lost]).cpu_seconds == 3.75


def test_summary_of_round_0() -> None:
    start = RankedCandidate(*first_candidate(SEED, WORKLOAD, OBJECTIVE), 1, None, None)
    done = record(start.candidate, 0.5)
    ranking = Ranking([start], MoveCounts(0, 0, 0, 0, 0))
    rows = ranked_rows(ranking, {SEED.arch_id: done}, ScoreComparison(None, 0.5), OBJECTIVE)
    after = round_winner(rows, None, OBJECTIVE)
    found = summarise(0, None, after, MoveCounts(0, 0, 0, 0, 0), rows, [done], 0.0, 4.0)
    assert (found.base_id, found.winner_id, found.winner_move) == (SEED.arch_id, SEED.arch_id, "seed")
    assert (found.score, found.rank_tau, found.trained, found.failed) == (0.0, None, 1, 0)
    assert found.overhead_share == pytest.approx(0.5)


def test_summary_where_every_training_failed() -> None:
    rows = ranked_rows(Ranking(RANKED[:1], COUNTS), RECORDS, COMPARISON, OBJECTIVE)
    found = summarise(3, BASE, BASE, COUNTS, rows, [RECORDS[CANDIDATES[1].arch_id]], 0.0, 10.0)
    assert (found.base_id, found.winner_id, found.accuracy) == (SEED.arch_id, SEED.arch_id, 0.8)
    assert (found.trained, found.failed, found.score) == (0, 1, 0.0)
    assert "every training failed" in found.winner_move


def test_seconds_with_a_training_by_brute_force() -> None:
    """Spans on a grid of half seconds; some began before the round, in a process that was killed."""
    rng = random.Random(0)
    for _ in range(300):
        spans = [(rng.randint(-10, 45) / 2, rng.randint(0, 20) / 2) for _ in range(rng.randint(0, 6))]
        records = [record(CANDIDATES[1], 0.5, started=begin, seconds=length) for begin, length in spans]
        ticks = [tick / 2 for tick in range(40)]  # the round lasts from 0 to 20
        busy = sum(any(begin <= tick < begin + length for begin, length in spans) for tick in ticks) / 2
        found = summary_of(records, 0.0, 20.0)
        assert found.training_wall_seconds == pytest.approx(busy), spans
        assert found.overhead_share == pytest.approx(1 - busy / 20)


def rows_with(figures: Sequence[tuple[float | None, float | None]]) -> list[CandidateRow]:
    return [replace(ROWS[0], predicted_score=p, measured_score=m) for p, m in figures]


@pytest.mark.parametrize(
    ("figures", "tau"),
    [
        ([], None),
        ([(0.1, 0.2)], None),
        ([(0.1, 0.2), (0.1, 0.3)], None),  # one prediction orders nothing
        ([(0.1, 0.2), (0.2, 0.2)], None),
        ([(0.1, 0.2), (0.2, 0.3)], 1.0),
        ([(0.1, 0.3), (0.2, 0.2)], -1.0),
        # 4 3 2 1 beside 4 2 3 1: of six pairs one is reversed
        ([(0.4, 4), (0.3, 2), (0.2, 3), (0.1, 1)], 4 / 6),
        # 1 2 2 3 beside 1 2 3 4: five pairs agree, one is tied on one side
        ([(0.1, 1), (0.2, 2), (0.2, 3), (0.3, 4)], 5 / 30**0.5),
        # what was not predicted or not trained does not count
        ([(0.4, 4), (0.3, 2), (None, 9), (0.9, None), (0.2, 3), (0.1, 1)], 4 / 6),
    ],
)
def test_rank_tau_by_hand(figures: list[tuple[float | None, float | None]], tau: float | None) -> None:
    assert predicted_tau(rows_with(figures)) == (None if tau is None else pytest.approx(tau))


# -- completion -----------------------------------------------------------------------------------------------

GOING_ON = replace(SEARCH, top_k=4, rounds=10)


def rounds_with(*scores: float) -> list[RoundSummary]:
    """Return round 0 and a round with each score."""
    plain = summary_of(())
    return [replace(plain, round=number, score=score) for number, score in enumerate([0.0, *scores])]


def wide(cells: int) -> Architecture:
    """Return an architecture that has so many cells in its second block, and fewer in its first."""
    first, second = SEED.blocks
    return replace(SEED, blocks=(first, replace(second, cells=second.cells * cells)))


@pytest.mark.parametrize(
    ("changes", "cells", "scores", "images", "reason"),
    [
        ({}, 1, [], 0, None),
        ({}, 5, [0.1] * 9, 10**9, None),
        ({"rounds": 3}, 1, [0.1] * 2, 0, None),  # round 0 does not count
        ({"rounds": 3}, 1, [0.1] * 3, 0, "search.rounds"),
        ({"rounds": 3}, 1, [0.1] * 4, 0, "search.rounds"),
        ({"max_cells": 4}, 3, [0.1], 0, None),
        ({"max_cells": 4}, 4, [0.1], 0, "search.max_cells"),
        ({"max_cells": 1}, 1, [], 0, "search.max_cells"),
        ({"max_training_images": 500}, 1, [0.1], 499, None),
        ({"max_training_images": 500}, 1, [0.1], 500, "search.max_training_images"),
        ({"patience": 2}, 1, [], 0, None),  # round 0's score is 0 and does not count
        ({"patience": 2}, 1, [-0.1], 0, None),
        ({"patience": 2}, 1, [0.1, -0.1], 0, None),
        ({"patience": 2}, 1, [-0.1, 0.1, -0.1], 0, None),
        ({"patience": 2}, 1, [0.1, -0.1, 0.0], 0, "search.patience"),
        ({"patience": 1}, 1, [0.1, 0.1], 0, None),
        ({"patience": 1}, 1, [0.1, 0.0], 0, "search.patience"),
    ],
)
def test_completion(
    changes: dict[str, int], cells: int, scores: list[float], images: int, reason: str | None, tmp_path: Path
) -> None:
    settings = replace(GOING_ON, **changes)
    whole = replace(small_settings(tmp_path), search=settings)
    state = SearchState(whole, tmp_path, INFO, tmp_path)
    base = wide(cells)
    state.chosen.append(Base(base, base.arch_id, BASE.performance))
    aim = ScoreAim(whole, WORKLOAD)
    found = completion(settings, rounds_with(*scores), images, aim.completion(state))
    assert (found is None) if reason is None else (found is not None and reason in found)
