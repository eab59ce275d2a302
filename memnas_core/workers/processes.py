"""Warm worker processes: spawned once, one torch thread each and a share of a GPU if any, replaced when one dies.

Threads of the search wait for jobs that run here. torch's thread count and default generator belong to a process,
so candidates never train in threads of one process.

Each worker is a pool of one process. Processes of one pool share queues and locks, and a process that is killed while
it holds one of those takes the others down with it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from multiprocessing.connection import wait
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from memnas_core.errors import MemnasError
from memnas_core.records.trainings import NO_LIMITS, Limits
from memnas_core.training.process_memory import held_bytes
from memnas_core.workers.places import Place
from memnas_core.workers.spawning import safe_path, spared_by_ctrl_c, without_main
from memnas_core.workers.watch import LimitError, Watch, check_limit

POLL_SECONDS = 0.1

Result = TypeVar("Result")


class WorkerLostError(MemnasError):
    """A worker process died while it ran a job."""


class _Worker:
    """A pool of one worker process."""

    _starting = threading.Lock()

    def __init__(self, place: Place) -> None:
        self.place = place
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=get_context("spawn"),
            initializer=_begin_worker,
            initargs=(os.getpid(), place),
        )
        # The executor starts its process at the first job and does not tell which process it is.
        with self._starting, safe_path(), spared_by_ctrl_c(), without_main():
            before = set(active_children())
            try:
                self._warm = self._executor.submit(_warm_up)  # imports torch while the search is still preparing
                (self._process,) = set(active_children()) - before
            except BaseException:  # Ctrl-C: nobody else knows of the process
                for process in set(active_children()) - before:
                    process.kill()
                raise

    def submit(self, function: Callable[..., Result], *arguments: object) -> "Future[Result]":
        return self._executor.submit(function, *arguments)

    def is_alive(self) -> bool:
        # The process's own is_alive is wrong for a moment while the executor's thread cleans up after a dead process.
        return not wait([self._process.sentinel], timeout=0)

    def is_warm(self) -> bool:
        """Return whether the process has finished its imports and can start a job at once."""
        return self._warm.done()

    def held_bytes(self) -> int:
        """Return the memory that the process holds, in bytes, 0 if it no longer exists."""
        return held_bytes(self._process.pid)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        # Its thread notices in a moment. At the interpreter's end, Python 3.11 would wake one that is closing its pipe.
        self._executor.shutdown(wait=True, cancel_futures=True)


class Workers:
    """Processes that run one job at a time each; threads may share them."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Start the processes.

        Args:
            places: Place of each process.
        """
        self.count = len(places)
        self._is_stopped = False
        self._changing = threading.Lock()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: set[_Worker] = set()
        try:
            for place in places:
                self._all.add(_Worker(place))
        except BaseException:
            self.stop()
            raise
        for worker in self._all:
            self._idle.put(worker)

    def run(
        self,
        function: Callable[..., Result],
        *arguments: object,
        limits: Limits = NO_LIMITS,
        is_last: Callable[[Result], bool] = lambda _result: False,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> Result:
        """Call a function in a worker, as `WorkerPool.run` tells (`memnas_core.workers.pool`).

        Memory is checked only a few times a second, and never on CUDA, so a job should guard it itself.

        Raises:
            WorkerLostError: The worker died (killed, or out of the machine's memory); a new one takes its place.
            LimitError: The job exceeded its limits; a new worker takes the place of the one that ran it.
            CancelledError: The workers were stopped.
        """
        worker = self._idle.get()
        try:
            if not worker.is_alive():  # it died between jobs, so that no job was lost
                worker = self._replaced(worker)
            watch = Watch(worker, limits, guards_memory=worker.place.gpu is None)
            future = worker.submit(function, *arguments)
            while not future.done():
                while_waiting()
                watch.look()
                time.sleep(POLL_SECONDS)
            result = future.result()
            if is_last(result):
                worker = self._replaced(worker)
            return result
        except BrokenProcessPool as error:
            worker = self._replaced(worker)
            raise WorkerLostError(f"the worker process died: {error}") from error
        except LimitError:
            worker = self._replaced(worker)
            raise
        finally:
            self._idle.put(worker)

    def check(self, limits: Limits) -> None:
        """Check that a job's memory limit leaves room for training.

        Raises:
            SettingsError: A worker already holds more before it trains.
        """
        most, on_cpu = limits.memory_bytes, all(worker.place.gpu is None for worker in self._all)
        if most is not None and on_cpu:
            check_limit(most, self.run(held_bytes))

    def _replaced(self, worker: _Worker) -> _Worker:
        worker.kill()
        with self._changing:
            if self._is_stopped:
                raise CancelledError("the workers were stopped")
            self._all.remove(worker)
            new = _Worker(worker.place)
            self._all.add(new)
        return new

    def stop(self) -> None:
        """End all processes at once, whatever they are doing."""
        with self._changing:
            self._is_stopped = True
            for worker in self._all:
                worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _begin_worker(parent: int, place: Place) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also for whatever a job starts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=[parent], daemon=True).start()
    from memnas_core.training.loop import prepare_process

    prepare_process()
    _take(place)


def _take(place: Place) -> None:
    """Make `cuda` mean the worker's GPU in its jobs, which run in the thread that calls this function."""
    import torch

    if place.gpu is not None:
        torch.cuda.set_device(place.gpu)
        torch.cuda.set_per_process_memory_fraction(place.memory_share, place.gpu)


def _end_with_parent(parent: int) -> None:
    """Exit when the parent was killed; a pool's processes would otherwise outlive it by minutes."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _warm_up() -> None:
    import torch

    import memnas_core.training.worker  # noqa: F401

    torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
