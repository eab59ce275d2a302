"""Budgets: what fits, the smallest network, and candidates near a limit."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from memnas_core.errors import ArchitectureError, SettingsError
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.memory.kernel_scratch import Kernels
from memnas_core.objective.budget import (
    Budget,
    budget_of,
    check_budget,
    excess,
    fits,
    fitted_seed,
    kernels_of,
    measuring,
    smallest_architecture,
    trimmed_to_fit,
    uses,
)
from memnas_core.settings.kinds import ActivationConvention
from memnas_core.settings.schema import NetworkSettings, ObjectiveSettings
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import Candidate, apply, edge_cuts, generate, seed_architecture, trims
from memnas_core.space.operations import DEPTHWISE_5X5, MAX_POOL_3X3, OPERATIONS
from tests.core.objective.plain_objective import OBJECTIVE as UNLIMITED
from tests.core.random_architectures import bare_architecture

OBJECTIVE = replace(UNLIMITED, weight_bytes=1, activation_bytes=1)
CONVENTIONS: tuple[ActivationConvention, ...] = ("paper", "sequential", "minimum", "arena")
SHAPE = Shape(1, 8, 8)
WORKLOAD = Workload(SHAPE, 10, 1, 1)
MEMORY = MemoryFigures(1000, 100, 300, 200, 250)


def measured(architecture: Architecture) -> MemoryFigures:
    return measure(architecture, WORKLOAD)


# -- what fits ------------------------------------------------------------------------------------------------


def test_limits_are_inclusive_and_hold_under_the_convention_of_the_settings() -> None:
    assert fits(MEMORY, OBJECTIVE)
    assert uses(MEMORY, OBJECTIVE) == ()
    assert fits(MEMORY, replace(OBJECTIVE, max_param_bytes=1000))
    assert not fits(MEMORY, replace(OBJECTIVE, max_param_bytes=999))
    for convention, needed in zip(CONVENTIONS, (100, 300, 200, 250), strict=True):
        told = replace(OBJECTIVE, activation_convention=convention)
        assert fits(MEMORY, replace(told, max_activation_bytes=needed))
        assert not fits(MEMORY, replace(told, max_activation_bytes=needed - 1))
        assert fits(MEMORY, replace(told, max_total_bytes=1000 + needed))
        assert not fits(MEMORY, replace(told, max_total_bytes=999 + needed))


def test_excess_is_relative_and_adds_up() -> None:
    objective = replace(OBJECTIVE, max_param_bytes=800, max_activation_bytes=100, max_total_bytes=2000)
    assert excess(MEMORY, objective) == pytest.approx(200 / 800 + 100 / 100)
    assert [str(use) for use in uses(MEMORY, objective)] == [
        "weights 1,000 of 800 bytes (125.0%)",
        "activations 200 of 100 bytes (200.0%)",
        "both together 1,200 of 2,000 bytes (60.0%)",
    ]


def test_a_device_gives_limits_and_explicit_ones_come_first() -> None:
    device = replace(OBJECTIVE, device="stm32f746")
    assert budget_of(device) == Budget(1024 * 1024, 320 * 1024, None)
    assert budget_of(replace(device, max_activation_bytes=64_000)) == Budget(1024 * 1024, 64_000, None)
    assert budget_of(replace(device, max_total_bytes=10**9)) == Budget(1024 * 1024, 320 * 1024, 10**9)
    assert not budget_of(OBJECTIVE).has_limits


@pytest.mark.parametrize(
    ("device", "width", "kernels"),
    [
        ("rp2040", 1, Kernels.PLAIN),  # a Cortex-M0+
        ("stm32f746", 1, Kernels.DSP),  # a Cortex-M7
        ("stm32f746", 4, None),  # portable kernels of floats ask for nothing
        ("esp32", 1, None),  # not an Arm
        (None, 1, None),
    ],
)
def test_scratch_memory_counts_for_int8_on_a_cortex_m(device: str | None, width: int, kernels: Kernels | None) -> None:
    objective = replace(OBJECTIVE, device=device, weight_bytes=width, activation_bytes=width)
    assert kernels_of(objective) == kernels


def test_a_network_fits_only_with_the_scratch_memory_of_its_kernels() -> None:
    """F = 16, 8x8: input and output have 1024 bytes each, and the depthwise 5x5 asks for 2 * 25 * 16 on a Cortex-M7."""
    network = Architecture((Block((Cell(Branch(0, DEPTHWISE_5X5), None, Combiner.SUM, included=True),), 1),), 16)
    told = replace(OBJECTIVE, activation_convention="arena", device="stm32f746", max_activation_bytes=2048 + 800)
    assert fits(measuring(WORKLOAD, told)(network), told)
    told = replace(told, max_activation_bytes=2048 + 799)
    assert not fits(measuring(WORKLOAD, told)(network), told)
    told = replace(told, device=None)
    assert fits(measuring(WORKLOAD, told)(network), told)


# -- the smallest network -------------------------------------------------------------------------------------


def every_cell(number: int) -> list[Cell]:
    """Return all cells that can come so late in a block: every operation, the identity too, one branch or two."""
    branches = [Branch(i, operation) for i in range(number) for operation in OPERATIONS]
    return [
        Cell(first, second, combiner, included)
        for k, first in enumerate(branches)
        for second in (None, *branches[k:])
        for combiner in Combiner
        for included in (True, False)
    ]


def some_blocks(stride: int, rng: random.Random, count: int) -> Iterator[Block]:
    """Yield every block of one cell, then random ones of two or three."""
    yield from (Block((cell,), stride) for cell in every_cell(1) if cell.included)
    places = [every_cell(1), every_cell(2), every_cell(3)]
    while count:
        cells = tuple(rng.choice(choices) for choices in places[: rng.randint(2, 3)])
        try:
            yield Block(cells, stride)
        except ArchitectureError:
            continue
        count -= 1


@pytest.mark.parametrize(("element_bytes", "kernels"), [(1, None), (4, None), (1, Kernels.DSP)])
@pytest.mark.parametrize(("strides", "classes"), [((2,), 3), ((1,), 3), ((2, 1), 40), ((1, 2), 1)])
def test_nothing_is_smaller_in_any_figure(
    strides: tuple[int, ...], classes: int, element_bytes: int, kernels: Kernels | None
) -> None:
    rng = random.Random(0)
    workload = Workload(Shape(3, 4, 4), classes, 1, element_bytes)
    smallest = smallest_architecture(strides, 2, *((MAX_POOL_3X3,) if kernels else ()))
    least = measure(smallest, workload, kernels)
    every = list(product(*(list(some_blocks(stride, rng, 300)) for stride in strides)))
    networks = [Architecture(blocks, 2) for blocks in rng.sample(every, min(len(every), 700))]
    figures = [measure(network, workload, kernels) for network in networks]
    for name in ("param_bytes", "paper_bytes", "sequential_bytes", "minimum_bytes", "arena_bytes"):
        assert min(getattr(found, name) for found in figures) >= getattr(least, name)
    for convention in CONVENTIONS:
        totals = [found.param_bytes + found.activation_bytes(convention) for found in figures]
        assert min(totals) >= least.param_bytes + least.activation_bytes(convention)
    assert len(figures) > 300


def test_trimming_on_ends_at_identities() -> None:
    rng = random.Random(1)
    for _ in range(20):
        network = seed_architecture((1, 2), 4)
        while True:
            made = (apply(network, move) for move in (*trims(network), *edge_cuts(network)))
            options = [other for other in made if other is not None and other != network]
            if not options:
                break
            network = rng.choice(options)
        assert network == bare_architecture((1, 2), 4)


# -- the first base -------------------------------------------------------------------------------------------


def test_a_seed_that_fits_stays() -> None:
    seed = seed_architecture((1, 2), 4)
    assert fitted_seed(seed, OBJECTIVE, measured) == (seed, ())
    needed = measured(seed).param_bytes
    assert fitted_seed(seed, replace(OBJECTIVE, max_param_bytes=needed), measured) == (seed, ())


def test_a_seed_that_is_too_large_is_trimmed_as_little_as_needed() -> None:
    seed = seed_architecture((1, 2), 4)
    needed, smallest = measured(seed).param_bytes, measured(smallest_architecture((1, 2), 4)).param_bytes
    for limit in (needed - 1, (needed + smallest) // 2, smallest):
        objective = replace(OBJECTIVE, max_param_bytes=limit)
        trimmed, moves = fitted_seed(seed, objective, measured)
        assert fits(measured(trimmed), objective)
        assert moves
        rebuilt = seed
        for move in moves:
            changed = apply(rebuilt, move)
            assert changed is not None
            rebuilt = changed
        assert rebuilt == trimmed
        assert (trimmed, moves) == fitted_seed(seed, objective, measured)
    assert len(fitted_seed(seed, replace(OBJECTIVE, max_param_bytes=needed - 1), measured)[1]) == 1
    assert trimmed == bare_architecture((1, 2), 4)


def test_a_seed_becomes_the_smallest_where_identities_do_not_fit() -> None:
    """F = 4, 8x8: beside 256 bytes an identity of stride 2 needs rows of 128 at run time, a pooling only its 64."""
    seed, smallest = seed_architecture((1, 2), 4), smallest_architecture((1, 2), 4)
    assert measured(bare_architecture((1, 2), 4)).arena_bytes == 256 + 128
    assert measured(smallest).arena_bytes == 256 + 64
    objective = replace(
        OBJECTIVE,
        activation_convention="arena",
        max_activation_bytes=256 + 64,
        max_param_bytes=measured(smallest).param_bytes,  # otherwise a convolution would do as well
    )
    found, moves = fitted_seed(seed, objective, measured)
    assert found == smallest
    for move in moves:
        changed = apply(seed, move)
        assert changed is not None
        seed = changed
    assert seed == smallest
    candidates, _ = generate(found, 1)
    over = [candidate for candidate in candidates if not fits(measured(candidate.architecture), objective)]
    for _, memory in trimmed_to_fit(over, 5, (), objective, measured, random.Random(5)):
        assert fits(memory, objective)


# -- an impossible budget -------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_budget_that_nothing_meets_is_refused_and_one_byte_more_is_not(convention: ActivationConvention) -> None:
    network = NetworkSettings(4, (1, 2))
    least = measured(smallest_architecture((1, 2), 4))
    told = replace(OBJECTIVE, activation_convention=convention)
    activations = least.activation_bytes(convention)
    total = least.param_bytes + activations
    for key, needed in (
        ("max_param_bytes", least.param_bytes),
        ("max_activation_bytes", activations),
        ("max_total_bytes", total),
    ):
        check_budget(network, replace(told, **{key: needed}), WORKLOAD)
        with pytest.raises(SettingsError) as caught:
            check_budget(network, replace(told, **{key: needed - 1}), WORKLOAD)
        message = str(caught.value)
        assert f"expected {key} of at least {needed:,}, found {needed - 1:,}" in message
        for part in (f"{least.param_bytes:,} bytes of weights", f"{activations:,} bytes of act", f"{total:,} together"):
            assert part in message
        assert "\n" not in message


def test_a_device_that_is_too_small_is_named() -> None:
    wide = NetworkSettings(512, (2, 2))
    with pytest.raises(SettingsError, match=r"max_activation_bytes of at least .* \(device stm32f411\)"):
        check_budget(wide, replace(OBJECTIVE, device="stm32f411"), Workload(Shape(3, 64, 64), 10, 1, 4))


# -- trimmed on -----------------------------------------------------------------------------------------------


def too_large(objective: ObjectiveSettings) -> list[Candidate]:
    candidates, _ = generate(seed_architecture((1, 2), 4), 3)
    return [candidate for candidate in candidates if not fits(measured(candidate.architecture), objective)]


@pytest.mark.parametrize(
    "limits",
    [
        {"max_param_bytes": measured(seed_architecture((1, 2), 4)).param_bytes},
        {"max_activation_bytes": measured(seed_architecture((1, 2), 4)).minimum_bytes - 1},
        {"max_total_bytes": 900},
    ],
)
def test_candidates_are_trimmed_until_they_fit(limits: dict[str, int]) -> None:
    objective = replace(OBJECTIVE, **limits)
    over = too_large(objective)
    assert over
    known = {over[0].parent_id or ""}
    found = trimmed_to_fit(over, 40, known, objective, measured, random.Random(5))
    assert len(found) == 40
    ids = [candidate.arch_id for candidate, _ in found]
    assert len({*ids} - known) == 40
    moves = {candidate.words for candidate in over}
    for candidate, memory in found:
        assert fits(memory, objective)
        assert memory == measured(candidate.architecture)
        assert candidate.arch_id == candidate.architecture.arch_id
        first, *rest = candidate.words.split(" + ")
        assert first in moves
        assert rest
        assert all(move.split()[0] in ("trim_layer", "trim_cell", "trim_output", "cut_edge") for move in rest)
        assert (candidate.round, candidate.parent_id) == (3, over[0].parent_id)
    again = trimmed_to_fit(over, 40, known, objective, measured, random.Random(5))
    assert [candidate for candidate, _ in again] == [candidate for candidate, _ in found]
    assert len({len(c.architecture.blocks[0].cells) for c, _ in found}) > 1, "not all are the smallest"


def test_it_ends_where_nothing_new_fits() -> None:
    least = measured(smallest_architecture((1, 2), 4))
    total = least.param_bytes + least.minimum_bytes
    objective = replace(OBJECTIVE, max_total_bytes=total)
    over = too_large(objective)
    found = trimmed_to_fit(over, 10**6, (), objective, measured, random.Random(5))
    known = {candidate.arch_id for candidate, _ in found}
    assert bare_architecture((1, 2), 4).arch_id in known
    assert all(memory.param_bytes + memory.minimum_bytes == total for _, memory in found)
    assert trimmed_to_fit(over, 5, known, objective, measured, random.Random(5)) == []
