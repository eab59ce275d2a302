"""The workers that a search gets: processes of this machine, or a Ray cluster."""

from contextlib import AbstractContextManager
from pathlib import Path

from memnas_core.settings.schema import Settings
from memnas_core.workers.places import training_places
from memnas_core.workers.pool import WorkerPool
from memnas_core.workers.processes import Workers


def check_workers(settings: Settings) -> None:
    """Check within seconds that a search can have its workers, without starting any.

    Raises:
        SettingsError: The machine has no such device, too few GPUs for the wanted workers, or no Ray.
        InputError: No Ray cluster answers.
    """
    if settings.execution.runner == "ray":
        from tasks.workers.ray_cluster import check_cluster

        check_cluster(settings.execution.ray_address)
    else:
        training_places(settings.execution, settings.training.device)


def open_workers(settings: Settings) -> AbstractContextManager[WorkerPool]:
    """Return the workers that the settings name; leaving the block ends them.

    Raises:
        SettingsError: As for `check_workers`, or the cluster has no room for a training.
        InputError: No Ray cluster answers.
    """
    if settings.execution.runner == "ray":
        from tasks.workers.ray_workers import RayWorkers

        return RayWorkers(settings.execution, settings.training.device, Path(settings.store))
    return Workers(training_places(settings.execution, settings.training.device))
