"""Where workers train: each on a CPU core, or each on its share of a GPU."""

import math
import os
from dataclasses import dataclass

from memnas_core.errors import SettingsError
from memnas_core.settings.kinds import Device
from memnas_core.settings.schema import ExecutionSettings


@dataclass(frozen=True, slots=True)
class Place:
    """Device that one worker trains on.

    Attributes:
        gpu: Number of its GPU among those that this process sees; None if it trains on the CPU.
        memory_share: Share of the GPU's memory that it may take, in (0, 1].
    """

    gpu: int | None
    memory_share: float


ON_CPU = Place(gpu=None, memory_share=1.0)


def places(workers: int | None, gpus: int, fraction: float | None) -> tuple[Place, ...]:
    """Return the place of each worker; few workers are spread over all GPUs.

    Args:
        workers: Number of workers wanted; None for as many as there are places.
        gpus: Number of GPUs to train on, at least 1.
        fraction: Share of a GPU that one training takes, in (0, 1]; None for all of it.

    Raises:
        SettingsError: More workers are wanted than there are places.
    """
    share = 1.0 if fraction is None else fraction
    on_each = math.floor(1 / share + 1e-9)  # 1 / (1 / 49) is a little less than 49
    if workers is not None and workers > gpus * on_each:
        raise SettingsError(
            f"execution.workers: expected at most {gpus * on_each}, for {gpus} GPUs with room for {on_each} each, "
            f"found {workers}; set fewer, or null, or a smaller execution.gpu_fraction"
        )
    return tuple(Place(number % gpus, share) for number in range(workers or gpus * on_each))


def cpu_places(workers: int | None) -> tuple[Place, ...]:
    """Return the place of each worker; None means one for each CPU core that this process may use."""
    return (ON_CPU,) * (workers or len(os.sched_getaffinity(0)))


def training_places(execution: ExecutionSettings, device: Device) -> tuple[Place, ...]:
    """Return the place of each worker that trains on a device of this machine.

    Raises:
        SettingsError: The machine has no such device, or too few GPUs for the wanted workers.
    """
    import torch

    from memnas_core.training.loop import choose_device

    if choose_device(device).type != "cuda":
        return cpu_places(execution.workers)
    return places(execution.workers, torch.cuda.device_count(), execution.gpu_fraction)
