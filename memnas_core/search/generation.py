"""The candidates of a round: made from one base, measured, and within the budget; and the first networks.

Source: section 3.2. Where a budget leaves few candidates, further ones are made with more than one move, which the
paper does not do.
"""

import random
from collections.abc import Collection, Iterator, Sequence

from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.budget import fits, fitted_seed, measuring, trimmed_to_fit
from memnas_core.objective.score import performance_of
from memnas_core.search.candidates import Generation
from memnas_core.settings.schema import NetworkSettings, ObjectiveSettings, SearchSettings, Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Workload
from memnas_core.space.moves import (
    Candidate,
    MoveCounts,
    apply,
    first_network,
    generate,
    growths,
    scaled_seed,
    seed_architecture,
    widenings,
)
from memnas_core.space.operations import Operation

CHOICES = 4
"""A round near a limit is filled up to this many candidates per trained one, so that there is a choice."""


def generate_round(
    base: Architecture,
    number: int,
    workload: Workload,
    objective: ObjectiveSettings,
    known: Collection[str],
    settings: SearchSettings,
) -> Generation:
    """Grow and trim the base, or only grow it, measure every candidate, and keep those within the budget.

    If trimming is allowed and few are left, further ones are made with more than one move
    (`memnas_core.objective.budget.trimmed_to_fit`).

    Args:
        base: The round's base.
        number: Number of the round.
        workload: Images, classes and element widths for measuring.
        objective: The budget.
        known: Ids of networks whose training was started before.
        settings: Which moves make candidates (the others are neither made nor counted), how many of them are
            trained, and the seed.
    """
    measured = measuring(workload, objective)
    candidates, counts = generate(base, number, known, settings.widths)
    if settings.moves == "grow":
        candidates, counts = _larger_only(base, candidates, settings.widths)
    if max(len(block.cells) for block in base.blocks) >= settings.max_cells:
        candidates = tuple(candidate for candidate in candidates if not candidate.is_grown)
    every = [(candidate, measured(candidate.architecture)) for candidate in candidates]
    kept = [(candidate, memory) for candidate, memory in every if fits(memory, objective)]
    inside = {candidate.arch_id for candidate, _ in kept}
    over_budget = [candidate for candidate, _ in every if candidate.arch_id not in inside]
    missing = CHOICES * settings.top_k - len(kept)
    more: list[tuple[Candidate, MemoryFigures]] = []
    if over_budget and missing > 0 and settings.moves != "grow":
        seen = {base.arch_id, *known, *inside}
        rng = random.Random(f"{settings.seed} {number} {base.arch_id}")
        more = trimmed_to_fit(over_budget, missing, seen, objective, measured, rng, settings.widths)
    chosen = [*kept, *more]
    return Generation([c for c, _ in chosen], [m for _, m in chosen], counts, len(over_budget), len(more))


def _larger_only(
    base: Architecture, candidates: Sequence[Candidate], widths: bool
) -> tuple[tuple[Candidate, ...], MoveCounts]:
    """Return the candidates that were grown or widened, and the counts of these moves alone.

    `generate` makes them before it trims, so that none was left out as the duplicate of a trimmed one.
    """
    kept = tuple(candidate for candidate in candidates if candidate.is_grown or candidate.is_widened)
    moves = (*growths(base), *(widenings(base) if widths else ()))
    valid = [apply(base, move) is not None for move in moves]
    return kept, MoveCounts(len(valid), 0, 0, valid.count(False), valid.count(True) - len(kept))


def first_candidate(
    architecture: Architecture, workload: Workload, objective: ObjectiveSettings, widths: bool = False
) -> tuple[Candidate, MemoryFigures]:
    """Return a first network, trimmed if it exceeds the budget (and narrowed, with `widths`), and its memory."""
    measured = measuring(workload, objective)
    architecture, moves = fitted_seed(architecture, objective, measured, widths)
    return first_network(architecture, moves), measured(architecture)


def first_generation(
    settings: SearchSettings, network: NetworkSettings, workload: Workload, objective: ObjectiveSettings
) -> Generation:
    """Return the candidates of round 0, without duplicates: networks of each seed cell (`seeds_of`)."""
    found: dict[str, tuple[Candidate, MemoryFigures]] = {}
    for operations in settings.seed_cells:
        for candidate, memory in seeds_of(operations, settings, network, workload, objective):
            found.setdefault(candidate.arch_id, (candidate, memory))
    candidates, figures = zip(*found.values(), strict=True)
    return Generation(candidates, figures, MoveCounts(0, 0, 0, 0, 0))


def first_extremes(settings: Settings, workload: Workload) -> tuple[Architecture, Architecture]:
    """Return the networks of round 0 with fewest and with most weights, by which the time of a search is told."""
    first = first_generation(settings.search, settings.network, workload, settings.objective)
    every = sorted(zip(first.candidates, first.memory, strict=True), key=lambda pair: pair[1].param_bytes)
    return every[0][0].architecture, every[-1][0].architecture


def seeds_of(
    operations: tuple[Operation, Operation],
    settings: SearchSettings,
    network: NetworkSettings,
    workload: Workload,
    objective: ObjectiveSettings,
) -> Iterator[tuple[Candidate, MemoryFigures]]:
    """Yield the first networks of a seed cell, and their memory.

    Without widths, this is one network, trimmed if it exceeds the budget. With them, it is one for each of
    `search.seed_shares`: the one with most filters that needs at most that share of the bytes of the largest one that
    is within the budget.
    """
    measured = measuring(workload, objective)
    if not settings.widths:
        seed = seed_architecture(network.strides, network.filters, operations, network.stem_stride)
        yield first_candidate(seed, workload, objective)
        return
    steps = (half / 2 for half in range(2 * network.filters, 0, -1))
    seeds = [scaled_seed(network.strides, filters, operations, network.stem_stride) for filters in steps]
    every = [(one, measured(one)) for one in seeds]
    fitting = [
        (one, memory, performance_of(memory, 0.0, objective).total_bytes)
        for one, memory in every
        if fits(memory, objective)
    ]
    if not fitting:
        yield first_candidate(every[-1][0], workload, objective, widths=True)
    for share in settings.seed_shares:
        within = [(one, memory) for one, memory, total in fitting if total <= share * fitting[0][2]]
        if within:
            yield first_network(within[0][0]), within[0][1]
