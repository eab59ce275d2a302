"""The one trainer of all peers: memnas's own, from nothing, with the settings' data, epochs and augmentation.

Networks are scored as memnas scores its rungs, with the statistics of batch norms measured anew at the end. A training
without rungs is kept under the key of all that decides it, so that a run that was killed repeats nothing; whoever asks
for it pays its images all the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.search.methods.box import Box
from benchmarks.search.methods.interface import Figures, Rungs, SpentError
from benchmarks.search.methods.space import Space
from benchmarks.search.methods.tally import Tally
from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.records.trainings import TrainingProgress
from memnas_core.search.generation import first_generation
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.training.job import TrainingJob, candidate_seed
from memnas_core.training.loop import accuracy, choose_device, measure_statistics, train
from memnas_core.training.network import build_network
from memnas_core.training.record import finished
from memnas_core.training.worker import run


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched on: a data set, its settings and its box.

    Attributes:
        settings: Data, network, training and objective.
        folder: Folder of the prepared data.
        info: Facts about the data.
        box: What counts.
    """

    settings: Settings
    folder: Path
    info: DatasetInfo
    box: Box

    @classmethod
    def prepare(cls, settings: Settings, store: Path) -> "Task":
        """Prepare the data, unless they are.

        Args:
            settings: Their seed decides the validation split, as in memnas.
            store: Receives the prepared data.

        Raises:
            SettingsError: The settings name no box.
        """
        reduction = settings.network.reduction
        folder = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=reduction)
        return cls(settings, folder, open_dataset(folder).info, Box.of(settings.objective))

    @property
    def space(self) -> Space:
        """What a method may propose; all begin with memnas's first networks."""
        search, objective = self.settings.search, self.settings.objective
        first = first_generation(search, self.settings.network, self.info.workload(objective), objective)
        seeds = tuple(candidate.architecture for candidate in first.candidates)
        return Space(seeds, search.max_cells, self.total_bytes, self.box)

    def measure(self, architecture: Architecture) -> MemoryFigures:
        """Return the memory of a network."""
        return measure(architecture, self.info.workload(self.settings.objective))

    def total_bytes(self, architecture: Architecture) -> int:
        """Return weights and activations of a network together."""
        memory = self.measure(architecture)
        return memory.param_bytes + memory.activation_bytes(self.settings.objective.activation_convention)


class Lengths(NamedTuple):
    """Training images of one training.

    Attributes:
        full: Where nothing stops it.
        stoppable: Where the method may stop it at rungs.
    """

    full: int
    stoppable: int


class _StoppedError(Exception):
    """A rung said not to go on."""


class Trainer:
    """Trains for one run until its images are spent; `benchmarks.search.methods.interface.Evaluate`."""

    def __init__(self, task: Task, tally: Tally, limit: int, trainings: Path, lengths: Lengths) -> None:
        """Take what a run has.

        Args:
            task: Data and settings.
            tally: Receives each training and each rung.
            limit: Training images that may be spent; the last training may go beyond.
            trainings: Folder of finished trainings.
            lengths: Images of a training.
        """
        self._task = task
        self._tally = tally
        self._limit = limit
        self._trainings = trainings
        self._lengths = lengths

    def __call__(self, architecture: Architecture, rungs: Rungs | None = None) -> Figures:
        """Train from nothing and return the figures at the end.

        Raises:
            SpentError: The images were spent before.
        """
        if self._tally.images >= self._limit:
            raise SpentError
        return self._train_fully(architecture) if rungs is None else self._train_in_rungs(architecture, rungs)

    def _job(self, architecture: Architecture, images: int) -> TrainingJob:
        settings, arch_id = self._task.settings, architecture.arch_id
        return TrainingJob(
            architecture=architecture,
            arch_id=arch_id,
            dataset=self._task.folder,
            data_digest=self._task.info.digest,
            settings=settings.training,
            seed=candidate_seed(settings.search.seed, 0, arch_id),
            folder=self._trainings,
            images=images,
        )

    def _train_fully(self, architecture: Architecture) -> Figures:
        job = self._job(architecture, self._lengths.full)
        record = finished(job) or run(job)
        return self._add(architecture, record.validation_accuracy, record.images_seen, job.key)

    def _add(
        self, architecture: Architecture, validation_accuracy: float | None, images: int, key: str | None = None
    ) -> Figures:
        self._tally.add(architecture, validation_accuracy, self._task.measure(architecture), images, key)
        return Figures(validation_accuracy or 0.0, self._task.total_bytes(architecture))

    def _train_in_rungs(self, architecture: Architecture, rungs: Rungs) -> Figures:
        """Train as a job would, but score the network at each rung and stop there if the method says so."""
        full = self._lengths.stoppable
        job, info = self._job(architecture, full), self._task.info
        dataset, device = open_dataset(job.dataset), choose_device(job.settings.device)
        augment = Augmentation(info, job.settings, device)
        network = build_network(info.graph(architecture), job.seed)
        batch_size = min(job.settings.batch_size, info.train_size)
        ends = [round(share * full / batch_size) * batch_size for share in rungs.shares]
        counted = 0
        figures = Figures(0.0, self._task.total_bytes(architecture))

        def at_batch_end(progress: TrainingProgress) -> None:
            nonlocal counted, figures
            if progress.images_seen not in ends:
                return
            measure_statistics(network, dataset, augment, torch.Generator().manual_seed(job.seed))
            found = accuracy(network, dataset.validation, augment, device)
            network.train()
            figures = self._add(architecture, found, progress.images_seen - counted)
            counted = progress.images_seen
            if not rungs.goes_on(ends.index(progress.images_seen), figures):
                raise _StoppedError

        try:
            outcome = train(network, dataset, job.settings, job.seed, at_batch_end, full)
        except _StoppedError:
            return figures
        found = None if outcome.diverged else outcome.history[-1].validation_accuracy
        return self._add(architecture, found, outcome.images_seen - counted)
