"""The steps of a round that aims at the front: bases, candidates around them, and their order."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.architecture import Architecture
from memnas_core.budget import MOVES, fits
from memnas_core.choice import best_row
from memnas_core.config import Settings
from memnas_core.contenders import Base, Generation, Ranking, performance_of
from memnas_core.controller import Controller
from memnas_core.examples import Example
from memnas_core.front import Front
from memnas_core.front_search import Neighbourhoods, accuracy_floor, first_front, front_bases, rank_for_front
from memnas_core.graph import Shape
from memnas_core.grow_trim import MoveKind, apply, edge_cuts, everywhere, generate, seed_architecture
from memnas_core.measure import MemoryFigures, measure
from memnas_core.records import CandidateRow, Status
from memnas_core.search import promising, rerank, seed_contenders
from memnas_core.settings_file import load_settings
from memnas_core.training_records import TrainingRecord

SEED_CELLS = (
    "[[depthwise_3x3, depthwise_5x5], [conv_3x3, depthwise_5x5], [depthwise_5x5, average_pool_3x3], "
    "[conv_3x3, average_pool_3x3]]"
)
SETTINGS: Settings = load_settings(
    Path(__file__).parents[2] / "params.yaml", ["network.strides=[1, 2]", f"search.seed_cells={SEED_CELLS}"]
)
OBJECTIVE = replace(SETTINGS.objective, accuracy_floor=0.5)
SHAPE = Shape(1, 8, 8)
FILTERS = SETTINGS.network.filters
SEEDS = seed_contenders(SETTINGS.search, SETTINGS.network, SHAPE, 10, OBJECTIVE)
NEIGHBOURHOODS = Neighbourhoods(SETTINGS.search, OBJECTIVE, SHAPE, 10)


def measured(architecture: Architecture) -> MemoryFigures:
    return measure(architecture, SHAPE, 10, 4, 4)


def record(arch_id: str, accuracy: float | None) -> TrainingRecord:
    status = Status.DIVERGED if accuracy is None else Status.TRAINED
    return TrainingRecord(arch_id, status, accuracy, 100, 0.0, 1.0, "cpu", "", key=f"key {arch_id}")


def rows_of(accuracies: Sequence[float | None]) -> tuple[CandidateRow, ...]:
    """Return the table of round 0, whose networks got these accuracies."""
    records = {c.candidate.arch_id: record(c.candidate.arch_id, a) for c, a in zip(SEEDS, accuracies, strict=True)}
    front = first_front(SEEDS, OBJECTIVE, 10)
    return rerank(Ranking(SEEDS, generate(seed_architecture((1, 2), 4), 1)[1]), records, None, OBJECTIVE, front)


def test_round_0_has_a_network_for_each_seed_cell() -> None:
    assert len(SEEDS) == len(SETTINGS.search.seed_cells) == 4
    assert len({contender.candidate.arch_id for contender in SEEDS}) == 4
    assert [contender.predicted_rank for contender in SEEDS] == [1, 2, 3, 4]
    twice = replace(SETTINGS.search, seed_cells=(SETTINGS.search.seed_cells[0],) * 2)
    assert len(seed_contenders(twice, SETTINGS.network, SHAPE, 10, OBJECTIVE)) == 1


def test_the_first_winner_covers_most() -> None:
    """All seeds are equally accurate, so that the smallest covers most."""
    rows = rows_of([0.8] * 4)
    smallest = min(SEEDS, key=lambda c: performance_of(c.memory, 0.8, OBJECTIVE).total_bytes)
    assert rows[0].arch_id == smallest.candidate.arch_id
    assert rows[0].is_winner


def test_bases_are_the_front_above_the_floor() -> None:
    sizes = [performance_of(contender.memory, 0, OBJECTIVE).total_bytes for contender in SEEDS]
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


def test_the_floor() -> None:
    assert accuracy_floor(OBJECTIVE, 0.4, 0.51, 10) == 0.5
    assert accuracy_floor(replace(OBJECTIVE, accuracy_floor=None), 0.9, 0.95, 10) == pytest.approx(0.1 + 0.8 * 0.8)


def test_a_floor_that_no_network_reaches_yet_lets_the_best_be_bases() -> None:
    """Else the only base would be a round's winner, which on an empty front is any network at all."""
    wanted = replace(OBJECTIVE, accuracy_floor=0.98)
    floor = accuracy_floor(wanted, 0.7, 0.95, 10)
    assert floor == pytest.approx(0.9), "twice the error of the best"
    by_size = sorted(range(4), key=lambda i: performance_of(SEEDS[i].memory, 0, OBJECTIVE).total_bytes)
    accuracies: list[float | None] = [0.89, 0.92, 0.93, 0.95]  # of the smallest to the largest: all are on the front
    rows = rows_of([accuracies[by_size.index(i)] for i in range(4)])
    assert [base.performance.accuracy for base in front_bases(rows, wanted, floor)] == [0.95, 0.93, 0.92]
    assert accuracy_floor(wanted, 0.3, 0.3, 10) == 0.1, "never below guessing"
    assert accuracy_floor(wanted, 0.7, 0.981, 10) == 0.98


def test_what_is_chosen_is_above_the_floor() -> None:
    rows = rows_of([0.7, 0.9, 0.6, 0.95])
    every = replace(OBJECTIVE, accuracy_weight=0.0)  # memory alone
    smallest = min((r for r in rows if r.measured_accuracy is not None), key=lambda r: r.param_bytes)
    assert best_row(rows, replace(every, accuracy_floor=None)).arch_id == smallest.arch_id
    assert (best_row(rows, replace(every, accuracy_floor=0.85)).measured_accuracy or 0) > 0.85
    assert best_row(rows, replace(every, accuracy_floor=0.99)).measured_accuracy == 0.95, "the best there is"


def test_a_trim_everywhere_is_that_trim_in_each_block() -> None:
    base = seed_architecture((1, 2), FILTERS)
    found = {move: network for network, move in everywhere(base)}
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
    contender = SEEDS[place]
    performance = performance_of(contender.memory, accuracy, OBJECTIVE)
    return Base(contender.candidate.architecture, contender.candidate.arch_id, performance, "key")


BASES = (base_of(1, 0.9), base_of(0, 0.8))


def test_candidates_are_the_neighbours_of_all_bases_and_deep_trims_once_each() -> None:
    generation = NEIGHBOURHOODS.generate(BASES, 3, known=())
    ids = [candidate.arch_id for candidate in generation.candidates]
    assert len(ids) == len(set(ids)) == len(generation.memory)
    single = {c.arch_id for base in BASES for c in generate(base.architecture, 1)[0]}
    assert single <= {*ids, *(base.arch_id for base in BASES)}
    deep = [c for c in generation.candidates if MOVES in c.move or "everywhere" in c.move]
    assert len(deep) == len(ids) - len(single & set(ids)) == generation.trimmed_on > 0
    parents = {base.arch_id: performance_of(measured(base.architecture), 0, OBJECTIVE).total_bytes for base in BASES}
    for candidate, memory in zip(generation.candidates, generation.memory, strict=True):
        assert candidate.round == 3
        assert memory == measured(candidate.architecture)
        if candidate in deep:
            assert performance_of(memory, 0, OBJECTIVE).total_bytes < parents[candidate.parent_id or ""]


def test_candidates_do_not_depend_on_when_they_are_made() -> None:
    """A search that goes on in another process makes the same ones, less what was trained."""
    again = Neighbourhoods(SETTINGS.search, OBJECTIVE, SHAPE, 10)
    first = again.generate(BASES[:1], 1, known=())
    trained = {candidate.arch_id for candidate in first.candidates[:5]}
    later = again.generate(BASES, 2, trained)
    fresh = Neighbourhoods(SETTINGS.search, OBJECTIVE, SHAPE, 10).generate(BASES, 2, trained)
    assert later.candidates == fresh.candidates
    assert not trained & {candidate.arch_id for candidate in later.candidates}


def test_no_candidate_is_beyond_the_budget() -> None:
    objective = replace(OBJECTIVE, max_total_bytes=SEEDS[1].memory.param_bytes)
    within = Neighbourhoods(SETTINGS.search, objective, SHAPE, 10).generate(BASES[:1], 1, known=())
    assert within.over_budget > 0
    assert all(fits(memory, objective) for memory in within.memory)


def ways(ranking: Ranking) -> list[str]:
    def way(move: str) -> str:
        if move.startswith(MoveKind.GROW):
            return "grown"
        return "deep" if MOVES in move or "everywhere" in move else "trimmed"

    return [way(contender.candidate.move) for contender in ranking.contenders]


def test_before_anything_is_learnt_trims_take_turns_and_growing_waits() -> None:
    """All are taken to be as accurate as their bases: less memory adds something, more adds nothing."""
    generation = NEIGHBOURHOODS.generate(BASES, 1, known=())
    front = Front.of([base.performance for base in BASES], 0.5)
    ranking = rank_for_front(generation, None, BASES, front, OBJECTIVE, top_k=8, seed=0)
    assert ways(ranking)[:6] == ["trimmed", "deep"] * 3
    assert [contender.predicted_rank for contender in ranking.contenders] == list(range(1, len(ranking.contenders) + 1))
    assert all(contender.predicted_score is None for contender in ranking.contenders)
    again = rank_for_front(generation, None, BASES, front, OBJECTIVE, top_k=8, seed=0)
    assert again.contenders == ranking.contenders


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
    for contender in ranking.contenders[:40]:
        base = of_base[contender.candidate.parent_id or ""]
        own, theirs = controller.predict([contender.candidate.architecture, base.architecture])
        expected = min(1.0, max(0.0, base.performance.accuracy + own - theirs))
        assert contender.predicted_accuracy == pytest.approx(expected)
        assert contender.predicted_score == pytest.approx(
            front.gain(performance_of(contender.memory, expected, OBJECTIVE))
        )
    gains = [contender.predicted_score or 0.0 for contender in ranking.contenders]
    useful = [gain > 0 for gain in gains]
    assert useful == sorted(useful, reverse=True), "what adds nothing comes last"
    assert "grown" in ways(ranking)[:3]


def test_those_that_gain_go_on_and_failures_do_not() -> None:
    generation = NEIGHBOURHOODS.generate(BASES, 1, known=())
    front = Front.of([base.performance for base in BASES], 0.5)
    four = Ranking(
        rank_for_front(generation, None, BASES, front, OBJECTIVE, 8, seed=0).contenders[:4], generation.counts
    ).contenders
    accuracies = [None, 0.55, 0.89, 0.88]
    records = {c.candidate.arch_id: record(c.candidate.arch_id, a) for c, a in zip(four, accuracies, strict=True)}
    gains = [front.gain(performance_of(c.memory, a or 0.0, OBJECTIVE)) for c, a in zip(four, accuracies, strict=True)]
    going = promising(four, records, None, OBJECTIVE, front, keep=0.5)
    expected = sorted(range(1, 4), key=lambda i: -gains[i])[:2]
    assert going == [four[i] for i in expected]


def test_an_empty_round_ranks_nothing() -> None:
    nothing = Generation([], [], NEIGHBOURHOODS.generate(BASES, 1, ()).counts)
    front = Front.of([base.performance for base in BASES], 0.5)
    assert rank_for_front(nothing, None, BASES, front, OBJECTIVE, 8, seed=0).contenders == []
