"""The steps of a round that aims at the front: bases, candidates around them, and their order."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.controller.examples import Example
from memnas_core.controller.interface import Controller
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.objective.budget import fits
from memnas_core.objective.floor import Guessing
from memnas_core.objective.front import Front
from memnas_core.objective.score import performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.choice import best_row
from memnas_core.search.front_aim import (
    FrontComparison,
    Neighbourhoods,
    accuracy_floor,
    first_front,
    front_bases,
    rank_for_front,
)
from memnas_core.search.generation import first_generation
from memnas_core.search.steps import promising, ranked_rows
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import MoveKind, apply, edge_cuts, everywhere, generate, growths, seed_architecture

SEED_CELLS = (
    "[[depthwise_3x3, depthwise_5x5], [conv_3x3, depthwise_5x5], [depthwise_5x5, average_pool_3x3], "
    "[conv_3x3, average_pool_3x3]]"
)
SETTINGS: Settings = load_settings(
    Path(__file__).parents[3] / "params.yaml", ["network.strides=[1, 2]", f"search.seed_cells={SEED_CELLS}"]
)
OBJECTIVE = replace(SETTINGS.objective, accuracy_floor=0.5)
SHAPE = Shape(1, 8, 8)
FILTERS = SETTINGS.network.filters
WORKLOAD = Workload(SHAPE, 10, 4, 4)
FIRST = first_generation(SETTINGS.search, SETTINGS.network, WORKLOAD, OBJECTIVE)
SEEDS = [
    RankedCandidate(*pair, rank, None, None)
    for rank, pair in enumerate(zip(FIRST.candidates, FIRST.memory, strict=True), start=1)
]
NEIGHBOURHOODS = Neighbourhoods(SETTINGS.search, OBJECTIVE, WORKLOAD)


def measured(architecture: Architecture) -> MemoryFigures:
    return measure(architecture, WORKLOAD)


def record(arch_id: str, accuracy: float | None) -> TrainingRecord:
    status = Status.DIVERGED if accuracy is None else Status.TRAINED
    return TrainingRecord(arch_id, status, accuracy, 100, 0.0, 1.0, "cpu", "", key=f"key {arch_id}")


def rows_of(accuracies: Sequence[float | None]) -> tuple[CandidateRow, ...]:
    """Return the table of round 0, whose networks got these accuracies."""
    records = {c.candidate.arch_id: record(c.candidate.arch_id, a) for c, a in zip(SEEDS, accuracies, strict=True)}
    comparison = FrontComparison(first_front(FIRST.memory, OBJECTIVE, 10))
    return ranked_rows(Ranking(SEEDS, FIRST.counts), records, comparison, OBJECTIVE)


def test_round_0_has_a_network_for_each_seed_cell() -> None:
    assert len(SEEDS) == len(SETTINGS.search.seed_cells) == 4
    assert len({candidate.arch_id for candidate in FIRST.candidates}) == 4
    twice = replace(SETTINGS.search, seed_cells=(SETTINGS.search.seed_cells[0],) * 2)
    assert len(first_generation(twice, SETTINGS.network, WORKLOAD, OBJECTIVE).candidates) == 1


def test_the_first_winner_covers_most() -> None:
    """All seeds are equally accurate, so that the smallest covers most."""
    rows = rows_of([0.8] * 4)
    smallest = min(SEEDS, key=lambda c: performance_of(c.memory, 0.8, OBJECTIVE).total_bytes)
    assert rows[0].arch_id == smallest.candidate.arch_id
    assert rows[0].is_winner


def test_bases_are_the_front_above_the_floor() -> None:
    sizes = [performance_of(ranked.memory, 0, OBJECTIVE).total_bytes for ranked in SEEDS]
    order = sorted(range(4), key=lambda i: sizes[i])
    accuracies: list[float | None] = [0.0] * 4
    # By size: too inaccurate, on the front, dominated, on the front.
    for place, accuracy in zip(order, (0.4, 0.7, 0.6, 0.8), strict=True):
        accuracies[place] = accuracy
    bases = front_bases(rows_of(accuracies), OBJECTIVE, floor=0.5)
    assert [base.arch_id for base in bases] == [SEEDS[i].candidate.arch_id for i in (order[3], order[1])]
    assert [base.performance.accuracy for base in bases] == [0.8, 0.7]
    assert bases[0].training_key == f"key {bases[0].arch_id}"
    assert front_bases(rows_of(accuracies), OBJECTIVE, floor=0.9) == ()


def unasked() -> Guessing:
    raise AssertionError("the labels are read for the floor `auto` only")


def test_the_floor() -> None:
    assert accuracy_floor(OBJECTIVE, 0.4, 0.51, 10, unasked) == 0.5
    none = replace(OBJECTIVE, accuracy_floor=None)
    assert accuracy_floor(none, 0.9, 0.95, 10, unasked) == pytest.approx(0.1 + 0.8 * 0.8)
    auto, guessing = replace(OBJECTIVE, accuracy_floor="auto"), Guessing(0.4, 100)
    assert accuracy_floor(auto, 0.5, 0.6, 10, lambda: guessing) == pytest.approx(0.4 + 0.9 * 0.2)


def test_a_floor_that_no_network_reaches_yet_lets_the_best_be_bases() -> None:
    """Else the only base would be a round's winner, which on an empty front is any network at all."""
    wanted = replace(OBJECTIVE, accuracy_floor=0.98)
    floor = accuracy_floor(wanted, 0.7, 0.95, 10, unasked)
    assert floor == pytest.approx(0.9), "twice the error of the best"
    by_size = sorted(range(4), key=lambda i: performance_of(SEEDS[i].memory, 0, OBJECTIVE).total_bytes)
    accuracies: list[float | None] = [0.89, 0.92, 0.93, 0.95]  # of the smallest to the largest: all are on the front
    rows = rows_of([accuracies[by_size.index(i)] for i in range(4)])
    assert [base.performance.accuracy for base in front_bases(rows, wanted, floor)] == [0.95, 0.93, 0.92]
    assert accuracy_floor(wanted, 0.3, 0.3, 10, unasked) == 0.1, "never below guessing"
    assert accuracy_floor(wanted, 0.7, 0.981, 10, unasked) == 0.98


def test_what_is_chosen_is_above_the_floor() -> None:
    rows = rows_of([0.7, 0.9, 0.6, 0.95])
    every = replace(OBJECTIVE, accuracy_weight=0.0)  # memory alone
    smallest = min((r for r in rows if r.measured_accuracy is not None), key=lambda r: r.memory.param_bytes)
    assert best_row(rows, replace(every, accuracy_floor=None)).arch_id == smallest.arch_id
    assert (best_row(rows, replace(every, accuracy_floor=0.85)).measured_accuracy or 0) > 0.85
    # Twice the best one's error of 0.05 is 0.1, so that 0.9 is not above the floor.
    few = replace(every, accuracy_floor=0.99)
    assert best_row(rows, few, Guessing(0.1, 1000)).measured_accuracy == 0.95, "the best there is"


def test_a_trim_everywhere_is_that_trim_in_each_block() -> None:
    base = seed_architecture((1, 2), FILTERS)
    found = {str(move): network for network, move in everywhere(base)}
    # Both layers of the seed's cells are alike, so that l1 and l2 make one network; trimming the one cell leaves none.
    assert set(found) == {
        "trim_layer everywhere c1 l1",
        "trim_layer everywhere c1 l2",
        "cut_edge everywhere c1 l1",
        "cut_edge everywhere c1 l2",
    }
    first = next(m for m in edge_cuts(base) if (m.block, m.branch) == (1, 1))
    once = apply(base, first)
    assert once is not None
    second = next(m for m in edge_cuts(once) if (m.block, m.branch) == (2, 1))
    assert found["cut_edge everywhere c1 l1"] == apply(once, second)


def base_of(place: int, accuracy: float) -> Base:
    ranked = SEEDS[place]
    performance = performance_of(ranked.memory, accuracy, OBJECTIVE)
    return Base(ranked.candidate.architecture, ranked.candidate.arch_id, performance, "key")


BASES = (base_of(1, 0.9), base_of(0, 0.8))


def test_candidates_are_the_neighbours_of_all_bases_and_deep_trims_once_each() -> None:
    generation = NEIGHBOURHOODS.generate(BASES, 3, known=())
    ids = [candidate.arch_id for candidate in generation.candidates]
    assert len(ids) == len(set(ids)) == len(generation.memory)
    single = {c.arch_id for base in BASES for c in generate(base.architecture, 1)[0]}
    assert single <= {*ids, *(base.arch_id for base in BASES)}
    deep = [c for c in generation.candidates if len(c.moves) > 1 or "everywhere" in c.words]
    assert len(deep) == len(ids) - len(single & set(ids)) == generation.trimmed_on > 0
    parents = {base.arch_id: performance_of(measured(base.architecture), 0, OBJECTIVE).total_bytes for base in BASES}
    for candidate, memory in zip(generation.candidates, generation.memory, strict=True):
        assert candidate.round == 3
        assert memory == measured(candidate.architecture)
        if candidate in deep:
            assert performance_of(memory, 0, OBJECTIVE).total_bytes < parents[candidate.parent_id or ""]


def test_candidates_do_not_depend_on_when_they_are_made() -> None:
    """A search that goes on in another process makes the same ones, less what was trained."""
    again = Neighbourhoods(SETTINGS.search, OBJECTIVE, WORKLOAD)
    first = again.generate(BASES[:1], 1, known=())
    trained = {candidate.arch_id for candidate in first.candidates[:5]}
    later = again.generate(BASES, 2, trained)
    fresh = Neighbourhoods(SETTINGS.search, OBJECTIVE, WORKLOAD).generate(BASES, 2, trained)
    assert later.candidates == fresh.candidates
    assert not trained & {candidate.arch_id for candidate in later.candidates}


def test_widths_are_neighbours_too_if_they_are_searched() -> None:
    searched = replace(SETTINGS.search, widths=True)
    generation = Neighbourhoods(searched, OBJECTIVE, WORKLOAD).generate(BASES[:1], 1, known=())
    words = [candidate.words for candidate in generation.candidates]
    for move in ("widen b1 to 24", "widen b2 to 24", "narrow b1 to 12", "narrow b2 to 12"):
        assert move in words
    assert {"widen everywhere", "narrow everywhere"} <= {*words}
    plain = [candidate.words for candidate in NEIGHBOURHOODS.generate(BASES[:1], 1, known=()).candidates]
    assert not any(word.startswith(("widen", "narrow")) for word in plain)
    deep = [c for c in generation.candidates if not (c.is_single or c.is_grown)]
    assert generation.trimmed_on == len(deep)
    # A front without area beyond its bases, so that all that is wider adds something: the ways take turns.
    front = Front.of([replace(base.performance, accuracy=0.6) for base in BASES[:1]], 0.5)
    ranking = rank_for_front(generation, None, BASES[:1], front, OBJECTIVE, top_k=8, seed=0)
    assert sum(ranked.candidate.is_widened for ranked in ranking.candidates[:8]) == 2


def test_a_search_that_only_grows_widens_too() -> None:
    growing = replace(SETTINGS.search, widths=True, moves="grow")
    generation = Neighbourhoods(growing, OBJECTIVE, WORKLOAD).generate(BASES[:1], 1, known=())
    assert {c.words.split()[0] for c in generation.candidates} == {"grow", "widen"}
    assert generation.counts.grown == len([*growths(BASES[0].architecture)]) + 2


def test_no_candidate_is_beyond_the_budget() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=SEEDS[1].memory.param_bytes)
    within = Neighbourhoods(SETTINGS.search, objective, WORKLOAD).generate(BASES[:1], 1, known=())
    assert within.over_budget > 0
    assert all(fits(memory, objective) for memory in within.memory)


def ways(ranking: Ranking) -> list[str]:
    def way(words: str) -> str:
        if words.startswith(MoveKind.GROW):
            return "grown"
        return "deep" if " + " in words or "everywhere" in words else "trimmed"

    return [way(ranked.candidate.words) for ranked in ranking.candidates]


def test_before_anything_is_learnt_trims_take_turns_and_growing_waits() -> None:
    """All are taken to be as accurate as their bases: less memory adds something, more adds nothing."""
    generation = NEIGHBOURHOODS.generate(BASES, 1, known=())
    front = Front.of([base.performance for base in BASES], 0.5)
    ranking = rank_for_front(generation, None, BASES, front, OBJECTIVE, top_k=8, seed=0)
    assert ways(ranking)[:6] == ["trimmed", "deep"] * 3
    assert [ranked.predicted_rank for ranked in ranking.candidates] == list(range(1, len(ranking.candidates) + 1))
    assert all(ranked.predicted_score is None for ranked in ranking.candidates)
    again = rank_for_front(generation, None, BASES, front, OBJECTIVE, top_k=8, seed=0)
    assert again.candidates == ranking.candidates


def test_what_the_controller_says_is_added_to_what_the_base_has() -> None:
    generation = NEIGHBOURHOODS.generate(BASES, 1, known=())
    examples = [
        Example(c.architecture, 0.5 + 0.4 * (m.param_bytes > BASES[0].performance.param_bytes))
        for c, m in list(zip(generation.candidates, generation.memory, strict=True))[::7]
    ]
    controller = Controller.train(SETTINGS.controller, examples, seed=0)
    front = Front.of([base.performance for base in BASES], 0.5)
    ranking = rank_for_front(generation, controller, BASES, front, OBJECTIVE, top_k=8, seed=0)
    of_base = {base.arch_id: base for base in BASES}
    for ranked in ranking.candidates[:40]:
        base = of_base[ranked.candidate.parent_id or ""]
        own, theirs = controller.predict([ranked.candidate.architecture, base.architecture])
        expected = min(1.0, max(0.0, base.performance.accuracy + own - theirs))
        assert ranked.predicted_accuracy == pytest.approx(expected)
        assert ranked.predicted_score == pytest.approx(front.gain(performance_of(ranked.memory, expected, OBJECTIVE)))
    gains = [ranked.predicted_score or 0.0 for ranked in ranking.candidates]
    useful = [gain > 0 for gain in gains]
    assert useful == sorted(useful, reverse=True), "what adds nothing comes last"
    assert "grown" in ways(ranking)[:3]


def test_those_that_gain_go_on_and_failures_do_not() -> None:
    generation = NEIGHBOURHOODS.generate(BASES, 1, known=())
    front = Front.of([base.performance for base in BASES], 0.5)
    four = Ranking(
        rank_for_front(generation, None, BASES, front, OBJECTIVE, 8, seed=0).candidates[:4], generation.counts
    ).candidates
    accuracies = [None, 0.55, 0.89, 0.88]
    records = {c.candidate.arch_id: record(c.candidate.arch_id, a) for c, a in zip(four, accuracies, strict=True)}
    gains = [front.gain(performance_of(c.memory, a or 0.0, OBJECTIVE)) for c, a in zip(four, accuracies, strict=True)]
    going = promising(four, records, FrontComparison(front), OBJECTIVE, keep=0.5)
    expected = sorted(range(1, 4), key=lambda i: -gains[i])[:2]
    assert going == [four[i] for i in expected]


def test_an_empty_round_ranks_nothing() -> None:
    nothing = Generation([], [], NEIGHBOURHOODS.generate(BASES, 1, ()).counts)
    front = Front.of([base.performance for base in BASES], 0.5)
    assert rank_for_front(nothing, None, BASES, front, OBJECTIVE, 8, seed=0).candidates == []
