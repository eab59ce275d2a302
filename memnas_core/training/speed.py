"""Time that training takes on this machine, measured on a few batches."""

import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from memnas_core.data import Dataset, open_checked
from memnas_core.data.augmentation import Augmentation
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.training.loop import choose_device, class_counts, train
from memnas_core.training.network import Network, build_network

_STEPS = 8
"""Training steps that are timed."""


class TrainingTime(NamedTuple):
    """Time that a worker needs for a network, in seconds.

    Attributes:
        image: A training step, for each of its images.
        evaluation: The evaluation of a validation image.
        beginning: All else of a training: opening and checking the images, building the network, its statistics.
    """

    image: float
    evaluation: float
    beginning: float

    def training(self, images: int, evaluated: int) -> float:
        """Return the time of a training that sees so many images, and evaluates so many."""
        return self.beginning + images * self.image + evaluated * self.evaluation


def time_training(
    dataset: Path | Dataset, architecture: Architecture, settings: TrainingSettings
) -> TrainingTime | None:
    """Train a network for a few steps as a search does, and return its times; None if it cannot be trained.

    It should run in a worker, while the other workers do the same. Nothing is kept.

    Args:
        dataset: Folder of the prepared images, or the images themselves.
        architecture: The network.
        settings: Settings of a training.
    """
    images = dataset if isinstance(dataset, Dataset) else open_checked(dataset)
    size = min(settings.batch_size, len(images.train.labels))
    try:
        _train(images, architecture, settings, size)  # imports and allocates
        begun = time.perf_counter()
        if isinstance(dataset, Path):
            open_checked(dataset)
        network, steps = _train(images, architecture, settings, _STEPS * size)
        trained, device = time.perf_counter(), choose_device(settings.device)
        class_counts(network, images.validation, Augmentation(images.info, settings, device), device)
        validated = time.perf_counter()
    except (MemoryError, RuntimeError):  # most allocators raise the latter; the search records it as a failed training
        return None
    step = median(after - before for before, after in pairwise(steps))
    evaluation = (validated - trained) / len(images.validation.labels)
    return TrainingTime(step / size, evaluation, max(0.0, trained - begun - _STEPS * step))


def _train(
    dataset: Dataset, architecture: Architecture, settings: TrainingSettings, images: int
) -> tuple[Network, list[float]]:
    """Return a new network, trained on some images, and when each step ended."""
    network, steps = build_network(dataset.info.graph(architecture), seed=0), list[float]()
    train(
        network,
        dataset,
        settings,
        seed=0,
        on_progress=lambda _progress: steps.append(time.perf_counter()),
        images=images,
        measure=None,
    )
    return network, steps
