"""The steps of a round, against hand-worked tables and brute force."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from memnas_core.controller.examples import Example
from memnas_core.controller.interface import Controller
from memnas_core.files.flat import flat
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.objective.budget import fits
from memnas_core.objective.score import Performance
from memnas_core.records.trainings import Status
from memnas_core.results.folder import SearchFolder
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.choice import round_winner
from memnas_core.search.generation import first_candidate, generate_round
from memnas_core.search.score_aim import ScoreComparison, rank_by_score
from memnas_core.search.steps import generate, rank, ranked_rows
from memnas_core.search.summary import completion, summarise
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space.architecture_json import from_json
from memnas_core.space.layers import Workload
from tests.core.random_architectures import bare_architecture, random_walk
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
from tests.core.small_search import SHAPE, WORKLOAD, SmallSearch, small_settings
from tests.core.space.move_counts import count_growths, count_trims


def test_generate_round() -> None:
    known = {candidate.arch_id for candidate in CANDIDATES[::3]}
    generation = generate_round(SEED, 4, WORKLOAD, OBJECTIVE, known, SEARCH)
    assert [c.arch_id for c in generation.candidates] == [c.arch_id for c in CANDIDATES if c.arch_id not in known]
    assert {(c.round, c.parent_id) for c in generation.candidates} == {(4, SEED.arch_id)}
    assert (generation.counts.grown, generation.counts.trimmed) == (count_growths(SEED), count_trims(SEED))
    assert generation.counts.unique == len(generation.candidates)
    for candidate, memory in zip(generation.candidates[:40], generation.memory[:40], strict=True):
        assert memory == measure(candidate.architecture, Workload(SHAPE, 10, 4, 4))
    narrow = replace(OBJECTIVE, weight_bytes=1, activation_bytes=2)
    (first, *_) = generate_round(SEED, 4, Workload(SHAPE, 10, 1, 2), narrow, known, SEARCH).memory
    assert first == measure(generation.candidates[0].architecture, Workload(SHAPE, 10, 1, 2))


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
    first, memory = first_candidate(SEED, WORKLOAD, objective)
    assert fits(memory, objective)
    base, known, trimmed_on = first.architecture, {first.arch_id}, 0
    for number in range(1, 5):
        generation = generate_round(base, number, WORKLOAD, objective, known, SEARCH)
        assert len(generation.candidates) >= SEARCH.top_k
        ids = [candidate.arch_id for candidate in generation.candidates]
        assert len({*ids} - known) == len(ids)
        for candidate, memory in zip(generation.candidates, generation.memory, strict=True):
            assert fits(memory, objective)
            assert memory == measure(candidate.architecture, Workload(SHAPE, 10, 4, 4))
        trimmed_on += generation.trimmed_on
        assert generation.over_budget
        ranking = rank_by_score(generation, None, BASE, objective, seed=number)
        top = ranking.top(SEARCH.top_k)
        known |= {ranked.arch_id for ranked in top}
        base = max(top, key=lambda c: c.memory.param_bytes + c.memory.minimum_bytes).candidate.architecture
    assert trimmed_on, "the limit is so tight that one move does not give enough"


def test_another_seed_trims_on_in_another_way() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=3500)
    base = first_candidate(SEED, WORKLOAD, objective)[0].architecture
    found = [
        [c.arch_id for c in generate_round(base, 1, WORKLOAD, objective, (), replace(SEARCH, seed=n)).candidates]
        for n in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_without_trimming_nothing_is_trimmed_on() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=3500)
    base = first_candidate(SEED, WORKLOAD, objective)[0].architecture
    generation = generate_round(base, 1, WORKLOAD, objective, (), replace(SEARCH, moves="grow"))
    assert generation.trimmed_on == 0
    assert all(candidate.is_grown for candidate in generation.candidates)


def test_a_round_without_candidates_ends_the_search() -> None:
    """Only the smallest network fits, and it was trained."""
    smallest = bare_architecture((1, 2), 4)
    memory = measure(smallest, Workload(SHAPE, 10, 4, 4))
    objective = replace(OBJECTIVE, max_total_bytes=memory.param_bytes + memory.minimum_bytes)
    seed, _ = first_candidate(SEED, WORKLOAD, objective)
    assert seed.architecture == smallest
    assert seed.words.startswith("seed + ")
    every = replace(SEARCH, top_k=10**6)
    others = generate_round(smallest, 1, WORKLOAD, objective, (), every).candidates  # with as few bytes
    ids = {seed.arch_id, *(candidate.arch_id for candidate in others)}
    generation = generate_round(smallest, 1, WORKLOAD, objective, ids, SEARCH)
    base = Base(smallest, smallest.arch_id, Performance(0.5, memory.minimum_bytes, memory.param_bytes))
    controller = trained_controller("accuracy", [Example(smallest, 0.5), Example(SEED, 0.6)])
    ranking = rank_by_score(generation, controller, base, objective, seed=0)
    assert ranking.candidates == []
    rows = ranked_rows(ranking, {}, COMPARISON, objective)
    assert rows == ()
    assert round_winner(rows, base, objective) == base
    summary = summarise(1, base, base, ranking.counts, rows, [], started=0, now=1)
    assert summary.winner_move == "none, no untried network fits the budget"
    assert completion(replace(SEARCH, patience=None), [replace(summary, round=0), summary], 0, None) == (
        "no untried network near the base fits the budget (objective)"
    )
    going_on = replace(summary, candidates=3)
    assert completion(replace(SEARCH, patience=None), [replace(summary, round=0), going_on], 0, None) is None


def test_a_search_without_a_budget_is_what_it_was_before_there_were_budgets(tmp_path: Path) -> None:
    """The digest is of the tables that the commit before budgets (192a5b1) made of this search."""
    search = SmallSearch(small_settings(tmp_path), SearchFolder(tmp_path / "search"))
    search.round([0.5])
    for number in range(3):
        search.round([0.6 + 0.01 * number, None, 0.55 + 0.03 * number, 0.7 - 0.02 * number])
    rows = [flat(row) for row in search.rows]
    for row in rows:  # columns that came later
        assert row.pop("arena_bytes")
        del row["training_key"]
    tables = json.dumps([rows, [asdict(summary) for summary in search.rounds]], sort_keys=True)
    assert hashlib.sha256(tables.encode()).hexdigest() == (
        "14c1d74ec05530fa54edca4f92d44fa4bae18b741ca2873ae5825d07f82b196a"
    )


def test_growing_alone_makes_and_counts_the_grown_only() -> None:
    """The base has two cells, of which trimming and cutting make networks that growing does not."""
    base = next(c.architecture for c in CANDIDATES if c.words == "grow 0:conv_3x3 1:max_pool_3x3 concat")
    every = generate_round(base, 2, WORKLOAD, OBJECTIVE, (), SEARCH)
    known = {c.arch_id for c in every.candidates[::7]}
    found = generate_round(base, 2, WORKLOAD, OBJECTIVE, known, replace(SEARCH, moves="grow"))
    # |I| = 3 of Eq. 1; half of the new cells are not in the block's output and feed nothing
    assert (found.counts.grown, found.counts.trimmed, found.counts.cut) == (3**2 * 7**2 * 2**2, 0, 0)
    assert found.counts.invalid == 882
    grown = [c for c in every.candidates if len(c.architecture.blocks[0].cells) == 3]
    assert 0 < len(grown) < len(every.candidates)
    assert [c.arch_id for c in found.candidates] == [c.arch_id for c in grown if c.arch_id not in known]
    assert found.counts.unique == len(found.candidates)
    memory = {c.arch_id: m for c, m in zip(every.candidates, every.memory, strict=True)}
    assert list(found.memory) == [memory[c.arch_id] for c in found.candidates]


def test_the_seed_is_the_only_candidate_of_round_0(tmp_path: Path) -> None:
    state = SmallSearch(small_settings(tmp_path), SearchFolder(tmp_path / "search")).state
    (found,) = rank(state, generate(state, 0), 0).candidates
    assert (found.arch_id, found.candidate.parent_id, found.candidate.round) == (SEED.arch_id, None, 0)
    assert found.memory == measure(SEED, Workload(SHAPE, 10, 4, 4))
    assert (found.predicted_rank, found.predicted_score, found.predicted_accuracy) == (1, None, None)


def order(ranking: Ranking) -> list[str]:
    return [ranked.arch_id for ranked in ranking.candidates]


def test_without_a_controller_the_order_is_random_and_seeded() -> None:
    generation = generate_round(SEED, 1, WORKLOAD, OBJECTIVE, (), SEARCH)
    given = [candidate.arch_id for candidate in generation.candidates]
    first, again, other = (rank_by_score(generation, None, BASE, OBJECTIVE, seed) for seed in (1, 1, 2))
    assert order(first) == order(again)
    assert order(first) != order(other)
    assert order(first) != given
    assert sorted(order(first)) == sorted(given)
    assert [ranked.predicted_rank for ranked in first.candidates] == list(range(1, len(given) + 1))
    assert {(c.predicted_score, c.predicted_accuracy) for c in first.candidates} == {(None, None)}
    assert first.counts == generation.counts
    memory = dict(zip(given, generation.memory, strict=True))
    assert all(c.memory == memory[c.candidate.arch_id] for c in first.candidates)
    assert list(first.top(3)) == list(first.candidates[:3])
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
    memory = [measure(candidate.architecture, Workload(SHAPE, 10, 4, 4)) for candidate in candidates]
    generation = Generation(candidates, memory, COUNTS)
    ranking = rank_by_score(generation, controller, BASE, OBJECTIVE, seed=0)
    predicted = dict(
        zip(
            [candidate.arch_id for candidate in candidates],
            controller.predict([candidate.architecture for candidate in candidates]).tolist(),
            strict=True,
        )
    )
    for found in ranking.candidates:
        accuracy = predicted[found.candidate.arch_id]
        y = (
            0.5 * (accuracy - 0.8) / 0.8
            - 0.5 * (found.memory.minimum_bytes - 1000) / 1000
            - 0.5 * (found.memory.param_bytes - 2000) / 2000
        )
        assert found.predicted_accuracy == pytest.approx(accuracy)
        assert found.predicted_score == pytest.approx(y)
        assert found.memory == measure(found.candidate.architecture, Workload(SHAPE, 10, 4, 4))
    scores = [found.predicted_score or 0.0 for found in ranking.candidates]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 10
    assert [found.predicted_rank for found in ranking.candidates] == list(range(1, 61))
    assert sorted(order(ranking)) == sorted(predicted)
    assert order(rank_by_score(generation, controller, BASE, OBJECTIVE, seed=1)) == order(ranking)


def test_the_order_follows_a_predicted_score(examples: list[Example]) -> None:
    controller = trained_controller("metric", examples)
    candidates = CANDIDATES[:30]
    memory = [measure(candidate.architecture, Workload(SHAPE, 10, 4, 4)) for candidate in candidates]
    ranking = rank_by_score(Generation(candidates, memory, COUNTS), controller, BASE, OBJECTIVE, seed=0)
    predicted = controller.predict([candidate.architecture for candidate in candidates])
    assert order(ranking) == [candidates[i].arch_id for i in np.argsort(-predicted, kind="stable")]
    assert [c.predicted_score for c in ranking.candidates] == pytest.approx(sorted(predicted, reverse=True))
    assert {c.predicted_accuracy for c in ranking.candidates} == {None}


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


def test_a_row_says_all_of_its_candidate() -> None:
    row, source = ROWS[0], RANKED[4]
    assert (row.arch_id, row.parent_id, row.move) == (CANDIDATES[5].arch_id, SEED.arch_id, CANDIDATES[5].words)
    assert (row.round, row.predicted_score, row.predicted_accuracy) == (1, 0.4, None)
    assert from_json(row.architecture) == CANDIDATES[5].architecture
    assert row.memory == source.memory == MemoryFigures(1600, 907, 905, 900)


def test_the_convention_and_lambda_of_the_settings_count() -> None:
    """Under `paper` the base is compared with 7 bytes more; with lambda = 1 only accuracy counts."""
    ranking = Ranking(RANKED, COUNTS)
    paper = ranked_rows(ranking, RECORDS, COMPARISON, replace(OBJECTIVE, activation_convention="paper"))
    assert paper[0].measured_score == pytest.approx(0.5 * (93 / 1000 + 0.2))
    accuracy_only = ranked_rows(ranking, RECORDS, replace(COMPARISON, accuracy_weight=1.0), OBJECTIVE)
    assert [row.predicted_rank for row in accuracy_only[:4]] == [2, 3, 6, 5]
    memory_only = ranked_rows(ranking, RECORDS, replace(COMPARISON, accuracy_weight=0.0), OBJECTIVE)
    assert [row.predicted_rank for row in memory_only[:4]] == [5, 3, 6, 2]


def test_round_0_scores_0() -> None:
    start = RankedCandidate(*first_candidate(SEED, WORKLOAD, OBJECTIVE), 1, None, None)
    done = {SEED.arch_id: record(start.candidate, 0.5)}
    (row,) = ranked_rows(Ranking([start], COUNTS), done, ScoreComparison(None, 0.5), OBJECTIVE)
    assert (row.measured_score, row.measured_rank, row.is_winner, row.parent_id) == (0.0, 1, True, "")
