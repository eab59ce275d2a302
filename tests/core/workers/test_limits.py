"""Workers that are held to limits of memory and time: real processes, real allocations, real trainings."""

import mmap
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.memory_limit import SETTINGS, sampled
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.errors import SettingsError
from memnas_core.records.trainings import Limits, Status, TrainingRecord
from memnas_core.settings.schema import DataSettings
from memnas_core.space import operations as ops
from memnas_core.space.moves import seed_architecture
from memnas_core.training import record as training_records
from memnas_core.training import worker as trainer
from memnas_core.training.job import TrainingJob
from memnas_core.training.process_memory import held_bytes
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers
from memnas_core.workers.watch import MARGIN_BYTES, LimitError, Watch
from tests.core.processes import tell_and_wait

MB = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def _surroundings() -> Iterator[None]:
    """Let the workers import this module, for they look where this process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[3])
        yield


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(cpu_places(2)) as pool:
        yield pool


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A job that needs a few megabytes."""
    store = tmp_path_factory.mktemp("store")
    dataset = prepare_dataset(DataSettings("digits", None, None, 0.1, 300, None), 0, store)
    digest, architecture = open_dataset(dataset).info.digest, seed_architecture((1, 2), 4)
    return TrainingJob(architecture, architecture.arch_id, dataset, digest, SETTINGS, 1, store / "trainings")


@pytest.fixture(scope="module")
def large(small: TrainingJob) -> TrainingJob:
    """A job that needs half a gigabyte more than its worker, and few seconds."""
    architecture = seed_architecture((1,) * 10, 128, (ops.AVERAGE_POOL_3X3, ops.DEPTHWISE_3X3))
    return replace(small, architecture=architecture, arch_id=architecture.arch_id)


def train(workers: Workers, job: TrainingJob) -> TrainingRecord:
    return workers.run(
        trainer.run, job, limits=job.limits, is_last=lambda record: record.status is Status.OUT_OF_MEMORY
    )


# What the workers run; they import this module.


def share_memory(megabytes: int) -> None:
    """Take memory that RLIMIT_DATA does not know, 10 MB at a time, and keep it."""
    blocks = []
    for _ in range(megabytes // 10):
        blocks.append(mmap.mmap(-1, 10 * MB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
        blocks[-1].write(bytes(10 * MB))
        time.sleep(0.1)
    time.sleep(3600)


def test_a_training_that_needs_more_than_its_limit_never_takes_it(workers: Workers, large: TrainingJob) -> None:
    with sampled(workers) as needed:
        free = train(workers, replace(large, seed=2))
    assert free.status is Status.TRAINED
    limit = needed[0] * 3 // 4
    limited = replace(large, limits=Limits(limit, None, None))
    with Workers(cpu_places(1)) as fresh:
        assert fresh.run(held_bytes) + 100 * MB < limit, "the training needs more than the worker itself"
        (first,) = (worker._process.pid for worker in fresh._all)
        with sampled(fresh) as taken:
            record = train(fresh, limited)
        assert record.status is Status.OUT_OF_MEMORY
        assert record.message.startswith(f"out of memory, the limit is {limit:,} bytes: ")
        assert limit / 2 < taken[0] <= limit
        assert training_records.finished(limited) == record
        # a new worker trains what the old one could not
        (second,) = (worker._process.pid for worker in fresh._all)
        assert second != first
        wider = replace(large, limits=Limits(needed[0] * 3 // 2, None, None))
        assert train(fresh, wider).status is Status.TRAINED
        assert training_records.finished(limited) is not None


def test_a_limit_changes_no_result(workers: Workers, small: TrainingJob) -> None:
    limited = replace(small, folder=small.folder / "limited", limits=Limits(2**40, None, 3600.0))
    ours, theirs = train(workers, limited), train(workers, small)
    assert ours.key == theirs.key
    assert ours.validation_accuracy == theirs.validation_accuracy
    name = training_records.WEIGHTS_FILE
    assert (limited.path / name).read_bytes() == (small.path / name).read_bytes()


def test_memory_that_the_worker_cannot_guard_is_watched() -> None:
    """Its parent sees it and ends it; the next job finds a worker."""
    with Workers(cpu_places(1)) as workers:  # that have not trained, for they keep memory
        limit = workers.run(held_bytes) + 50 * MB
        with pytest.raises(LimitError, match=rf"the limit is {limit:,} bytes: the worker held ") as caught:
            workers.run(share_memory, 1000, limits=Limits(limit, None, None))
        assert caught.value.status is Status.OUT_OF_MEMORY
        held = int(str(caught.value).rpartition(" ")[2].replace(",", ""))
        assert held > limit + MARGIN_BYTES
        assert [workers.run(abs, -3) for _ in range(4)] == [3] * 4


def test_a_training_that_hangs_is_ended_alone(workers: Workers, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        other, began = threads.submit(workers.run, tell_and_wait, tmp_path / "other", tmp_path / "go"), time.time()
        hanging = threads.submit(workers.run, time.sleep, 3600, limits=Limits(None, None, 1.5))
        with pytest.raises(LimitError, match=r"not finished after 1\.5 s \(execution\.training_seconds\)") as caught:
            hanging.result()
        assert caught.value.status is Status.TIMED_OUT
        assert began <= caught.value.started <= time.time() - 1.5
        assert not other.done()
        (tmp_path / "go").touch()
        other.result()
    pids = {workers.run(os.getpid) for _ in range(4)}
    assert pids <= {worker._process.pid for worker in workers._all}


class Importing:
    """A worker that still imports until it is told."""

    warm = False

    def is_warm(self) -> bool:
        return self.warm

    def held_bytes(self) -> int:
        return 0


def test_a_worker_that_still_imports_spends_no_time_of_the_job() -> None:
    worker = Importing()
    watch = Watch(worker, Limits(None, None, 0.05), guards_memory=True)
    for _ in range(2):
        watch.look()
        time.sleep(0.1)
    worker.warm = True
    watch.look()  # the time of the job begins
    time.sleep(0.1)
    with pytest.raises(LimitError, match=r"not finished after 0\.05 s"):
        watch.look()


def test_a_limit_below_what_a_worker_needs_is_refused(workers: Workers) -> None:
    held = workers.run(held_bytes)
    with pytest.raises(SettingsError, match=r"^execution\.memory_limit_bytes: expected more than .*found 1,000,000;"):
        workers.check(Limits(1_000_000, None, None))
    workers.check(Limits(held + 100 * MB, None, None))
    workers.check(Limits(None, None, 0.001))


class Holder:
    """A worker that is warm and holds a gigabyte."""

    def is_warm(self) -> bool:
        return True

    def held_bytes(self) -> int:
        return 10**9


def test_the_memory_of_the_machine_is_not_that_of_the_gpu() -> None:
    limits = Limits(5 * 10**8, None, None)
    Watch(Holder(), limits, guards_memory=False).look()
    with pytest.raises(LimitError):
        Watch(Holder(), limits, guards_memory=True).look()
