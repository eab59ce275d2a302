"""The steps of a search and their time: its smallest and its largest first network train a little on all workers."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from memnas_core.data import DatasetInfo
from memnas_core.planning.plan import Plan
from memnas_core.records.trainings import Limits
from memnas_core.search.generation import first_extremes
from memnas_core.search.halving import planned_trainings, rung_images
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.training.speed import TrainingTime, time_training
from memnas_core.workers.pool import WorkerPool
from memnas_core.workers.processes import WorkerLostError
from memnas_core.workers.watch import LimitError

GROWN = 1.5
"""Time of an image in later rounds and at the end, relative to that of the largest first network, at most."""

BESIDE_SECONDS = (0.80, 2.72)
"""Least and most of a round of `memnas search` in which nothing trains, on two idle cores (docs/overhead.md)."""

SLOWDOWN_SECONDS = 0.3
"""Time for which it is measured how busy the machine is."""


def timed_plan(settings: Settings, info: DatasetInfo, dataset: Path, pool: WorkerPool) -> Plan:
    """Return the steps of a search, and their time as a few training steps on all workers let expect.

    Args:
        settings: Settings of the search.
        info: Facts about its images.
        dataset: Folder of the prepared images.
        pool: The workers.
    """
    return planned(settings, info, pool.count, lambda network: _time(settings, network, dataset, pool))


def planned(
    settings: Settings, info: DatasetInfo, workers: int, time_one: Callable[[Architecture], TrainingTime | None]
) -> Plan:
    """Return the steps of a search and their time, from the times of its first networks.

    Args:
        settings: Settings of the search.
        info: Facts about its images.
        workers: Number of parallel trainings.
        time_one: Returns the times of a network; None if it cannot be trained.
    """
    search = settings.search
    rungs = list(_rungs(settings, info.train_size))
    end = (settings.final.epochs or 0) * (info.train_size + settings.final.all_images * info.validation_size)
    if end:
        rungs.append((1, end))
    workload = info.workload(settings.objective)
    times = [time_one(each) for each in first_extremes(settings, workload)]
    known = [each for each in times if each is not None]
    slowdown = _slowdown(lambda: first_extremes(settings, workload))

    def seconds(measured: TrainingTime, grown: float, beside: float) -> float:
        each = measured._replace(image=measured.image * grown, evaluation=measured.evaluation * grown)
        trained = 0.0
        for trainings, images in rungs:
            evaluated = math.ceil(images / info.train_size) * info.validation_size  # once an epoch
            trained += math.ceil(trainings / workers) * each.training(images, evaluated)
        return trained + (search.rounds + 1) * beside * slowdown

    span = None
    if len(known) == len(times):
        least, most = BESIDE_SECONDS
        span = min(seconds(each, 1.0, least) for each in known), max(seconds(each, GROWN, most) for each in known)
    return Plan(
        rounds=search.rounds,
        first=search.first_networks,
        candidates=search.top_k,
        images=sum(trainings * images for trainings, images in rungs) - end,
        final_images=end,
        workers=workers,
        seconds=span,
    )


def _rungs(settings: Settings, train_size: int) -> Iterator[tuple[int, int]]:
    """Yield the number of trainings of each rung of each round, and the images of each training."""
    search, full = settings.search, settings.training.epochs * train_size

    def of_round(shares: Sequence[float], candidates: int) -> Iterator[tuple[int, int]]:
        images = [full if rung is None else rung for rung in rung_images(shares, settings.training, train_size)]
        return planned_trainings(images, candidates, search.keep)

    yield from of_round(search.seed_rungs, search.first_networks)
    for _ in range(search.rounds):
        yield from of_round(search.rungs, search.top_k)


def _time(settings: Settings, architecture: Architecture, dataset: Path, pool: WorkerPool) -> TrainingTime | None:
    """Return the mean times of a network that all workers train at once; None if it cannot be trained."""

    def on_a_worker(_number: int) -> TrainingTime | None:
        try:
            return pool.run(
                time_training,
                dataset.absolute(),
                architecture,
                settings.training,
                limits=Limits.of(settings.execution),
                is_last=lambda measured: measured is None,
            )
        except (WorkerLostError, LimitError):
            return None

    with ThreadPoolExecutor(pool.count) as threads:
        times = [each for each in threads.map(on_a_worker, range(pool.count)) if each]
    return TrainingTime(*(sum(each) / len(times) for each in zip(*times, strict=True))) if times else None


def _slowdown(work: Callable[[], object]) -> float:
    """Return how much longer this thread takes for some work than it would on a core of its own."""
    begun, own = time.perf_counter(), time.thread_time()
    while time.perf_counter() - begun < SLOWDOWN_SECONDS:
        work()
    return (time.perf_counter() - begun) / (time.thread_time() - own)
