"""What is chosen from tables of candidates, against a round worked by hand and brute force."""

import random
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest

from memnas_core.errors import RecordError, TrainingError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.floor import Guessing
from memnas_core.objective.score import Performance, performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status
from memnas_core.search.candidates import Base, Ranking
from memnas_core.search.choice import best_row, choice_in_words, chosen_row, front_of, round_winner, trained_of
from memnas_core.search.steps import ranked_rows
from memnas_core.settings.file import load_settings
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json
from tests.core.random_architectures import random_walk
from tests.core.search.round_by_hand import BASE, CANDIDATES, COMPARISON, COUNTS, OBJECTIVE, RANKED, RECORDS, ROWS

PARAMS = Path(__file__).parents[3] / "params.yaml"

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
    rows = ranked_rows(Ranking(RANKED[1:2], COUNTS), RECORDS, COMPARISON, OBJECTIVE)
    assert rows[0].measured_score == pytest.approx(-0.05)
    assert round_winner(rows, BASE, OBJECTIVE).arch_id == CANDIDATES[2].arch_id


def test_the_base_stays_where_every_training_failed() -> None:
    rows = ranked_rows(Ranking(RANKED[:1], COUNTS), RECORDS, COMPARISON, OBJECTIVE)
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


# -- by estimates ---------------------------------------------------------------------------------------------


def test_a_lucky_network_is_chosen_by_what_was_measured_and_not_by_what_is_estimated() -> None:
    """Accuracies rise with the number of 5x5 convolutions; one network without any was lucky."""
    rng = random.Random(0)
    drawn = {one.arch_id: one for one in (random_walk(rng, rng.randint(2, 8)) for _ in range(60))}
    accuracy = {arch_id: 0.5 + 0.05 * min(4, _large(one)) + rng.gauss(0, 0.005) for arch_id, one in drawn.items()}
    lucky = min(accuracy, key=lambda arch_id: (_large(drawn[arch_id]), arch_id))
    accuracy[lucky] = 0.75
    rows = [
        replace(ROWS[0], arch_id=arch_id, architecture=to_json(one), round=number, measured_accuracy=accuracy[arch_id])
        for number, (arch_id, one) in enumerate(drawn.items())
    ]
    settings = load_settings(
        PARAMS,
        [
            "search.rungs=[1.0]",
            "objective.accuracy_weight=1",
            "objective.accuracy_floor=null",
            "objective.activation_convention=minimum",
        ],
    )
    assert chosen_row(rows, settings).arch_id == lucky
    by_estimate = replace(settings, search=replace(settings.search, choice="controller"))
    assert _large(drawn[chosen_row(rows, by_estimate).arch_id]) >= 3
    assert chosen_row(rows, by_estimate) in rows, "with what was measured"
    assert chosen_row(rows[:1], by_estimate) == rows[0], "nothing to estimate from"


def _large(architecture: Architecture) -> int:
    cells = [cell for block in architecture.blocks for cell in block.cells]
    return sum(branch.operation is ops.DEPTHWISE_5X5 for cell in cells for branch in cell.branches)


# -- the front and the choice ---------------------------------------------------------------------------------


def memory(param_bytes: int, minimum_bytes: int) -> MemoryFigures:
    return MemoryFigures(param_bytes, 907, 905, minimum_bytes)


def random_rows(rng: random.Random, count: int) -> list[CandidateRow]:
    """Return a trained seed and rows of few different figures, so that ties are common; some failed."""
    rows = [replace(ROWS[0], arch_id="seed", round=0, memory=memory(600, 400), measured_accuracy=0.5)]
    for number in range(count):
        trained = rng.random() < 0.8
        rows.append(
            replace(
                ROWS[0],
                arch_id=f"{number:03}",
                round=1,
                memory=memory(100 * rng.randint(1, 9), 100 * rng.randint(1, 9)),
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
            r.arch_id: (r.measured_accuracy, r.memory.param_bytes + r.memory.minimum_bytes)
            for r in rows
            if r.measured_accuracy
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
            growth = (row.memory.minimum_bytes - 400) / 400 + (row.memory.param_bytes - 600) / 600
            return weight * ((row.measured_accuracy or 0) - 0.5) / 0.5 - (1 - weight) * growth

        best = best_row(rows, objective)
        assert best.arch_id in undominated
        assert y(best) == pytest.approx(max(y(row) for row in front))
        assert best_row([rows[0], *reversed(rows[1:])], objective) == best  # ties do not depend on the order


def test_the_front_looks_at_the_convention_of_the_settings() -> None:
    small = replace(ROWS[0], arch_id="small", memory=MemoryFigures(1600, 900, 905, 100))
    large = replace(ROWS[0], arch_id="large", memory=MemoryFigures(1600, 800, 905, 200))
    assert [row.arch_id for row in front_of([small, large], OBJECTIVE)] == ["small"]
    paper = replace(OBJECTIVE, activation_convention="paper")
    assert [row.arch_id for row in front_of([small, large], paper)] == ["large"]
    assert performance_of(large.memory, 0.5, paper) == Performance(0.5, 800, large.memory.param_bytes)


def test_the_seed_is_chosen_where_nothing_else_trained() -> None:
    (seed, *_) = random_rows(random.Random(0), 0)
    failed = replace(seed, arch_id="x", round=1, measured_accuracy=None, status=Status.DIVERGED)
    assert best_row([seed, failed], OBJECTIVE) is seed
    assert front_of([failed], OBJECTIVE) == ()


def test_the_choice_keeps_to_the_budget() -> None:
    small = replace(ROWS[0], arch_id="small", memory=memory(500, 100), measured_accuracy=0.5)
    large = replace(ROWS[0], arch_id="large", memory=memory(900, 100), measured_accuracy=0.99)
    assert best_row([small, large], OBJECTIVE).arch_id == "large"
    told = replace(OBJECTIVE, max_param_bytes=899)
    assert best_row([small, large], told).arch_id == "small"
    assert [row.arch_id for row in front_of([small, large], told)] == ["small"]
    with pytest.raises(RecordError, match="expected a trained network within the budget"):
        best_row([small, large], replace(OBJECTIVE, max_param_bytes=499))


def photos() -> list[CandidateRow]:
    """Return a front as a user found it: 424 kB, 89 kB for 3.3 points less, and 20 kB that only guess."""
    figures = (("large", 0.533, 400, 24), ("small", 0.5, 75, 14), ("tiny", 0.12, 16, 4))
    return [
        replace(ROWS[0], arch_id=name, memory=memory(1000 * params, 1000 * peak), measured_accuracy=accuracy)
        for name, accuracy, params, peak in figures
    ]


@pytest.mark.parametrize("floor", ["auto", 0.97])
def test_lambda_chooses_also_where_no_network_is_above_the_floor(floor: float | str) -> None:
    """The floor in force is 0.1 + 0.9 * 0.433 = 0.4897; lambda = 1 looks at accuracy only."""
    rows, guessing = photos(), Guessing(0.1, 600)
    objective = replace(OBJECTIVE, accuracy_floor=floor)
    for weight, wanted in ((0.0, "small"), (0.5, "small"), (1.0, "large")):
        assert best_row(rows, replace(objective, accuracy_weight=weight), guessing).arch_id == wanted
    lines = list(choice_in_words(front_of(rows, objective), rows[1], objective, guessing))
    assert lines[-1].endswith("from a Pareto front of 3, 2 of them above the accuracy floor of 0.4897.")
    told = [
        "No network is more accurate than objective.accuracy_floor, 0.97: the most accurate has 0.5330 on the "
        "validation images. Instead, lambda chooses among those above 0.4897. More search.rounds may find better ones."
    ]
    assert lines[:-1] == ([] if floor == "auto" else told)
    *_, line = choice_in_words(front_of(rows, objective), rows[2], objective, guessing)  # below the floor
    assert line.endswith("by the controller's estimates.")


def test_networks_that_are_no_better_than_guessing_are_told() -> None:
    """1,000 images of one class and 12 of another; of all networks the most accurate is handed over."""
    rows = [replace(row, measured_accuracy=a) for row, a in zip(photos(), (1000 / 1012, 0.9, 0.8), strict=True)]
    objective, guessing = replace(OBJECTIVE, accuracy_floor="auto"), Guessing(1000 / 1012, 1012)
    chosen = best_row(rows, objective, guessing)
    assert chosen.arch_id == "large"
    *_, warning = choice_in_words(front_of(rows, objective), chosen, objective, guessing)
    assert warning == (
        "Warning: no network is more accurate than always guessing the largest class, 0.9881 on the validation images."
    )
