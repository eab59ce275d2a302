"""Verdicts against hand-worked lifetimes and against brute force over random graphs."""

import random

import pytest

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_report import used_in_steps
from memnas_core.memory.fit import judge_arena, judge_table
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.sharing import unshared, with_in_place
from tests.core.arenas import plan_arena

LAYERS = {
    "left": (("x",), ("a",)),
    "right": (("x",), ("b",)),
    "add": (("a", "b"), ("c",)),
    "pool": (("c",), ("y",)),
}
SIZES = {"x": 10, "a": 40, "b": 40, "c": 40, "y": 1}
SHAPES = {name: (size,) for name, size in SIZES.items()}
# step      left  right  add  pool
# in memory x a   x a b  a b c  c y
# bytes     50    90     120    41


@pytest.mark.parametrize(
    ("limit", "steps", "culprits"),
    [
        (120, 0, {}),
        (119, 1, {"a": 1, "b": 1, "c": 1}),
        (89, 2, {"a": 2, "b": 2, "c": 1, "x": 1}),
        (49, 3, {"a": 3, "b": 2, "c": 1, "x": 2}),
        (0, 4, {"a": 3, "b": 2, "c": 2, "x": 2, "y": 1}),
    ],
)
def test_by_hand(limit: int, steps: int, culprits: dict[str, int]) -> None:
    table = judge_table(lifetimes(LAYERS, SIZES, "sequential"), SHAPES, limit)
    arena = judge_arena(plan_arena(LAYERS, SIZES), SHAPES, limit)
    for verdict in (table, arena):
        assert verdict.fits == (limit >= 120)
        assert verdict.excess_bytes == 120 - limit
        assert verdict.steps_above == steps
        assert {culprit.tensor.name: culprit.steps for culprit in verdict.culprits} == culprits
        sizes = [culprit.tensor.bytes for culprit in verdict.culprits]
        assert sizes == sorted(sizes, reverse=True)


def test_tensors_that_share_memory_are_blamed_once() -> None:
    plan = plan_shared(with_in_place(unshared(LAYERS, SIZES), ("add",)))
    verdict = judge_arena(plan, SHAPES, 80)
    # c lies over a: step 2 has x, a, b = 90, step 3 a, b = 80
    assert plan.bytes == 90
    assert verdict.steps_above == 1
    assert {culprit.tensor.name for culprit in verdict.culprits} == {"x", "a", "b"}


def test_only_the_gaps_are_too_many() -> None:
    plan = plan_arena(LAYERS, SIZES, alignment=64)
    verdict = judge_arena(plan, SHAPES, 150)
    assert plan.bytes == 192
    assert (verdict.fits, verdict.steps_above, verdict.culprits) == (False, 0, ())


@pytest.mark.parametrize("seed", range(20))
def test_every_step_above_the_limit_is_explained(seed: int) -> None:
    rng = random.Random(seed)
    sizes = {"in": rng.randint(1, 50)}
    layers = {}
    for number in range(rng.randint(1, 9)):
        layers[f"l{number}"] = tuple(rng.choices(list(sizes), k=rng.choice((1, 2)))), (f"t{number}",)
        sizes[f"t{number}"] = rng.randint(0, 50)
    table, plan = lifetimes(layers, sizes, "sequential"), plan_arena(layers, sizes)
    assert used_in_steps(plan) == list(table.profile)
    limit = rng.randint(0, table.peak)
    verdict = judge_table(table, {name: (size,) for name, size in sizes.items()}, limit)
    above = [step for step, used in enumerate(table.profile, start=1) if used > limit]
    assert verdict.steps_above == len(above)
    steps = {culprit.tensor.name: culprit.steps for culprit in verdict.culprits}
    assert sum(sizes[name] * count for name, count in steps.items()) == sum(table.profile[step - 1] for step in above)
