"""What the search's process sees of a worker that exceeds its limits, and when it ends it."""

import time
from typing import Protocol

from memnas_core.errors import MemnasError, SettingsError
from memnas_core.limits import Limits
from memnas_core.records import Status

MARGIN_BYTES = 32_000_000
"""A worker that holds so much more than its limit is ended. Its own guard, which comes first, has not held it then."""


class LimitError(MemnasError):
    """A job exceeded its limits and was ended together with its worker.

    Attributes:
        status: TIMED_OUT or OUT_OF_MEMORY.
        started: Unix time at which it was begun.
    """

    def __init__(self, message: str, status: Status, started: float) -> None:
        super().__init__(message)
        self.status = status
        self.started = started


def check_limit(most: int, held: int) -> None:
    """See that a limit on memory leaves a training something.

    Args:
        most: The limit, in bytes.
        held: What a worker holds before it trains, in bytes.

    Raises:
        SettingsError: It is more.
    """
    if held >= most:
        raise SettingsError(
            f"execution.memory_limit_bytes: expected more than the {held:,} bytes that a worker process holds "
            f"before it trains, found {most:,}; raise it, or set null for no limit"
        )


class Watched(Protocol):
    """A worker process."""

    def is_warm(self) -> bool:
        """Return whether it has imported what it needs and begins a job at once."""

    def held_bytes(self) -> int:
        """Return the memory that it holds, in bytes; 0 if it is no more."""


class Watch:
    """Looks at a worker while it runs a job."""

    def __init__(self, worker: Watched, limits: Limits, guards_memory: bool) -> None:
        """Begin with a job.

        Args:
            worker: Who runs it.
            limits: What it may take.
            guards_memory: Whether the limit on memory is on what the process holds.
        """
        self._worker = worker
        self._seconds = limits.seconds
        self._memory_bytes = limits.memory_bytes if guards_memory else None
        self._begun: float | None = None

    def look(self) -> None:
        """Compare what the job has taken with its limits.

        Raises:
            LimitError: It is more.
        """
        if self._begun is None:
            if not self._worker.is_warm():  # it still imports; the job waits
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
