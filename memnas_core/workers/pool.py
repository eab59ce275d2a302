"""What a search needs of its workers."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from memnas_core.records.trainings import NO_LIMITS, Limits

Result = TypeVar("Result")


class WorkerPool(Protocol):
    """Runs functions elsewhere, one at a time in each of its workers; threads may share it."""

    @property
    def count(self) -> int:
        """Number of workers when the search begins; a cluster may grow and shrink."""

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
            arguments: Arguments of the function.
            limits: Limits of the job; a worker that exceeds them is ended. A job guards its memory itself, as
                `memnas_core.training.worker.run` does.
            is_last: Whether a result shows that the worker is unfit for another job.
            while_waiting: Called a few times a second while the job runs.

        Raises:
            WorkerLostError: The worker died.
            LimitError: The job exceeded its limits.
            CancelledError: The workers were stopped.
        """

    def check(self, limits: Limits) -> None:
        """Check that a job's memory limit leaves room for training.

        Raises:
            SettingsError: A worker already holds more before it trains.
        """

    def stop(self) -> None:
        """End everything that runs, at once."""
