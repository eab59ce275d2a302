"""Budgets where blocks may be narrowed: the least networks, the first base, and candidates near a limit."""

import random
from dataclasses import replace
from itertools import product

import pytest

from memnas_core.errors import SettingsError
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.memory.kernel_scratch import Kernels
from memnas_core.objective.budget import (
    check_budget,
    excess,
    fits,
    fitted_seed,
    smallest_architecture,
    smallest_architectures,
    trimmed_to_fit,
)
from memnas_core.settings.schema import NetworkSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import WIDTHS, apply, generate, seed_architecture
from memnas_core.space.operations import AVERAGE_POOL_3X3, MAX_POOL_3X3
from tests.core.objective.plain_objective import OBJECTIVE as UNLIMITED
from tests.core.random_architectures import random_walk

OBJECTIVE = replace(UNLIMITED, weight_bytes=1, activation_bytes=1, activation_convention="arena")
WORKLOAD = Workload(Shape(1, 8, 8), 10, 1, 1)


def measured(architecture: Architecture) -> MemoryFigures:
    return measure(architecture, WORKLOAD)


def test_the_least_networks_by_hand() -> None:
    found = smallest_architectures((1, 2), 16, AVERAGE_POOL_3X3, widths=True)
    assert [network.widths for network in found] == [(16, 16), (4, 4), (16, 4)]
    assert all(network.blocks[1].cells == found[0].blocks[1].cells for network in found)
    plain = smallest_architecture((1, 2), 16)
    assert smallest_architectures((1, 2), 16, AVERAGE_POOL_3X3, widths=False) == (plain,)
    narrow = smallest_architecture((1, 2), 4)
    assert smallest_architectures((1, 2), 4, AVERAGE_POOL_3X3, widths=True) == (narrow,), "nothing is narrower"


@pytest.mark.parametrize(("element_bytes", "kernels"), [(1, None), (4, None), (1, Kernels.DSP)])
@pytest.mark.parametrize(("strides", "classes"), [((2,), 3), ((2, 1), 40), ((1, 2), 1), ((2, 2), 500)])
def test_of_the_least_networks_one_is_smaller_than_any(
    strides: tuple[int, ...], classes: int, element_bytes: int, kernels: Kernels | None
) -> None:
    """In weights, under every convention of activations, and so in any sum of them: F = 12, every choice of widths."""
    rng = random.Random(1)
    workload = Workload(Shape(3, 4, 4), classes, 1, element_bytes)
    pooling = MAX_POOL_3X3 if kernels else AVERAGE_POOL_3X3
    least = [measure(network, workload, kernels) for network in smallest_architectures(strides, 12, pooling, True)]
    walked = [random_walk(rng, rng.randint(0, 7), strides, filters=12) for _ in range(25)]
    walked += smallest_architectures(strides, 12, pooling, widths=False)
    for network, widths in product(walked, product((4, 8, 12, 16), repeat=len(strides))):
        blocks = [replace(block, filters=width) for block, width in zip(network.blocks, widths, strict=True)]
        found = measure(Architecture(tuple(blocks), 12), workload, kernels)
        assert any(
            one.param_bytes <= found.param_bytes
            and one.minimum_bytes <= found.minimum_bytes
            and one.sequential_bytes <= found.sequential_bytes
            and one.paper_bytes <= found.paper_bytes
            and (one.arena_bytes or 0) <= (found.arena_bytes or 0)
            for one in least
        )


def test_a_budget_that_only_narrow_blocks_meet() -> None:
    network = NetworkSettings(32, (1, 2))
    plain = measured(smallest_architecture((1, 2), 32))
    # With widths the first networks' stems may be as narrow as one filter.
    narrow = min(measured(one).param_bytes for one in smallest_architectures((1, 2), 1, AVERAGE_POOL_3X3, True))
    assert narrow < plain.param_bytes
    told = replace(OBJECTIVE, max_param_bytes=narrow)
    with pytest.raises(SettingsError, match=f"max_param_bytes of at least {plain.param_bytes:,}, found {narrow:,}"):
        check_budget(network, told, WORKLOAD)
    check_budget(network, told, WORKLOAD, widths=True)
    with pytest.raises(SettingsError, match=f"max_param_bytes of at least {narrow:,}, found {narrow - 1:,}"):
        check_budget(network, replace(told, max_param_bytes=narrow - 1), WORKLOAD, widths=True)


def test_a_seed_is_narrowed_until_it_fits() -> None:
    seed = seed_architecture((1, 2), 32)
    family = smallest_architectures((1, 2), 32, AVERAGE_POOL_3X3, widths=True)
    least = min(measured(network).param_bytes for network in family)
    for limit in (measured(seed).param_bytes - 1, 3000, 1000, least):
        told = replace(OBJECTIVE, max_param_bytes=limit)
        found, moves = fitted_seed(seed, told, measured, widths=True)
        assert fits(measured(found), told)
        rebuilt = seed
        for move in moves:
            changed = apply(rebuilt, move)
            assert changed is not None
            rebuilt = changed
        assert rebuilt == found


def test_a_seed_gets_back_to_the_least_network_of_all() -> None:
    """An identity of stride 2 takes rows first at run time; with as few activations, only poolings without rows fit."""
    for network in smallest_architectures((2, 1), 8, AVERAGE_POOL_3X3, widths=True):
        memory = measured(network)
        told = replace(OBJECTIVE, max_param_bytes=memory.param_bytes, max_activation_bytes=memory.arena_bytes)
        seed = seed_architecture((2, 1), 8)
        found, moves = fitted_seed(seed, told, measured, widths=True)
        assert fits(measured(found), told)
        for move in moves:
            seed = apply(seed, move) or seed
        assert seed == found


def test_candidates_are_narrowed_until_they_fit() -> None:
    base = seed_architecture((1, 2), 16)
    told = replace(OBJECTIVE, max_param_bytes=measured(base).param_bytes // 2)
    candidates, _ = generate(base, 1, widths=True)
    over = [one for one in candidates if excess(measured(one.architecture), told)]
    found = trimmed_to_fit(over, 60, (), told, measured, random.Random(3), widths=True)
    assert len(found) == 60
    assert all(fits(memory, told) for _, memory in found)
    kinds = {move.split()[0] for candidate, _ in found for move in candidate.words.split(" + ")[1:]}
    assert "narrow" in kinds
    assert {"trim_layer", "cut_edge"} & kinds
    assert all(width in WIDTHS for candidate, _ in found for width in candidate.architecture.widths)
