"""The steps of a search round on plain values: generate, rank, re-rank.

Source: Figure 1(a) and sections 3.2 to 3.4. Nothing here trains, writes or schedules; `tasks` does that between the
steps.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import to_json
from memnas_core.budget import MOVES, fits, fitted_seed, trimmed_to_fit
from memnas_core.config import NetworkSettings, ObjectiveSettings, SearchSettings
from memnas_core.contenders import Base, Contender, Generation, Ranking, performance_of
from memnas_core.controller import Controller, predicted_scores
from memnas_core.front import Front
from memnas_core.graph import Shape
from memnas_core.grow_trim import Candidate, MoveCounts, MoveKind, apply, generate, growths, seed_architecture
from memnas_core.halving import going_on
from memnas_core.measure import MemoryFigures, measure
from memnas_core.metric import Performance, score
from memnas_core.records import CandidateRow, Status
from memnas_core.training_records import TrainingRecord

CHOICES = 4
"""A round near a limit is filled up to so many candidates for each that is trained, so that there is a choice."""


def generate_round(
    base: Architecture,
    number: int,
    input_shape: Shape,
    classes: int,
    objective: ObjectiveSettings,
    known: Collection[str],
    settings: SearchSettings,
) -> Generation:
    """Grow and trim the base, or only grow it, measure every candidate, and keep those within the budget.

    Where trimming is allowed and few are left, further ones are made with more than one move
    (`memnas_core.budget.trimmed_to_fit`).

    Args:
        base: The round's base.
        number: The round.
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        objective: Gives the budget and the element widths.
        known: Ids of networks whose training was begun before.
        settings: Which moves make candidates (the others are neither made nor counted), how many of them are
            trained, and the seed.
    """

    def measured(architecture: Architecture) -> MemoryFigures:
        return measure(architecture, input_shape, classes, objective.weight_bytes, objective.activation_bytes)

    candidates, counts = generate(base, number, known)
    if settings.moves == "grow":
        candidates, counts = _grown_only(base, candidates)
    if max(len(block.cells) for block in base.blocks) >= settings.max_cells:
        candidates = tuple(candidate for candidate in candidates if not is_grown(candidate))
    every = [(candidate, measured(candidate.architecture)) for candidate in candidates]
    kept = [(candidate, memory) for candidate, memory in every if fits(memory, objective)]
    inside = {candidate.arch_id for candidate, _ in kept}
    over_budget = [candidate for candidate, _ in every if candidate.arch_id not in inside]
    missing = CHOICES * settings.top_k - len(kept)
    more: list[tuple[Candidate, MemoryFigures]] = []
    if over_budget and missing > 0 and settings.moves != "grow":
        seen = {base.arch_id, *known, *inside}
        rng = random.Random(f"{settings.seed} {number} {base.arch_id}")
        more = trimmed_to_fit(over_budget, missing, seen, objective, measured, rng)
    chosen = [*kept, *more]
    return Generation([c for c, _ in chosen], [m for _, m in chosen], counts, len(over_budget), len(more))


def _grown_only(base: Architecture, candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], MoveCounts]:
    """Return what growing made, and the counts of growing alone.

    `generate` grows before it trims, so that no grown candidate was left out as the duplicate of a trimmed one.
    """
    kept = tuple(candidate for candidate in candidates if is_grown(candidate))
    valid = [apply(base, move) is not None for move in growths(base)]
    return kept, MoveCounts(len(valid), 0, 0, valid.count(False), valid.count(True) - len(kept))


def is_grown(candidate: Candidate) -> bool:
    """Return whether a candidate was made by growing."""
    return candidate.move.split()[0] == MoveKind.GROW


def seed_contender(
    architecture: Architecture, input_shape: Shape, classes: int, objective: ObjectiveSettings
) -> Contender:
    """Return a first base as a contender of round 0, trimmed where it is beyond the budget."""

    def measured(network: Architecture) -> MemoryFigures:
        return measure(network, input_shape, classes, objective.weight_bytes, objective.activation_bytes)

    architecture, moves = fitted_seed(architecture, objective, measured)
    move = MOVES.join([MoveKind.SEED, *map(str, moves)])
    candidate = Candidate(architecture, architecture.arch_id, None, move, 0)
    memory = measured(architecture)
    return Contender(candidate, memory, predicted_rank=1, predicted_score=None, predicted_accuracy=None)


def seed_contenders(
    settings: SearchSettings, network: NetworkSettings, input_shape: Shape, classes: int, objective: ObjectiveSettings
) -> tuple[Contender, ...]:
    """Return the contenders of round 0: a network for each of the seed cells, each network once."""
    found: dict[str, Contender] = {}
    for operations in settings.seed_cells:
        architecture = seed_architecture(network.strides, network.filters, operations)
        contender = seed_contender(architecture, input_shape, classes, objective)
        found.setdefault(contender.candidate.arch_id, replace(contender, predicted_rank=len(found) + 1))
    return tuple(found.values())


def rank_round(
    generation: Generation, controller: Controller | None, base: Base, objective: ObjectiveSettings, seed: int
) -> Ranking:
    """Order a round's candidates by predicted score, best first.

    Args:
        generation: The candidates.
        controller: What has been learnt; None before anything has, or where nothing is to be: the order is then
            random.
        base: The round's base.
        objective: Weights of Eq. 4.
        seed: Decides the random order, and nothing else.
    """
    count = len(generation.candidates)
    if controller is None or not count:
        shuffled = random.Random(seed).sample(range(count), count)
        return Ranking(
            [
                Contender(generation.candidates[i], generation.memory[i], rank, None, None)
                for rank, i in enumerate(shuffled, start=1)
            ],
            generation.counts,
        )
    predicted = predicted_scores(
        controller,
        [candidate.architecture for candidate in generation.candidates],
        generation.memory,
        base.performance,
        objective,
    )
    order = np.argsort(-predicted.score, kind="stable")
    return Ranking(
        [
            Contender(
                generation.candidates[i],
                generation.memory[i],
                rank,
                float(predicted.score[i]),
                None if predicted.accuracy is None else float(predicted.accuracy[i]),
            )
            for rank, i in enumerate(order, start=1)
        ],
        generation.counts,
    )


def value_of(performance: Performance, base: Base | None, objective: ObjectiveSettings, front: Front | None) -> float:
    """Return what candidates are compared by: the gain over a front, or without one Eq. 4 relative to the base.

    Args:
        performance: The candidate's.
        base: The round's base; None in round 0, whose one network is its own base.
        objective: Weights of Eq. 4.
        front: What was trained before the round, if the search aims at the front.
    """
    if front is not None:
        return front.gain(performance)
    return score(performance, base.performance if base else performance, objective.accuracy_weight)


def promising(
    contenders: Sequence[Contender],
    records: Mapping[str, TrainingRecord],
    base: Base | None,
    objective: ObjectiveSettings,
    front: Front | None,
    keep: float,
) -> list[Contender]:
    """Return the candidates of a rung that go on to the next one (`memnas_core.halving`).

    Args:
        contenders: The rung's candidates.
        records: Their trainings so far, by id.
        base: The round's base.
        objective: Weights of Eq. 4.
        front: As in `value_of`.
        keep: Share that goes on at most.
    """
    running = [contender for contender in contenders if records[contender.candidate.arch_id].validation_accuracy]
    figures = [
        performance_of(c.memory, records[c.candidate.arch_id].validation_accuracy or 0.0, objective) for c in running
    ]
    values = [value_of(measured, base, objective, front) for measured in figures]
    if front is not None:  # each may have its place on it, not the best alone
        possible = [math.inf] * len(values)
    else:
        possible = [value_of(replace(measured, accuracy=1.0), base, objective, None) for measured in figures]
    return [running[index] for index in going_on(values, possible, keep)]


def rerank(
    ranking: Ranking,
    records: Mapping[str, TrainingRecord],
    base: Base | None,
    objective: ObjectiveSettings,
    front: Front | None = None,
) -> tuple[CandidateRow, ...]:
    """Return the round's table: the trained candidates by measured score, then the others by predicted rank.

    Args:
        ranking: The round's candidates.
        records: What became of those that were trained, by id.
        base: The round's base; None in round 0, whose one network is its own base.
        objective: Weights of Eq. 4.
        front: As in `value_of`.
    """
    scored: list[tuple[float, Contender, TrainingRecord]] = []
    for contender in ranking.contenders:
        record = records.get(contender.candidate.arch_id)
        if record is not None and record.validation_accuracy is not None:
            performance = performance_of(contender.memory, record.validation_accuracy, objective)
            scored.append((value_of(performance, base, objective, front), contender, record))
    scored.sort(key=lambda entry: (-entry[0], entry[1].predicted_rank))
    rows = [
        _row(contender, record, measured_score=value, measured_rank=rank)
        for rank, (value, contender, record) in enumerate(scored, start=1)
    ]
    done = {row.arch_id for row in rows}
    rows += [
        _row(contender, records.get(contender.candidate.arch_id), None, None)
        for contender in ranking.contenders
        if contender.candidate.arch_id not in done
    ]
    return tuple(rows)


def _row(
    contender: Contender, record: TrainingRecord | None, measured_score: float | None, measured_rank: int | None
) -> CandidateRow:
    candidate, memory = contender.candidate, contender.memory
    return CandidateRow(
        arch_id=candidate.arch_id,
        architecture=to_json(candidate.architecture),
        parent_id=candidate.parent_id or "",
        move=candidate.move,
        round=candidate.round,
        param_bytes=memory.param_bytes,
        paper_bytes=memory.paper_bytes,
        sequential_bytes=memory.sequential_bytes,
        minimum_bytes=memory.minimum_bytes,
        arena_bytes=memory.arena_bytes,
        predicted_score=contender.predicted_score,
        predicted_accuracy=contender.predicted_accuracy,
        predicted_rank=contender.predicted_rank,
        measured_accuracy=record.validation_accuracy if record else None,
        measured_score=measured_score,
        measured_rank=measured_rank,
        status=record.status if record else Status.GENERATED,
        training_seconds=record.seconds if record else None,
        images_seen=record.images_seen if record else 0,
        is_winner=measured_rank == 1,
        training_key=record.key if record and record.validation_accuracy is not None else None,
    )
