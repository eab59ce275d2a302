"""The steps of a round, against hand-worked tables and brute force."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from memnas_core.architecture_json import from_json
from memnas_core.budget import fits
from memnas_core.choice import round_winner
from memnas_core.config import ControllerSettings
from memnas_core.contenders import Base, Generation, Ranking
from memnas_core.controller import Controller
from memnas_core.examples import Example
from memnas_core.grow_trim import count_growths, count_trims
from memnas_core.measure import measure
from memnas_core.metric import Performance
from memnas_core.records import Status
from memnas_core.result_folder import SearchFolder
from memnas_core.round_summary import completion, summarise
from memnas_core.search import generate_round, rank_round, rerank, seed_contender
from tests.core.random_architectures import bare_architecture, random_walk
from tests.core.round_by_hand import (
    BASE,
    CANDIDATES,
    CONTENDERS,
    COUNTS,
    OBJECTIVE,
    RECORDS,
    ROWS,
    SEARCH,
    SEED,
    record,
)
from tests.core.small_search import SHAPE, SmallSearch, small_settings


def test_generate_round() -> None:
    known = {candidate.arch_id for candidate in CANDIDATES[::3]}
    generation = generate_round(SEED, 4, SHAPE, 10, OBJECTIVE, known, SEARCH)
    assert [c.arch_id for c in generation.candidates] == [c.arch_id for c in CANDIDATES if c.arch_id not in known]
    assert {(c.round, c.parent_id) for c in generation.candidates} == {(4, SEED.arch_id)}
    assert (generation.counts.grown, generation.counts.trimmed) == (count_growths(SEED), count_trims(SEED))
    assert generation.counts.unique == len(generation.candidates)
    for candidate, memory in zip(generation.candidates[:40], generation.memory[:40], strict=True):
        assert memory == measure(candidate.architecture, SHAPE, 10, 4, 4)
    narrow = replace(OBJECTIVE, weight_bytes=1, activation_bytes=2)
    (first, *_) = generate_round(SEED, 4, SHAPE, 10, narrow, known, SEARCH).memory
    assert first == measure(generation.candidates[0].architecture, SHAPE, 10, 1, 2)


TIGHT_LIMITS = (
    {"max_param_bytes": 5000},
    {"max_activation_bytes": 4 * 4 * 64 * 2},
    {"max_total_bytes": 7000},
    {"max_param_bytes": 4000, "max_activation_bytes": 2500, "activation_convention": "arena"},
)


@pytest.mark.parametrize("limits", TIGHT_LIMITS, ids=" ".join)
def test_a_round_near_a_limit_has_enough_candidates(limits: dict[str, int]) -> None:
    """A search whose base grows until it stands at the limit: the largest of those trained wins each round."""
    objective = replace(OBJECTIVE, **limits)  # type: ignore[arg-type]
    first = seed_contender(SEED, SHAPE, 10, objective)
    assert fits(first.memory, objective)
    base, known, trimmed_on = first.candidate.architecture, {first.candidate.arch_id}, 0
    for number in range(1, 5):
        generation = generate_round(base, number, SHAPE, 10, objective, known, SEARCH)
        assert len(generation.candidates) >= SEARCH.top_k
        ids = [candidate.arch_id for candidate in generation.candidates]
        assert len({*ids} - known) == len(ids)
        for candidate, memory in zip(generation.candidates, generation.memory, strict=True):
            assert fits(memory, objective)
            assert memory == measure(candidate.architecture, SHAPE, 10, 4, 4)
        trimmed_on += generation.trimmed_on
        assert generation.over_budget
        ranking = rank_round(generation, None, BASE, objective, seed=number)
        top = ranking.top(SEARCH.top_k)
        known |= {contender.candidate.arch_id for contender in top}
        base = max(top, key=lambda c: c.memory.param_bytes + c.memory.minimum_bytes).candidate.architecture
    assert trimmed_on, "the limit is so tight that one move does not give enough"


def test_another_seed_trims_on_in_another_way() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=3500)
    base = seed_contender(SEED, SHAPE, 10, objective).candidate.architecture
    found = [
        [c.arch_id for c in generate_round(base, 1, SHAPE, 10, objective, (), replace(SEARCH, seed=n)).candidates]
        for n in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_without_trimming_nothing_is_trimmed_on() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=3500)
    base = seed_contender(SEED, SHAPE, 10, objective).candidate.architecture
    generation = generate_round(base, 1, SHAPE, 10, objective, (), replace(SEARCH, moves="grow"))
    assert generation.trimmed_on == 0
    assert all(candidate.move.startswith("grow") for candidate in generation.candidates)


def test_a_round_without_candidates_ends_the_search() -> None:
    """Only the smallest network fits, and it was trained."""
    smallest = bare_architecture((1, 2), 4)
    memory = measure(smallest, SHAPE, 10, 4, 4)
    objective = replace(OBJECTIVE, max_total_bytes=memory.param_bytes + memory.minimum_bytes)
    seed = seed_contender(SEED, SHAPE, 10, objective)
    assert seed.candidate.architecture == smallest
    assert seed.candidate.move.startswith("seed + ")
    every = replace(SEARCH, top_k=10**6)
    others = generate_round(smallest, 1, SHAPE, 10, objective, (), every).candidates  # with as few bytes
    ids = {seed.candidate.arch_id, *(candidate.arch_id for candidate in others)}
    generation = generate_round(smallest, 1, SHAPE, 10, objective, ids, SEARCH)
    base = Base(smallest, smallest.arch_id, Performance(0.5, memory.minimum_bytes, memory.param_bytes))
    controller = trained_controller("accuracy", [Example(smallest, 0.5), Example(SEED, 0.6)])
    ranking = rank_round(generation, controller, base, objective, seed=0)
    assert ranking.contenders == []
    rows = rerank(ranking, {}, base, objective)
    assert rows == ()
    assert round_winner(rows, base, objective) == base
    summary = summarise(1, base, base, ranking.counts, rows, [], started=0, now=1)
    assert summary.winner_move == "none, no untried network fits the budget"
    assert completion(replace(SEARCH, patience=None), smallest, [replace(summary, round=0), summary], 0) == (
        "no untried network near the base fits the budget (objective)"
    )
    going_on = replace(summary, candidates=3)
    assert completion(replace(SEARCH, patience=None), smallest, [replace(summary, round=0), going_on], 0) is None


def test_a_search_without_a_budget_is_what_it_was_before_there_were_budgets(tmp_path: Path) -> None:
    """The digest is of the tables that the commit before budgets (192a5b1) made of this search."""
    search = SmallSearch(small_settings(tmp_path), SearchFolder(tmp_path / "search"))
    search.round([0.5])
    for number in range(3):
        search.round([0.6 + 0.01 * number, None, 0.55 + 0.03 * number, 0.7 - 0.02 * number])
    rows = [asdict(row) for row in search.rows]
    for row in rows:  # columns that came later
        assert row.pop("arena_bytes")
        del row["training_key"]
    tables = json.dumps([rows, [asdict(summary) for summary in search.rounds]], sort_keys=True)
    assert hashlib.sha256(tables.encode()).hexdigest() == (
        "14c1d74ec05530fa54edca4f92d44fa4bae18b741ca2873ae5825d07f82b196a"
    )


def test_growing_alone_makes_and_counts_the_grown_only() -> None:
    """The base has two cells, of which trimming and cutting make networks that growing does not."""
    base = next(c.architecture for c in CANDIDATES if c.move == "grow 0:conv_3x3 1:max_pool_3x3 concat")
    every = generate_round(base, 2, SHAPE, 10, OBJECTIVE, (), SEARCH)
    known = {c.arch_id for c in every.candidates[::7]}
    found = generate_round(base, 2, SHAPE, 10, OBJECTIVE, known, replace(SEARCH, moves="grow"))
    # |I| = 3 of Eq. 1; half of the new cells are not in the block's output and feed nothing
    assert (found.counts.grown, found.counts.trimmed, found.counts.cut) == (3**2 * 7**2 * 2**2, 0, 0)
    assert found.counts.invalid == 882
    grown = [c for c in every.candidates if len(c.architecture.blocks[0].cells) == 3]
    assert 0 < len(grown) < len(every.candidates)
    assert [c.arch_id for c in found.candidates] == [c.arch_id for c in grown if c.arch_id not in known]
    assert found.counts.unique == len(found.candidates)
    memory = {c.arch_id: m for c, m in zip(every.candidates, every.memory, strict=True)}
    assert list(found.memory) == [memory[c.arch_id] for c in found.candidates]


def test_the_seed_is_the_only_contender_of_round_0() -> None:
    found = seed_contender(SEED, SHAPE, 10, OBJECTIVE)
    assert (found.candidate.arch_id, found.candidate.parent_id, found.candidate.round) == (SEED.arch_id, None, 0)
    assert found.memory == measure(SEED, SHAPE, 10, 4, 4)
    assert (found.predicted_rank, found.predicted_score, found.predicted_accuracy) == (1, None, None)


def order(ranking: Ranking) -> list[str]:
    return [contender.candidate.arch_id for contender in ranking.contenders]


def test_without_a_controller_the_order_is_random_and_seeded() -> None:
    generation = generate_round(SEED, 1, SHAPE, 10, OBJECTIVE, (), SEARCH)
    given = [candidate.arch_id for candidate in generation.candidates]
    first, again, other = (rank_round(generation, None, BASE, OBJECTIVE, seed) for seed in (1, 1, 2))
    assert order(first) == order(again)
    assert order(first) != order(other)
    assert order(first) != given
    assert sorted(order(first)) == sorted(given)
    assert [contender.predicted_rank for contender in first.contenders] == list(range(1, len(given) + 1))
    assert {(c.predicted_score, c.predicted_accuracy) for c in first.contenders} == {(None, None)}
    assert first.counts == generation.counts
    memory = dict(zip(given, generation.memory, strict=True))
    assert all(c.memory == memory[c.candidate.arch_id] for c in first.contenders)
    assert list(first.top(3)) == list(first.contenders[:3])
    assert len(first.top(10**6)) == len(given)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    rng = random.Random(0)
    return [Example(random_walk(rng, 4, (1, 2), 4), 0.7 + 0.01 * n) for n in range(12)]


def trained_controller(target: str, examples: Sequence[Example]) -> Controller:
    return Controller.train(ControllerSettings("paper", target, 8, 8, 5, 0.01), examples, 0)  # type: ignore[arg-type]


def test_the_order_follows_predicted_accuracy_and_known_bytes(examples: list[Example]) -> None:
    """Eq. 4 by hand: half the gain in accuracy, less half the growth of both memory figures."""
    controller = trained_controller("accuracy", examples)
    candidates = CANDIDATES[:60]
    memory = [measure(candidate.architecture, SHAPE, 10, 4, 4) for candidate in candidates]
    generation = Generation(candidates, memory, COUNTS)
    ranking = rank_round(generation, controller, BASE, OBJECTIVE, seed=0)
    predicted = dict(
        zip(
            [candidate.arch_id for candidate in candidates],
            controller.predict([candidate.architecture for candidate in candidates]).tolist(),
            strict=True,
        )
    )
    for found in ranking.contenders:
        accuracy = predicted[found.candidate.arch_id]
        y = (
            0.5 * (accuracy - 0.8) / 0.8
            - 0.5 * (found.memory.minimum_bytes - 1000) / 1000
            - 0.5 * (found.memory.param_bytes - 2000) / 2000
        )
        assert found.predicted_accuracy == pytest.approx(accuracy)
        assert found.predicted_score == pytest.approx(y)
        assert found.memory == measure(found.candidate.architecture, SHAPE, 10, 4, 4)
    scores = [found.predicted_score or 0.0 for found in ranking.contenders]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 10
    assert [found.predicted_rank for found in ranking.contenders] == list(range(1, 61))
    assert sorted(order(ranking)) == sorted(predicted)
    assert order(rank_round(generation, controller, BASE, OBJECTIVE, seed=1)) == order(ranking)


def test_the_order_follows_a_predicted_score(examples: list[Example]) -> None:
    controller = trained_controller("metric", examples)
    candidates = CANDIDATES[:30]
    memory = [measure(candidate.architecture, SHAPE, 10, 4, 4) for candidate in candidates]
    ranking = rank_round(Generation(candidates, memory, COUNTS), controller, BASE, OBJECTIVE, seed=0)
    predicted = controller.predict([candidate.architecture for candidate in candidates])
    assert order(ranking) == [candidates[i].arch_id for i in np.argsort(-predicted, kind="stable")]
    assert [c.predicted_score for c in ranking.contenders] == pytest.approx(sorted(predicted, reverse=True))
    assert {c.predicted_accuracy for c in ranking.contenders} == {None}


# -- re-rank ------------------------------------------------------------------------------------------------


def test_rerank_by_hand() -> None:
    assert [row.predicted_rank for row in ROWS] == [5, 3, 6, 2, 1, 4, 7]
    assert [row.measured_rank for row in ROWS] == [1, 2, 3, 4, None, None, None]
    assert [row.measured_score for row in ROWS[:4]] == pytest.approx([0.15, 0.025, 0.025, -0.05])
    assert [row.measured_score for row in ROWS[4:]] == [None] * 3
    assert [row.measured_accuracy for row in ROWS] == [0.80, 0.84, 0.84, 0.88, None, None, None]
    assert [row.is_winner for row in ROWS] == [True] + [False] * 6


def test_failed_candidates_keep_their_rows() -> None:
    trained, generated = Status.TRAINED, Status.GENERATED
    assert [row.status for row in ROWS] == [trained] * 4 + [Status.DIVERGED, generated, Status.OUT_OF_MEMORY]
    assert [row.training_seconds for row in ROWS] == [2, 2, 2, 2, 2, None, 2]
    assert [row.images_seen for row in ROWS] == [100, 100, 100, 100, 100, 0, 100]


def test_a_row_says_all_of_its_contender() -> None:
    row, source = ROWS[0], CONTENDERS[4]
    assert (row.arch_id, row.parent_id, row.move) == (CANDIDATES[5].arch_id, SEED.arch_id, CANDIDATES[5].move)
    assert (row.round, row.predicted_score, row.predicted_accuracy) == (1, 0.4, None)
    assert from_json(row.architecture) == CANDIDATES[5].architecture
    assert (row.param_bytes, row.paper_bytes, row.sequential_bytes, row.minimum_bytes) == (1600, 907, 905, 900)
    assert row.memory == source.memory


def test_the_convention_and_lambda_of_the_settings_count() -> None:
    """Under `paper` the base is compared with 7 bytes more; with lambda = 1 only accuracy counts."""
    paper = rerank(Ranking(CONTENDERS, COUNTS), RECORDS, BASE, replace(OBJECTIVE, activation_convention="paper"))
    assert paper[0].measured_score == pytest.approx(0.5 * (93 / 1000 + 0.2))
    accuracy_only = rerank(Ranking(CONTENDERS, COUNTS), RECORDS, BASE, replace(OBJECTIVE, accuracy_weight=1.0))
    assert [row.predicted_rank for row in accuracy_only[:4]] == [2, 3, 6, 5]
    memory_only = rerank(Ranking(CONTENDERS, COUNTS), RECORDS, BASE, replace(OBJECTIVE, accuracy_weight=0.0))
    assert [row.predicted_rank for row in memory_only[:4]] == [5, 3, 6, 2]


def test_round_0_scores_0() -> None:
    start = seed_contender(SEED, SHAPE, 10, OBJECTIVE)
    (row,) = rerank(Ranking([start], COUNTS), {SEED.arch_id: record(start.candidate, 0.5)}, None, OBJECTIVE)
    assert (row.measured_score, row.measured_rank, row.is_winner, row.parent_id) == (0.0, 1, True, "")
