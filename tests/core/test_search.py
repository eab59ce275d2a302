"""The steps of a round and the end of a search, against hand-worked tables and brute force."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from memnas_core.architecture import Architecture, Operation, from_json
from memnas_core.budget import fits
from memnas_core.choice import best_row, front_of, round_winner, trained_of
from memnas_core.config import ControllerSettings, ObjectiveSettings, SearchSettings
from memnas_core.contenders import Base, Contender, Generation, Ranking, performance_of
from memnas_core.controller import Controller
from memnas_core.errors import RecordError, TrainingError
from memnas_core.examples import Example
from memnas_core.grow_trim import Candidate, MoveCounts, count_growths, count_trims, generate, seed_architecture
from memnas_core.measure import MemoryFigures, measure
from memnas_core.metric import Performance
from memnas_core.records import CandidateRow, RoundSummary, Status
from memnas_core.result_folder import SearchFolder
from memnas_core.round_summary import completion, predicted_tau, summarise
from memnas_core.search import generate_round, rank_round, rerank, seed_contender
from memnas_core.training_records import TrainingRecord
from tests.core.random_architectures import bare_architecture, random_walk
from tests.core.small_search import SHAPE, SmallSearch, small_settings

OBJECTIVE = ObjectiveSettings(
    accuracy_weight=0.5,
    activation_convention="minimum",
    weight_bytes=4,
    activation_bytes=4,
    device=None,
    max_param_bytes=None,
    max_activation_bytes=None,
    max_total_bytes=None,
    accuracy_floor=None,
)
SEARCH = SearchSettings(
    seed=0,
    moves="grow_and_trim",
    selection="controller",
    aim="score",
    seed_cells=((Operation.CONV_3X3, Operation.CONV_3X3),),
    seed_rungs=(1.0,),
    weights="fresh",
    warm_learning_rate=None,
    rungs=(1.0,),
    keep=1.0,
    top_k=8,
    rounds=4,
    max_cells=6,
    max_training_images=None,
    patience=None,
)
SEED = seed_architecture((1, 2), 4)
CANDIDATES, COUNTS = generate(SEED, 1)
BASE = Base(SEED, SEED.arch_id, Performance(accuracy=0.8, activation_bytes=1000, param_bytes=2000))


def contender(place: int, activation_bytes: int, param_bytes: int, predicted: float | None = None) -> Contender:
    """Return the candidate at a place of the controller's ranking, with made-up bytes."""
    memory = MemoryFigures(param_bytes, activation_bytes + 7, activation_bytes + 5, activation_bytes)
    return Contender(CANDIDATES[place], memory, place, predicted, None)


def record(
    candidate: Candidate,
    accuracy: float | None,
    status: Status = Status.TRAINED,
    started: float = 0,
    seconds: float = 2,
) -> TrainingRecord:
    return TrainingRecord(candidate.arch_id, status, accuracy, 100, started, seconds, "cpu", "", key="key")


# -- generate and rank ----------------------------------------------------------------------------------------


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


# -- re-rank --------------------------------------------------------------------------------------------------
#
# Base: accuracy 0.8, activations 1000, weights 2000; lambda = 0.5.
#
#   place  accuracy  activations  weights   y = 0.5 da/a - 0.5 (dr/r + dp/p)
#     1    diverged      1000       2000
#     2    0.88 +10%     1100 +10%  2200 +10%   0.05  - 0.10  = -0.05
#     3    0.84  +5%     1000       2000        0.025         =  0.025
#     4    not trained    500       1000
#     5    0.80           900 -10%  1600 -20%   0.15          =  0.15
#     6    0.84  +5%     1000       2000        0.025, as place 3
#     7    out of memory

CONTENDERS = [
    contender(1, 1000, 2000, 0.9),
    contender(2, 1100, 2200, 0.7),
    contender(3, 1000, 2000, 0.6),
    contender(4, 500, 1000, 0.5),
    contender(5, 900, 1600, 0.4),
    contender(6, 1000, 2000, 0.3),
    contender(7, 1000, 2000, 0.2),
]
RECORDS = {
    r.arch_id: r
    for r in [
        record(CANDIDATES[1], None, Status.DIVERGED),
        record(CANDIDATES[2], 0.88),
        record(CANDIDATES[3], 0.84),
        record(CANDIDATES[5], 0.80),
        record(CANDIDATES[6], 0.84),
        record(CANDIDATES[7], None, Status.OUT_OF_MEMORY),
    ]
}
ROWS = rerank(Ranking(CONTENDERS, COUNTS), RECORDS, BASE, OBJECTIVE)


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


# -- the summary of a round -----------------------------------------------------------------------------------


def summary_of(records: Sequence[TrainingRecord], started: float = 0.0, now: float = 100.0) -> RoundSummary:
    after = round_winner(ROWS, BASE, OBJECTIVE)
    return summarise(1, BASE, after, COUNTS, ROWS, records, started, now)


def test_summary_by_hand() -> None:
    found = summary_of(list(RECORDS.values()), started=-10.0, now=30.0)
    assert (found.round, found.base_id, found.winner_id) == (1, SEED.arch_id, CANDIDATES[5].arch_id)
    assert (found.winner_move, found.score) == (CANDIDATES[5].move, pytest.approx(0.15))
    assert (found.accuracy, found.param_bytes, found.activation_bytes) == (0.80, 1600, 900)
    assert found.cells == max(len(block.cells) for block in CANDIDATES[5].architecture.blocks) == 2
    assert (found.grown, found.trimmed, found.cut) == (COUNTS.grown, COUNTS.trimmed, COUNTS.cut)
    assert (found.candidates, found.trained, found.failed) == (7, 4, 2)
    assert found.images_seen == 600
    assert (found.wall_seconds, found.training_cpu_seconds) == (40.0, 12)
    # predicted 0.4 0.6 0.3 0.7 beside measured 0.15 0.025 0.025 -0.05: one pair is tied, four of the other
    # five are reversed: tau-b = (1 - 4) / sqrt(6 * 5)
    assert found.rank_tau == pytest.approx(-3 / 30**0.5)


def test_summary_of_round_0() -> None:
    start = seed_contender(SEED, SHAPE, 10, OBJECTIVE)
    done = record(start.candidate, 0.5)
    rows = rerank(Ranking([start], MoveCounts(0, 0, 0, 0, 0)), {SEED.arch_id: done}, None, OBJECTIVE)
    after = round_winner(rows, None, OBJECTIVE)
    found = summarise(0, None, after, MoveCounts(0, 0, 0, 0, 0), rows, [done], 0.0, 4.0)
    assert (found.base_id, found.winner_id, found.winner_move) == (SEED.arch_id, SEED.arch_id, "seed")
    assert (found.score, found.rank_tau, found.trained, found.failed) == (0.0, None, 1, 0)
    assert found.overhead_share == pytest.approx(0.5)


def test_summary_where_every_training_failed() -> None:
    rows = rerank(Ranking(CONTENDERS[:1], COUNTS), RECORDS, BASE, OBJECTIVE)
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
        assert found.training_cpu_seconds == pytest.approx(sum(length for _, length in spans))
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
def test_completion(changes: dict[str, int], cells: int, scores: list[float], images: int, reason: str | None) -> None:
    found = completion(replace(GOING_ON, **changes), wide(cells), rounds_with(*scores), images)
    assert (found is None) if reason is None else (found is not None and reason in found)


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
