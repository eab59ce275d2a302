"""Successive halving: all candidates of a round train a little, the promising ones go on.

A *rung* is one training of a fixed number of images with a cosine cycle of its own. A candidate that goes on begins its
next rung with the weights of the last one, as a warm restart does.

Source: Jamieson and Talwalkar, 2016; the paper trains all k candidates fully. A candidate's memory is known exactly
from the start, so that some can safely be stopped: those that would not win even with an accuracy of 1.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from memnas_core.records.trainings import TrainingRecord, joined
from memnas_core.search.candidates import RankedCandidate
from memnas_core.settings.schema import Settings, TrainingSettings


def rung_images(rungs: Sequence[float], training: TrainingSettings, train_size: int) -> tuple[int | None, ...]:
    """Return the training images of each rung; None: a full training of the settings, restarts included.

    Args:
        rungs: Length of each rung as a share of a full training.
        training: Epochs of a full training.
        train_size: Training images of the data set.
    """
    full = training.epochs * train_size
    return tuple(None if share == 1 else max(1, round(share * full)) for share in rungs)


def planned_images(images: Sequence[int], candidates: int, keep: float) -> int:
    """Return the training images of a round in which as many candidates go on as `keep` allows.

    Args:
        images: Training images of each rung.
        candidates: Number of candidates in the first rung.
        keep: Largest share of candidates that goes on to the next rung.
    """
    total = 0
    for rung in images:
        total += candidates * rung
        candidates = math.ceil(keep * candidates)
    return total


GROWN = 1.5
"""Time of an image, and beside training, in later rounds and at the end, relative to round 0: most networks become
larger, a few smaller, and there are more candidates (searches on digits: 1.5 times the seconds beside training)."""


class SearchImages(NamedTuple):
    """The training images of a whole search.

    Attributes:
        first: Those of round 0, whose networks number one for each of `search.seed_cells`.
        rounds: Those of all rounds after it.
        end: Those of the final training.
        steps: Number of rounds after round 0, and one for the end.
    """

    first: int
    rounds: int
    end: int
    steps: int

    def seconds(self, first_image_seconds: float, workers: int, first_beside_seconds: float) -> float:
        """Return the time that rounds and end take.

        Args:
            first_image_seconds: Time for which a worker trains on an image in round 0, in seconds.
            workers: Parallel trainings; the final one runs alone.
            first_beside_seconds: Part of round 0 in which nothing trained, in seconds: candidates, files, records.
        """
        training = first_image_seconds * (self.rounds / workers + self.end)
        return GROWN * (training + self.steps * first_beside_seconds)


def search_images(settings: Settings, train_size: int, validation_size: int) -> SearchImages:
    """Return how many training images a search takes if no limit ends it early.

    Args:
        settings: Settings of the search.
        train_size: Training images of the data set.
        validation_size: Its validation images, which the retraining may see too.
    """
    search, full = settings.search, settings.training.epochs * train_size

    def images(shares: Sequence[float], candidates: int, keep: float) -> int:
        rungs = rung_images(shares, settings.training, train_size)
        return planned_images([full if rung is None else rung for rung in rungs], candidates, keep)

    return SearchImages(
        first=images(search.seed_rungs, search.first_networks, search.keep),
        rounds=search.rounds * images(search.rungs, search.top_k, search.keep),
        end=(settings.final.epochs or 0) * (train_size + settings.final.all_images * validation_size),
        steps=search.rounds + 1,
    )


def going_on(values: Sequence[float], best_possible: Sequence[float], keep: float) -> list[int]:
    """Return the indices of the candidates that go on to the next rung, the best first.

    Args:
        values: Current value of each candidate; higher is better.
        best_possible: Upper bound on the value of each with an accuracy of 1.
        keep: Largest share of the candidates that goes on; their number is rounded up.
    """
    best = max(values, default=0.0)
    order = sorted(range(len(values)), key=lambda index: -values[index])
    most = math.ceil(keep * len(values))
    return [index for index in order[:most] if best_possible[index] >= best]


def climb(
    candidates: Sequence[RankedCandidate],
    rungs: int,
    train: Callable[[int, Sequence[RankedCandidate], Sequence[TrainingRecord | None]], Iterable[TrainingRecord]],
    select: Callable[[Sequence[RankedCandidate], Sequence[TrainingRecord]], Sequence[RankedCandidate]],
    ended: Callable[[Sequence[RankedCandidate], Sequence[TrainingRecord]], None],
) -> list[TrainingRecord]:
    """Train candidates rung by rung and return a record for each, in their order, that adds up its rungs.

    Args:
        candidates: Candidates of the first rung.
        rungs: Number of rungs.
        train: Function that trains a rung's candidates, given its number from 0 and their records so far.
        select: Function that returns the candidates that go on, given the records so far.
        ended: Function that is called with candidates that train no further, and their records so far.
    """
    trained: dict[str, list[TrainingRecord]] = {one.arch_id: [] for one in candidates}

    def so_far(of: Sequence[RankedCandidate]) -> list[TrainingRecord]:
        return [joined(trained[one.arch_id]) for one in of]

    running = candidates
    for rung in range(rungs):
        before: Sequence[TrainingRecord | None] = [None] * len(running)
        if rung > 0:
            chosen = select(running, so_far(running))
            stopped = [one for one in running if one not in chosen]
            ended(stopped, so_far(stopped))
            running, before = chosen, so_far(chosen)
        for record in train(rung, running, before):
            trained[record.arch_id].append(record)
    ended(running, so_far(running))
    return so_far(candidates)
