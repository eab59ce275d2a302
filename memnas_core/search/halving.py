"""Successive halving: all candidates of a round train a little, the promising ones go on.

A *rung* is one training of a fixed number of images with a cosine cycle of its own. A candidate that goes on begins its
next rung with the weights of the last one, as a warm restart does.

Source: Jamieson and Talwalkar, 2016; the paper trains all k candidates fully. A candidate's memory is known exactly
from the start, so that some can safely be stopped: those that would not win even with an accuracy of 1.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from memnas_core.records.trainings import TrainingRecord, joined
from memnas_core.search.candidates import RankedCandidate
from memnas_core.settings.schema import TrainingSettings


def rung_images(rungs: Sequence[float], training: TrainingSettings, train_size: int) -> tuple[int | None, ...]:
    """Return the training images of each rung; None: a full training of the settings, restarts included.

    Args:
        rungs: Length of each rung as a share of a full training.
        training: Epochs of a full training.
        train_size: Training images of the data set.
    """
    full = training.epochs * train_size
    return tuple(None if share == 1 else max(1, round(share * full)) for share in rungs)


def planned_trainings(images: Sequence[int], candidates: int, keep: float) -> Iterator[tuple[int, int]]:
    """Yield the number of trainings of each rung, and the images of each, where as many go on as `keep` allows.

    Args:
        images: Training images of each rung.
        candidates: Number of candidates in the first rung.
        keep: Largest share of candidates that goes on to the next rung.
    """
    for rung in images:
        yield candidates, rung
        candidates = math.ceil(keep * candidates)


def planned_images(images: Sequence[int], candidates: int, keep: float) -> int:
    """Return the training images of a round; its arguments are those of `planned_trainings`."""
    return sum(trainings * rung for trainings, rung in planned_trainings(images, candidates, keep))


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
