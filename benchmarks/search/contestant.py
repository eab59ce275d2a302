"""A network that a method hands over, and how it is scored: trained from nothing, tested once."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import nn

from benchmarks.search.methods.tally import Trained
from benchmarks.search.methods.trainer import Task
from memnas_core.data import open_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.files.untrusted import read_text
from memnas_core.files.writing import write_text
from memnas_core.memory.figures import MemoryFigures
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json
from memnas_core.training.job import candidate_seed, training_version
from memnas_core.training.loop import accuracy, choose_device, train
from memnas_core.training.network import build_network
from memnas_core.training.record import trained_weights
from memnas_core.training.worker import test_counts


@dataclass(frozen=True, slots=True)
class Contestant:
    """A network that was handed over.

    Attributes:
        name: Id of the architecture, or family and width.
        param_bytes: Weights.
        activation_bytes: Activations, in the order of layers that needs the least.
        build: Returns the network with weights drawn with a seed.
        architecture: The architecture, if it is one of the space.
        accuracy: Validation accuracy by which it was chosen; None where nothing was trained to choose.
        key: Key of the training that holds the weights that it had then.
    """

    name: str
    param_bytes: int
    activation_bytes: int
    build: Callable[[int], nn.Module] = field(compare=False)
    architecture: Architecture | None = None
    accuracy: float | None = None
    key: str | None = None

    @classmethod
    def of(cls, architecture: Architecture, task: Task, trained: Trained | None = None) -> "Contestant":
        """Return an architecture as a contestant, with what a method found out about it."""
        memory: MemoryFigures = task.measure(architecture)
        return cls(
            architecture.arch_id,
            memory.param_bytes,
            memory.activation_bytes(task.settings.objective.activation_convention),
            partial(build_network, task.info.graph(architecture)),
            architecture,
            trained.accuracy if trained else None,
            trained.key if trained else None,
        )

    @property
    def total_bytes(self) -> int:
        """Weights and activations together."""
        return self.param_bytes + self.activation_bytes


class Scores(NamedTuple):
    """Accuracies of a trained network, in [0, 1]; 0 where the training diverged."""

    validation: float
    test: float


def train_and_test(contestant: Contestant, task: Task, images: int, folder: Path) -> Scores:
    """Train a network from nothing and test it, unless that is done.

    Args:
        contestant: The network.
        task: Data and settings; the seed of weights and images follows from the search's seed and the network.
        images: Training images.
        folder: Receives the scores, under a key of all that decides them.
    """
    settings = task.settings
    seed = candidate_seed(settings.search.seed, 0, contestant.name)
    definition = to_json(contestant.architecture) if contestant.architecture else contestant.name
    deciding = [definition, task.info.digest, asdict(settings.training), seed, images, training_version()]
    path = folder / f"{hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:20]}.json"
    if path.is_file():
        return Scores(**json.loads(read_text(path)))
    data, device = open_dataset(task.folder), choose_device(settings.training.device)
    network = contestant.build(seed)
    outcome = train(network, data, settings.training, seed, images=images)
    scores = Scores(0.0, 0.0)
    if not outcome.diverged:
        augment = Augmentation(data.info, settings.training, device)
        scores = Scores(*(accuracy(network, split, augment, device) for split in (data.validation, data.test)))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(scores._asdict()))
    return scores


def test_as_it_is(contestant: Contestant, task: Task, trainings: Path) -> float:
    """Return the test accuracy of a network with the weights that the method trained.

    Args:
        contestant: An architecture of the space, whose weights were kept.
        task: Data and settings.
        trainings: Folder of finished trainings.
    """
    assert contestant.architecture is not None, "only architectures have kept weights"
    assert contestant.key is not None, "only kept weights can be tested"
    weights = trained_weights(trainings / contestant.key)
    return test_counts(contestant.architecture, weights, task.folder, task.settings.training).accuracy("plain")
