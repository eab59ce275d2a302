"""`search.aim: front`: the whole Pareto front of accuracy and memory.

Every network on the front is a base: its neighbours by one move, and by several trims at once, are the round's
candidates. Those that are expected to add most to the front are trained. The expected accuracy is the measured accuracy
of the base plus the difference that the controller predicts; the memory is exact.

Source: goes beyond the paper, which follows one base and so leaves most of the front unexplored.
"""

import math
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import chain, zip_longest

from memnas_core.controller.interface import Controller
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.budget import fits, measuring, trimmed_to_fit
from memnas_core.objective.floor import ERROR_FACTOR, Guessing, reachable_floor
from memnas_core.objective.front import Front, order_by_gain
from memnas_core.objective.score import Performance, performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.choice import base_of, front_of
from memnas_core.search.generation import generate_round
from memnas_core.search.state import SearchState
from memnas_core.settings.schema import ObjectiveSettings, SearchSettings, Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Workload
from memnas_core.space.moves import Candidate, MoveCounts, everywhere, resized_everywhere

FLOOR_SHARE = 0.8
"""Accuracy floor without a setting, as a share of the way from guessing to the first network's accuracy."""

DEEP_SHARES = (0.7, 0.5, 0.35)
"""Shares of the base's memory that candidates are trimmed to with several moves at once."""


def accuracy_floor(
    objective: ObjectiveSettings,
    first_accuracy: float,
    best_accuracy: float,
    classes: int,
    guessing: Callable[[], Guessing],
) -> float:
    """Return the accuracy at which a front begins: that of the settings, or most of the way to the first network's.

    While no network is above the floor of the settings, the front begins near the best accuracy. Networks there lead to
    more accurate ones; an empty front would leave only a single base and its largest neighbours.

    Args:
        objective: The accuracy floor of the settings, if any.
        first_accuracy: Accuracy of the network that round 0 chose.
        best_accuracy: Best accuracy of all trained networks.
        classes: Number of classes.
        guessing: Function that returns the accuracy of always guessing the largest class, for the floor `auto`.
    """
    uniform = 1 / classes
    if objective.accuracy_floor == "auto":
        return reachable_floor(best_accuracy, guessing())
    if objective.accuracy_floor is None:
        return uniform + FLOOR_SHARE * (first_accuracy - uniform)
    if best_accuracy > objective.accuracy_floor:
        return objective.accuracy_floor
    return max(uniform, 1 - ERROR_FACTOR * (1 - best_accuracy))


def first_front(memory: Sequence[MemoryFigures], objective: ObjectiveSettings, classes: int) -> Front:
    """Return the empty front before any training: it begins at guessing and ends beyond the largest network.

    Args:
        memory: Memory of each network of round 0.
        objective: The convention of the activation peak.
        classes: Number of classes.
    """
    guessing = 1 / classes
    return Front.of([performance_of(figures, guessing, objective) for figures in memory], guessing)


@dataclass(frozen=True, slots=True)
class FrontComparison:
    """Comparison by the gain over a front.

    Attributes:
        front: The front of all networks trained before the round.
    """

    front: Front

    def value(self, measured: Performance) -> float:
        """Return the area that a network adds to the front."""
        return self.front.gain(measured)

    def best_possible(self, measured: Performance) -> float:  # noqa: ARG002 -- for any memory
        """Return infinity: any network may have a place on the front, not only the best."""
        return math.inf


class FrontAim:
    """The aim of finding the Pareto front; all networks on it are bases."""

    def __init__(self, settings: Settings, workload: Workload) -> None:
        self._settings = settings
        self._workload = workload
        self._neighbourhoods = Neighbourhoods(settings.search, settings.objective, workload)

    @staticmethod
    def check(settings: Settings) -> None:
        """Refuse a controller that learns Eq. 4, which is relative to one base.

        Raises:
            ValueError: The controller has another target than accuracy.
        """
        if settings.controller.target != "accuracy":
            raise ValueError(
                "controller.target: expected accuracy with search.aim: front, found metric, which is relative to a base"
            )

    def generate(self, search: SearchState, number: int) -> Generation:
        """Return the neighbours of all networks on the front."""
        return self._neighbourhoods.generate(search.bases, number, search.known)

    def rank(self, search: SearchState, generation: Generation, seed: int) -> Ranking:
        """Order candidates by the area that they are expected to add to the front."""
        objective, top_k = self._settings.objective, self._settings.search.top_k
        front = self.comparison(search).front
        return rank_for_front(generation, search.controller, search.bases, front, objective, top_k, seed)

    def comparison(self, search: SearchState) -> FrontComparison:
        """Return the comparison with the front of all networks trained before the round."""
        if not search.chosen:
            return FrontComparison(first_front(search.first.memory, self._settings.objective, self._workload.classes))
        return FrontComparison(Front.of(search.trained, self._floor(search)))

    def bases(self, search: SearchState) -> tuple[Base, ...]:
        """Return the networks on the front, or the last round's choice if the front is empty."""
        return front_bases(search.rows, self._settings.objective, self._floor(search)) or (search.chosen[-1],)

    def completion(self, search: SearchState) -> str | None:  # noqa: ARG002 -- the same for any state
        """Return None: the search for a front has no end of its own."""
        return None

    def _floor(self, search: SearchState) -> float:
        first, best = search.chosen[0].performance.accuracy, max(network.accuracy for network in search.trained)
        return accuracy_floor(self._settings.objective, first, best, self._workload.classes, lambda: search.guessing)


def front_bases(rows: Sequence[CandidateRow], objective: ObjectiveSettings, floor: float) -> tuple[Base, ...]:
    """Return the networks on the front that are above the floor, the most accurate first.

    Args:
        rows: Candidates of all rounds.
        objective: The budget, and the convention of the activation peak.
        floor: Accuracy at which the front begins.
    """
    return tuple(
        base_of(row, objective)
        for row in reversed(front_of(rows, objective))
        if row.measured_accuracy is not None and row.measured_accuracy > floor
    )


class Neighbourhoods:
    """The candidates around each base. They depend on the base alone, so each base's are made only once."""

    def __init__(self, settings: SearchSettings, objective: ObjectiveSettings, workload: Workload) -> None:
        """Store what candidates and their memory depend on.

        Args:
            settings: Moves that make candidates, and the seed of deep trimming.
            objective: Budget and convention of the activation peak.
            workload: Images, classes and element widths for measuring.
        """
        self._settings = settings
        self._objective = objective
        self._workload = workload
        self._measured = measuring(workload, objective)
        self._made: dict[str, Generation] = {}

    def generate(self, bases: Sequence[Base], number: int, known: Collection[str]) -> Generation:
        """Return the untrained candidates around all bases, each once, as a child of the first base that has it.

        Args:
            bases: The networks on the front.
            number: Number of the round.
            known: Ids of networks whose training was started before.
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
        single = sum(candidate.is_single or candidate.is_grown for candidate, _ in found.values())
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
            near = generate_round(base.architecture, 0, self._workload, self._objective, (), self._settings)
            deep = [] if self._settings.moves == "grow" else list(self._changed_deeply(base.architecture, near))
            self._made[base.arch_id] = Generation(
                [*near.candidates, *(candidate for candidate, _ in deep)],
                [*near.memory, *(memory for _, memory in deep)],
                near.counts,
                near.over_budget,
            )
        return self._made[base.arch_id]

    def _changed_deeply(self, base: Architecture, near: Generation) -> Iterator[tuple[Candidate, MemoryFigures]]:
        """Yield networks made by several trims at once: the same trim in all blocks, or different ones.

        One trim saves a few percent of the memory. Networks with their base's weights recover from several trims.
        Where widths are searched, all blocks are also widened or narrowed by one step.
        """
        objective, base_id = self._objective, base.arch_id
        seen = {base_id, *(candidate.arch_id for candidate in near.candidates)}
        resized = resized_everywhere(base) if self._settings.widths else ()
        for network, move in chain(everywhere(base), resized):
            memory = self._measured(network)
            if network.arch_id not in seen and fits(memory, objective):
                seen.add(network.arch_id)
                yield Candidate(network, network.arch_id, base_id, (move,), 0), memory
        whole = performance_of(self._measured(base), 0.0, objective).total_bytes
        rng = random.Random(f"{self._settings.seed} {base_id}")
        trimmed = [candidate for candidate in near.candidates if _way(candidate) is _Way.TRIMMED]
        for share in DEEP_SHARES:
            limit = replace(objective, max_total_bytes=max(1, round(share * whole)))
            too_large = [candidate for candidate in trimmed if not fits(self._measured(candidate.architecture), limit)]
            if too_large:
                count, widths = self._settings.top_k, self._settings.widths
                deep = trimmed_to_fit(too_large, count, seen, limit, self._measured, rng, widths)
                seen.update(candidate.arch_id for candidate, _ in deep)
                yield from deep


class _Way(Enum):
    """How a candidate was made, in the order in which the ways take turns."""

    TRIMMED = auto()
    TRIMMED_DEEPLY = auto()
    GROWN = auto()
    WIDENED = auto()


def _way(candidate: Candidate) -> _Way:
    if candidate.is_grown:
        return _Way.GROWN
    if candidate.is_widened:
        return _Way.WIDENED
    return _Way.TRIMMED if candidate.is_single else _Way.TRIMMED_DEEPLY


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

    Those that are expected to add something come first. Among them trimmed, deeply trimmed, grown and widened ones take
    turns, so that a prediction that favours one way does not exclude the others.

    Args:
        generation: The candidates.
        controller: Predicts accuracies; None: candidates are assumed to be as accurate as their bases.
        bases: Bases of the candidates.
        front: Front of all networks trained so far.
        objective: The convention of the activation peak.
        top_k: Number of candidates of each way that are chosen to differ from each other.
        seed: Seed of the order of ties.
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
            RankedCandidate(
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
    """Return each candidate's expected accuracy: its base's plus the difference that the controller predicts."""
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
    """Return the indices of candidates: in turns those with a gain, then the others by the accuracy they lack."""
    shuffled = rng.sample(range(len(candidates)), len(candidates))
    turns: list[list[int]] = []
    for way in _Way:
        kind = [i for i in shuffled if _way(candidates[i]) is way and front.gain(expected[i]) > 0]
        turns.append([kind[place] for place in order_by_gain(front, [expected[i] for i in kind], top_k)])
    useful = [i for turn in zip_longest(*turns) for i in turn if i is not None]
    others = sorted(set(shuffled) - set(useful), key=lambda i: (-front.gain(expected[i]), shuffled[i]))
    return useful + others
