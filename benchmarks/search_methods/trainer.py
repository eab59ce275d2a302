"""The one trainer of all peers: memnas's own, from nothing, with the settings' data, epochs and augmentation.

Networks are scored as memnas scores its rungs, with the statistics of batch norms measured anew at the end. A training
without rungs is kept under the key of all that decides it, so that a run that was killed repeats nothing; whoever asks
for it pays its images all the same.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.search_methods.box import Box
from benchmarks.search_methods.interface import Figures, Rungs, SpentError
from benchmarks.search_methods.space import Space
from benchmarks.search_methods.tally import Tally
from memnas_core.architecture import Architecture, Operation
from memnas_core.budget import smallest_architecture
from memnas_core.config import Settings
from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import SettingsError
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import seed_architecture
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.measure import MemoryFigures, measure
from memnas_core.network import build_network
from memnas_core.trainer import run
from memnas_core.training import TrainingProgress, accuracy, choose_device, measure_statistics, train
from memnas_core.training_records import finished

SEED_CELLS = (
    (Operation.DEPTHWISE_3X3, Operation.DEPTHWISE_5X5),
    (Operation.CONV_3X3, Operation.DEPTHWISE_5X5),
    (Operation.DEPTHWISE_5X5, Operation.AVERAGE_POOL_3X3),
    (Operation.CONV_3X3, Operation.AVERAGE_POOL_3X3),
)
"""Cells of the networks that peers begin with: those that memnas begins with on either data set, and one more."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched on: a data set, its settings and its box.

    Attributes:
        settings: Data, network, training and objective.
        folder: Of the prepared data.
        info: Facts about the data.
        box: What counts.
    """

    settings: Settings
    folder: Path
    info: DatasetInfo
    box: Box

    @classmethod
    def prepare(cls, settings: Settings, store: Path) -> "Task":
        """Prepare the data, unless they are, and measure the smallest network.

        The box is what the settings tell memnas too: its accuracy floor and its budget of memory.

        Args:
            settings: Their seed decides the validation split, as in memnas.
            store: Receives the prepared data.

        Raises:
            SettingsError: The settings name no box.
        """
        network, objective = settings.network, settings.objective
        reduction = seed_architecture(network.strides, network.filters).reduction
        folder = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=reduction)
        info = open_dataset(folder).info
        floor, largest = objective.accuracy_floor, objective.max_total_bytes
        if floor is None or largest is None:
            raise SettingsError("objective: expected accuracy_floor and max_total_bytes, found null; they are the box")
        memory = _measure(smallest_architecture(network.strides, network.filters), settings, info)
        smallest = memory.param_bytes + memory.activation_bytes("arena")
        return cls(settings, folder, info, Box(floor, smallest, largest))

    @property
    def full_images(self) -> int:
        """Training images of a full training."""
        training = self.settings.training
        batch_size = min(training.batch_size, self.info.train_size)
        return training.epochs * (self.info.train_size // batch_size) * batch_size

    @property
    def space(self) -> Space:
        """What a method may propose."""
        network, search = self.settings.network, self.settings.search
        seeds = [seed_architecture(network.strides, network.filters, pair) for pair in SEED_CELLS]
        return Space(tuple(seeds), search.max_cells, self.total_bytes, self.box)

    def measure(self, architecture: Architecture) -> MemoryFigures:
        """Return the memory of a network."""
        return _measure(architecture, self.settings, self.info)

    def total_bytes(self, architecture: Architecture) -> int:
        """Return weights and activations of a network together."""
        memory = self.measure(architecture)
        return memory.param_bytes + memory.activation_bytes("arena")


def _measure(architecture: Architecture, settings: Settings, info: DatasetInfo) -> MemoryFigures:
    objective = settings.objective
    return measure(
        architecture, Shape(*info.shape), len(info.classes), objective.weight_bytes, objective.activation_bytes
    )


class _StoppedError(Exception):
    """A rung said not to go on."""


class Trainer:
    """Trains for one run until its images are spent; `benchmarks.search_methods.interface.Evaluate`."""

    def __init__(self, task: Task, tally: Tally, limit: int, trainings: Path) -> None:
        """Take what a run has.

        Args:
            task: Data and settings.
            tally: Receives a row for each training and each rung.
            limit: Training images that may be spent; the last training may go beyond.
            trainings: Folder of finished trainings.
        """
        self._task = task
        self._tally = tally
        self._limit = limit
        self._trainings = trainings

    def __call__(self, architecture: Architecture, rungs: Rungs | None = None) -> Figures:
        """Train from nothing and return the figures at the end.

        Raises:
            SpentError: The images were spent before.
        """
        if self._tally.images >= self._limit:
            raise SpentError
        return self._train_fully(architecture) if rungs is None else self._train_in_rungs(architecture, rungs)

    def _job(self, architecture: Architecture) -> TrainingJob:
        settings, arch_id = self._task.settings, architecture.arch_id
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=self._task.folder,
            data_digest=self._task.info.digest,
            settings=settings.training,
            seed=candidate_seed(settings.search.seed, 0, arch_id),
            folder=self._trainings,
            images=self._task.full_images,
        )

    def _train_fully(self, architecture: Architecture) -> Figures:
        job = self._job(architecture)
        record = finished(job) or run(job)
        return self._add(job, record.validation_accuracy, record.images_seen, record.seconds)

    def _add(self, job: TrainingJob, validation_accuracy: float | None, images: int, seconds: float) -> Figures:
        memory = self._task.measure(job.architecture)
        self._tally.add(job.arch_id, validation_accuracy, memory, images, seconds)
        return Figures(validation_accuracy or 0.0, self._tally.rows[-1].total_bytes)

    def _train_in_rungs(self, architecture: Architecture, rungs: Rungs) -> Figures:
        """Train as a job would, but score the network at each rung and stop there if the method says so."""
        job, info = self._job(architecture), self._task.info
        dataset, device = open_dataset(job.dataset), choose_device(job.settings.device)
        augment = Augmentation(info, job.settings, device)
        network = build_network(lower(architecture, Shape(*info.shape), len(info.classes)), job.seed)
        batch_size = min(job.settings.batch_size, info.train_size)
        ends = [round(share * self._task.full_images / batch_size) * batch_size for share in rungs.shares]
        counted, begun = 0, time.perf_counter()
        figures = Figures(0.0, self._task.total_bytes(architecture))

        def at_batch_end(progress: TrainingProgress) -> None:
            nonlocal counted, figures
            if progress.images_seen not in ends:
                return
            measure_statistics(network, dataset, augment, torch.Generator().manual_seed(job.seed))
            found = accuracy(network, dataset.validation, augment, device)
            network.train()
            figures = self._add(job, found, progress.images_seen - counted, time.perf_counter() - begun)
            counted = progress.images_seen
            if not rungs.goes_on(ends.index(progress.images_seen), figures):
                raise _StoppedError

        try:
            outcome = train(network, dataset, job.settings, job.seed, at_batch_end, job.images)
        except _StoppedError:
            return figures
        found = None if outcome.diverged else outcome.history[-1].validation_accuracy
        return self._add(job, found, outcome.images_seen - counted, time.perf_counter() - begun)
