"""What one training may take of a machine, and when a failure under such limits still tells something.

Limits decide no result, so that no key of a training holds them. A failure that they caused holds for limits as tight
or tighter; under wider ones the training is tried again.
"""

import math
from dataclasses import dataclass
from typing import Self

from memnas_core.config import ExecutionSettings
from memnas_core.records import Status


@dataclass(frozen=True, slots=True)
class Limits:
    """What one training may take.

    Attributes:
        memory_bytes: On a CPU, of all that its process holds (`memnas_core.memory_guard`); on CUDA, of its GPU; None:
            no limit.
        gpu_share: Share of its GPU's memory, in (0, 1]; None: all of it.
        seconds: Wall time; None: no limit.
    """

    memory_bytes: int | None
    gpu_share: float | None
    seconds: float | None

    @classmethod
    def of(cls, execution: ExecutionSettings) -> Self:
        """Return the limits that the settings name."""
        return cls(execution.memory_limit_bytes, execution.gpu_fraction, execution.training_seconds)

    def are_wider(self, then: Self, failure: Status) -> bool:
        """Return whether a training that failed under other limits might succeed under these.

        Args:
            then: Under which it failed.
            failure: How. A worker that was lost counts as one that was out of memory: most were ended for that.
        """
        if failure is Status.TIMED_OUT:
            return _wider(self.seconds, then.seconds)
        if failure in (Status.OUT_OF_MEMORY, Status.WORKER_LOST):
            return _wider(self.memory_bytes, then.memory_bytes) or _wider(self.gpu_share or 1.0, then.gpu_share or 1.0)
        return False


NO_LIMITS = Limits(memory_bytes=None, gpu_share=None, seconds=None)


def _wider(now: float | None, then: float | None) -> bool:
    return (math.inf if now is None else now) > (math.inf if then is None else then)
