"""Warm worker processes: spawned once, one torch thread each and a share of a GPU if any, replaced when one dies.

Prefect's tasks wait in threads for jobs that run here. torch's thread count and default generator belong to a
process, so that candidates never train in threads of one process.

Each worker is a pool of one process. Processes of one pool share queues and locks, and a process that is killed
while it holds one of those takes the others with it.
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
from memnas_core.limits import NO_LIMITS, Limits
from memnas_core.memory_guard import held_bytes
from tasks.places import Place
from tasks.watch import LimitError, Watch, check_limit

POLL_SECONDS = 0.1

Result = TypeVar("Result")


class WorkerLostError(MemnasError):
    """A worker process died while it ran a job."""


class _Worker:
    """One process."""

    _starting = threading.Lock()

    def __init__(self, place: Place) -> None:
        self.place = place
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=get_context("spawn"),
            initializer=_begin_worker,
            initargs=(os.getpid(), place),
        )
        with self._starting:  # the executor starts its process at the first job and does not say which it is
            before = set(active_children())
            self._warm = self._executor.submit(_warm_up)  # imports torch while the search still prepares
            (self._process,) = set(active_children()) - before

    def submit(self, function: Callable[..., Result], *arguments: object) -> "Future[Result]":
        return self._executor.submit(function, *arguments)

    def is_alive(self) -> bool:
        # Not its own is_alive, which is wrong for a moment while the executor's thread buries a dead process.
        return not wait([self._process.sentinel], timeout=0)

    def is_warm(self) -> bool:
        """Return whether the process has imported what it needs and begins a job at once."""
        return self._warm.done()

    def held_bytes(self) -> int:
        """Return the memory that the process holds, in bytes; 0 if it is no more."""
        return held_bytes(self._process.pid)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._executor.shutdown(wait=False, cancel_futures=True)


class Workers:
    """Processes that run one job at a time each. Threads may share it."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Start the processes.

        Args:
            places: Where each of them trains.
        """
        self.count = len(places)
        self._is_stopped = False
        self._changing = threading.Lock()
        self._all = {_Worker(place) for place in places}
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
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
        """Call a function in a worker, as soon as one is idle, and wait for its result.

        Args:
            function: A module's function; it and its arguments are pickled.
            arguments: What it is given.
            limits: What the job may take; a worker that takes more is ended. Memory is looked at a few times a second
                and not on CUDA, so that a job should guard it by itself, as `memnas_core.trainer.run` does.
            is_last: Whether a result tells that the worker is unfit for another job.
            while_waiting: Called a few times a second while it runs.

        Raises:
            WorkerLostError: The worker died (killed, or out of the machine's memory); a new one takes its place.
            LimitError: The job took more than its limits; a new worker takes the place of its own.
            CancelledError: The workers were stopped.
        """
        worker = self._idle.get()
        try:
            if not worker.is_alive():  # it died between jobs; no job has lost anything
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
        """See that a job's limits leave it something.

        Raises:
            SettingsError: A worker holds more before it trains.
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
        """End all processes at once, whatever they do."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=[parent], daemon=True).start()
    from memnas_core.training import prepare_process

    prepare_process()
    _take(place)


def _take(place: Place) -> None:
    """Make a worker's GPU what `cuda` means in its jobs, which run in the thread that calls this."""
    import torch

    if place.gpu is not None:
        torch.cuda.set_device(place.gpu)
        torch.cuda.set_per_process_memory_fraction(place.memory_share, place.gpu)


def _end_with_parent(parent: int) -> None:
    """Leave when the parent was killed; a pool's processes would outlive it by minutes."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _warm_up() -> None:
    import torch

    import memnas_core.trainer  # noqa: F401

    torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
