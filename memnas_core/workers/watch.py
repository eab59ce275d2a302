"""How the search's process watches a worker's limits, and when it ends the worker."""

import time
from typing import Protocol

from memnas_core.errors import MemnasError, SettingsError
from memnas_core.records.trainings import Limits, Status

MARGIN_BYTES = 32_000_000
"""Excess over its limit at which a worker is ended, if its own guard, which acts first, has failed to."""


class LimitError(MemnasError):
    """A job exceeded its limits and was ended together with its worker.

    Attributes:
        status: TIMED_OUT or OUT_OF_MEMORY.
        started: Unix time at which the job was started.
    """

    def __init__(self, message: str, status: Status, started: float) -> None:
        super().__init__(message)
        self.status = status
        self.started = started


def check_limit(most: int, held: int) -> None:
    """Check that a memory limit leaves room for training.

    Args:
        most: The limit, in bytes.
        held: Memory that a worker holds before it trains, in bytes.

    Raises:
        SettingsError: The worker already holds more than the limit.
    """
    if held >= most:
        raise SettingsError(
            f"execution.memory_limit_bytes: expected more than the {held:,} bytes that a worker process holds "
            f"before it trains, found {most:,}; raise it, or set null for no limit"
        )


class Watched(Protocol):
    """A worker process."""

    def is_warm(self) -> bool:
        """Return whether the process has finished its imports and can start a job at once."""

    def held_bytes(self) -> int:
        """Return the memory that the process holds, in bytes, 0 if it no longer exists."""


class Watch:
    """Watches a worker while it runs a job."""

    def __init__(self, worker: Watched, limits: Limits, guards_memory: bool) -> None:
        """Start to watch a job.

        Args:
            worker: Worker that runs the job.
            limits: Limits of the job.
            guards_memory: Whether the memory limit applies to what the process holds.
        """
        self._worker = worker
        self._seconds = limits.seconds
        self._memory_bytes = limits.memory_bytes if guards_memory else None
        self._begun: float | None = None

    def look(self) -> None:
        """Compare the job's time and memory with its limits.

        Raises:
            LimitError: The job has exceeded a limit.
        """
        if self._begun is None:
            if not self._worker.is_warm():  # it is still importing, and the job waits
                return
            self._begun = time.monotonic()
        spent = time.monotonic() - self._begun
        if self._seconds is not None and spent > self._seconds:
            message = f"not finished after {self._seconds:g} s (execution.training_seconds)"
            raise LimitError(message, Status.TIMED_OUT, time.time() - spent)
        if self._memory_bytes is not None:
            held = self._worker.held_bytes()
            if held > self._memory_bytes + MARGIN_BYTES:
                message = f"out of memory, the limit is {self._memory_bytes:,} bytes: the worker held {held:,}"
                raise LimitError(message, Status.OUT_OF_MEMORY, time.time() - spent)
