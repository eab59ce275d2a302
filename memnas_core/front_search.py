"""The steps of a round that aims at the whole Pareto front (`search.aim: front`).

Every network on the front is a base: its neighbours by one move, and by several trims at once, are the round's
candidates. Those are trained that are expected to add most to the front.

    step        aim: score, as in the paper      aim: front
    bases       the winner of the last round     all networks on the front
    order       Eq. 4, relative to the base      area that the front would gain
    expected    accuracy by the controller       measured accuracy of the base, and what the controller says a
                                                 candidate differs from it

Source: past the paper, which follows one base, and so leaves most of the front unseen.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from itertools import zip_longest

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json
from memnas_core.budget import MOVES, fits, trimmed_to_fit
from memnas_core.choice import front_of
from memnas_core.config import ObjectiveSettings, SearchSettings
from memnas_core.contenders import Base, Contender, Generation, Ranking, performance_of
from memnas_core.controller import Controller
from memnas_core.front import Front, order_by_gain
from memnas_core.graph import Shape
from memnas_core.grow_trim import Candidate, MoveCounts, everywhere
from memnas_core.measure import MemoryFigures, measure
from memnas_core.metric import Performance
from memnas_core.records import CandidateRow
from memnas_core.search import generate_round, is_grown

FLOOR_SHARE = 0.8
"""Where a front begins by itself: so much of the way from guessing to the first network's accuracy."""

ERROR_FACTOR = 2.0
"""Where a front begins while no network is as accurate as the settings want: so many times the error of the best."""

DEEP_SHARES = (0.7, 0.5, 0.35)
"""Shares of the base's memory that candidates are trimmed to with several moves at once."""


def accuracy_floor(objective: ObjectiveSettings, first_accuracy: float, best_accuracy: float, classes: int) -> float:
    """Return the accuracy at which a front begins: what the settings say, or most of the way to the first network's.

    While no network is as accurate as the settings want, it begins near the best that there is. Those networks lead to
    ones that are; an empty front would leave a single base, and its largest neighbours.

    Args:
        objective: What the settings want.
        first_accuracy: Of the network that round 0 chose.
        best_accuracy: Of all that was trained.
        classes: Number of classes.
    """
    guessing = 1 / classes
    if objective.accuracy_floor is None:
        return guessing + FLOOR_SHARE * (first_accuracy - guessing)
    if best_accuracy > objective.accuracy_floor:
        return objective.accuracy_floor
    return max(guessing, 1 - ERROR_FACTOR * (1 - best_accuracy))


def first_front(contenders: Sequence[Contender], objective: ObjectiveSettings, classes: int) -> Front:
    """Return the front before anything is trained: empty, it begins at guessing and ends beyond the largest seed.

    Args:
        contenders: Of round 0.
        objective: The convention of the activation peak.
        classes: Number of classes.
    """
    guessing = 1 / classes
    sizes = [performance_of(contender.memory, guessing, objective) for contender in contenders]
    return Front.of(sizes, guessing)


def front_bases(rows: Sequence[CandidateRow], objective: ObjectiveSettings, floor: float) -> tuple[Base, ...]:
    """Return the networks on the front that are above the floor, the most accurate first.

    Args:
        rows: Candidates of all rounds.
        objective: The budget, and the convention of the activation peak.
        floor: Accuracy at which the front begins.
    """
    return tuple(
        Base(
            from_json(row.architecture),
            row.arch_id,
            performance_of(row.memory, row.measured_accuracy, objective),
            row.training_key,
        )
        for row in reversed(front_of(rows, objective))
        if row.measured_accuracy is not None and row.measured_accuracy > floor
    )


class Neighbourhoods:
    """The candidates around each base. They depend on nothing else, so that each base's are made once in a search."""

    def __init__(
        self, settings: SearchSettings, objective: ObjectiveSettings, input_shape: Shape, classes: int
    ) -> None:
        """Take what decides candidates and their memory.

        Args:
            settings: Which moves make candidates, and the seed of those that are trimmed deeply.
            objective: Budget, convention and element widths.
            input_shape: Channels, height and width of an image.
            classes: Number of classes.
        """
        self._settings = settings
        self._objective = objective
        self._input_shape = input_shape
        self._classes = classes
        self._made: dict[str, Generation] = {}

    def generate(self, bases: Sequence[Base], number: int, known: Collection[str]) -> Generation:
        """Return the candidates around all bases that were not trained, each once, with the first base that has it.

        Args:
            bases: The networks on the front.
            number: The round.
            known: Ids of networks whose training was begun before.
        """
        found: dict[str, tuple[Candidate, MemoryFigures]] = {}
        every = [self._around(base) for base in bases]
        for around in every:
            for candidate, memory in zip(around.candidates, around.memory, strict=True):
                if candidate.arch_id not in known and candidate.arch_id not in found:
                    found[candidate.arch_id] = replace(candidate, round=number), memory
        moves = [around.counts for around in every]
        grown, trimmed, cut = sum(m.grown for m in moves), sum(m.trimmed for m in moves), sum(m.cut for m in moves)
        invalid = sum(m.invalid for m in moves)
        single = sum(_way(candidate) is not _Way.TRIMMED_DEEPLY for candidate, _ in found.values())
        counts = MoveCounts(grown, trimmed, cut, invalid, grown + trimmed + cut - invalid - single)
        return Generation(
            [candidate for candidate, _ in found.values()],
            [memory for _, memory in found.values()],
            counts,
            over_budget=sum(around.over_budget for around in every),
            trimmed_on=len(found) - single,
        )

    def _around(self, base: Base) -> Generation:
        if base.arch_id not in self._made:
            near = generate_round(
                base.architecture, 0, self._input_shape, self._classes, self._objective, (), self._settings
            )
            deep = [] if self._settings.moves == "grow" else list(self._deeply_trimmed(base.architecture, near))
            self._made[base.arch_id] = Generation(
                [*near.candidates, *(candidate for candidate, _ in deep)],
                [*near.memory, *(memory for _, memory in deep)],
                near.counts,
                near.over_budget,
            )
        return self._made[base.arch_id]

    def _measured(self, architecture: Architecture) -> MemoryFigures:
        objective = self._objective
        return measure(
            architecture, self._input_shape, self._classes, objective.weight_bytes, objective.activation_bytes
        )

    def _deeply_trimmed(self, base: Architecture, near: Generation) -> Iterator[tuple[Candidate, MemoryFigures]]:
        """Yield networks that several trims at once make: the same trim in all blocks, or a mixture.

        One trim takes a few percent of the memory. Networks that have their base's weights recover from several.
        """
        objective, base_id = self._objective, base.arch_id
        seen = {base_id, *(candidate.arch_id for candidate in near.candidates)}
        for network, move in everywhere(base):
            memory = self._measured(network)
            if network.arch_id not in seen and fits(memory, objective):
                seen.add(network.arch_id)
                yield Candidate(network, network.arch_id, base_id, move, 0), memory
        whole = performance_of(self._measured(base), 0.0, objective).total_bytes
        rng = random.Random(f"{self._settings.seed} {base_id}")
        trimmed = [candidate for candidate in near.candidates if _way(candidate) is _Way.TRIMMED]
        for share in DEEP_SHARES:
            limit = replace(objective, max_total_bytes=max(1, round(share * whole)))
            too_large = [candidate for candidate in trimmed if not fits(self._measured(candidate.architecture), limit)]
            if too_large:
                deep = trimmed_to_fit(too_large, self._settings.top_k, seen, limit, self._measured, rng)
                seen.update(candidate.arch_id for candidate, _ in deep)
                yield from deep


class _Way(Enum):
    """How a candidate was made, in the order in which the ways take turns."""

    TRIMMED = auto()
    TRIMMED_DEEPLY = auto()
    GROWN = auto()


def _way(candidate: Candidate) -> _Way:
    if is_grown(candidate):
        return _Way.GROWN
    return _Way.TRIMMED_DEEPLY if MOVES in candidate.move or "everywhere" in candidate.move else _Way.TRIMMED


def rank_for_front(
    generation: Generation,
    controller: Controller | None,
    bases: Sequence[Base],
    front: Front,
    objective: ObjectiveSettings,
    top_k: int,
    seed: int,
) -> Ranking:
    """Order a round's candidates by the area that they are expected to add to the front.

    Those that are expected to add something come first; trimmed, deeply trimmed and grown ones take turns, since a
    guess that favours one way would never see the others.

    Args:
        generation: The candidates.
        controller: What has been learnt, accuracies; None: all are taken to be as accurate as their bases.
        bases: What they were made from.
        front: All that was trained so far.
        objective: The convention of the activation peak.
        top_k: So many are chosen to differ from each other.
        seed: Decides the order of equal ones.
    """
    candidates = generation.candidates
    accuracies = _expected_accuracies(candidates, controller, bases)
    expected = [
        performance_of(memory, accuracy, objective)
        for memory, accuracy in zip(generation.memory, accuracies, strict=True)
    ]
    order = _in_turns(candidates, expected, front, top_k, random.Random(seed))
    return Ranking(
        [
            Contender(
                candidates[i],
                generation.memory[i],
                rank,
                None if controller is None else front.gain(expected[i]),
                None if controller is None else accuracies[i],
            )
            for rank, i in enumerate(order, start=1)
        ],
        generation.counts,
    )


def _expected_accuracies(
    candidates: Sequence[Candidate], controller: Controller | None, bases: Sequence[Base]
) -> list[float]:
    """Return what each candidate's accuracy may be: that of its base, and what the controller says it differs by."""
    measured = {base.arch_id: base.performance.accuracy for base in bases}
    of_base = [measured[candidate.parent_id or ""] for candidate in candidates]
    if controller is None or not candidates:
        return of_base
    every = controller.predict([*(b.architecture for b in bases), *(c.architecture for c in candidates)]).tolist()
    predicted = dict(zip(measured, every[: len(bases)], strict=True))
    return [
        min(1.0, max(0.0, accuracy + own - predicted[candidate.parent_id or ""]))
        for candidate, accuracy, own in zip(candidates, of_base, every[len(bases) :], strict=True)
    ]


def _in_turns(
    candidates: Sequence[Candidate], expected: Sequence[Performance], front: Front, top_k: int, rng: random.Random
) -> list[int]:
    """Return the indices of candidates: in turns those that add something, then the others by what they lack."""
    shuffled = rng.sample(range(len(candidates)), len(candidates))
    turns: list[list[int]] = []
    for way in _Way:
        kind = [i for i in shuffled if _way(candidates[i]) is way and front.gain(expected[i]) > 0]
        turns.append([kind[place] for place in order_by_gain(front, [expected[i] for i in kind], top_k)])
    useful = [i for turn in zip_longest(*turns) for i in turn if i is not None]
    others = sorted(set(shuffled) - set(useful), key=lambda i: (-front.gain(expected[i]), shuffled[i]))
    return useful + others
