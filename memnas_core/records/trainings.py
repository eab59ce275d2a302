"""The record of one training: its history, its outcome and its limits.

Limits do not influence results, so the key of a training does not depend on them. A failure that they caused stands
under equal or tighter limits; under wider ones the training is tried again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from memnas_core.records.class_counts import ClassCounts
from memnas_core.settings.schema import ExecutionSettings


class Status(StrEnum):
    """Whether a candidate was trained, and how the training ended."""

    GENERATED = "generated"  # ranked, but not among the top k
    TRAINED = "trained"
    DIVERGED = "diverged"  # the loss became non-finite or exploded
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"  # it took longer than execution.training_seconds
    WORKER_LOST = "worker_lost"  # its worker process died, twice


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """Figures of one epoch of a training.

    Attributes:
        epoch: Number of the epoch from 1; the last one may be incomplete.
        train_loss: Mean cross-entropy over the epoch's batches, augmented.
        train_accuracy: Accuracy on the same batches while the weights changed, in [0, 1].
        validation_accuracy: Validation accuracy after the epoch, by the measure of the settings, in [0, 1]; null if the
            validation images are trained on.
        learning_rate: Learning rate at the epoch's end.
        seconds: Wall time of the epoch with its validation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Progress of a running training.

    Attributes:
        epoch: Number of the epoch from 1.
        images_seen: Training images seen so far.
        images_total: Images of the whole training.
        train_loss: Loss of the last batch.
    """

    epoch: int
    images_seen: int
    images_total: int
    train_loss: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one training.

    Attributes:
        memory_bytes: On a CPU, memory of its process (`memnas_core.training.process_memory`); on CUDA, memory of its
            GPU; None: no limit.
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
            then: Limits under which it failed.
            failure: How it failed. A lost worker counts as out of memory, the usual reason for losing one.
        """
        if failure is Status.TIMED_OUT:
            return _wider(self.seconds, then.seconds)
        if failure in (Status.OUT_OF_MEMORY, Status.WORKER_LOST):
            return _wider(self.memory_bytes, then.memory_bytes) or _wider(self.gpu_share or 1.0, then.gpu_share or 1.0)
        return False


NO_LIMITS = Limits(memory_bytes=None, gpu_share=None, seconds=None)


def _wider(now: float | None, then: float | None) -> bool:
    return (math.inf if now is None else now) > (math.inf if then is None else then)


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A finished training.

    Attributes:
        arch_id: Id of the trained architecture.
        status: TRAINED, DIVERGED, OUT_OF_MEMORY, TIMED_OUT or WORKER_LOST.
        validation_accuracy: Validation accuracy, by the measure of the settings, in [0, 1]; null unless trained, and
            if the validation images were trained on.
        images_seen: Training images seen.
        started: Unix time of the start.
        seconds: Wall time in the worker.
        device: Name of the device that it ran on.
        message: What went wrong, in words; empty if nothing did.
        history: Figures of each epoch.
        key: Key of the training, which names its weights; in joined records that of the best one.
        limits: Limits under which it ran out of memory or time, or lost its worker; null otherwise.
        validation_counts: Results on the validation images by class; null where there is no validation accuracy, and in
            earlier records.
        cpu_seconds: CPU time of the worker's process, all threads together; null where the process was lost or ended,
            and in earlier records.
    """

    arch_id: str
    status: Status
    validation_accuracy: float | None
    images_seen: int
    started: float
    seconds: float
    device: str
    message: str
    history: tuple[EpochFigures, ...] = field(default=())
    key: str = ""
    limits: Limits | None = None
    validation_counts: ClassCounts | None = None
    cpu_seconds: float | None = None


def joined(rungs: Sequence[TrainingRecord]) -> TrainingRecord:
    """Return the successive trainings of a candidate as one record: costs add up, the best result counts.

    A warm restart may end less accurate than it began; then the weights of an earlier rung are the candidate's.

    Args:
        rungs: Records of one or more rungs, in order.
    """
    history: list[EpochFigures] = []
    for rung in rungs:
        history += [replace(line, epoch=len(history) + place) for place, line in enumerate(rung.history, start=1)]
    return replace(
        max(rungs, key=lambda rung: rung.validation_accuracy or 0.0),
        images_seen=sum(rung.images_seen for rung in rungs),
        started=rungs[0].started,
        seconds=sum(rung.seconds for rung in rungs),
        cpu_seconds=known_cpu_seconds(rungs),
        history=tuple(history),
    )


def known_cpu_seconds(records: Sequence[TrainingRecord]) -> float:
    """Return the CPU time of all trainings of which it is known."""
    return sum(record.cpu_seconds for record in records if record.cpu_seconds is not None)
