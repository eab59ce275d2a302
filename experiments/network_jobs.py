"""One training of Table 1 as a job: a reference network or a found one, trained from scratch and tested once.

Each finished training is one JSON file, named after a key of everything that decides its result.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from experiments.networks import SMALL
from memnas_core.data import DatasetInfo, open_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.environment import machine, versions
from memnas_core.errors import RecordError
from memnas_core.files.writing import write_text
from memnas_core.records.trainings import EpochFigures
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.tracing.trace import trace
from memnas_core.training.job import training_version
from memnas_core.training.loop import accuracy, choose_device, train
from memnas_core.training.network import build_network


@dataclass(frozen=True, slots=True)
class NetworkJob:
    """What a worker needs to train one network once.

    Attributes:
        model: The row of Table 1.
        architecture: Architecture that a search found; None where the row has a public definition.
        dataset: Folder of the prepared data.
        settings: The training section of the settings, with the budget of Table 1.
        seed: Decides initial weights, order and augmentation.
        path: File for the finished training; its name is the key.
        work: Elements that a forward pass writes, a rough measure of the training time.
    """

    model: str
    architecture: Architecture | None
    dataset: Path
    settings: TrainingSettings
    seed: int
    path: Path
    work: int


@dataclass(frozen=True, slots=True)
class NetworkTraining:
    """A finished training.

    Attributes:
        seed: Seed of the training.
        diverged: Whether training was stopped because its loss exploded or was no longer finite.
        test_correct: Test images that it classifies correctly; null where it diverged.
        test_images: All test images.
        images_seen: Training images seen.
        seconds: Wall time in the worker, including the test.
        device: Device that trained, `cpu` or the name of a GPU.
        machine: Computer that trained.
        versions: Name and version of Python and of the packages that matter.
        history: Figures of each epoch.
    """

    seed: int
    diverged: bool
    test_correct: int | None
    test_images: int
    images_seen: int
    seconds: float
    device: str
    machine: str
    versions: tuple[tuple[str, str], ...]
    history: tuple[EpochFigures, ...]

    @property
    def test_accuracy(self) -> float | None:
        """Share of the test images classified correctly, in [0, 1]."""
        return None if self.test_correct is None else self.test_correct / self.test_images


_TRAINING = TypeAdapter(NetworkTraining)


def make_job(
    model: str,
    architecture: Architecture | None,
    dataset: Path,
    info: DatasetInfo,
    settings: TrainingSettings,
    seed: int,
    folder: Path,
) -> NetworkJob:
    """Return a job.

    Its key digests the network itself (its parts, their connections and its initial weights), the data, the settings,
    the seed and the code that trains. An edit that changes none of these repeats no training.

    Args:
        model: The row of Table 1.
        architecture: Architecture that a search found, or None.
        dataset: Folder of the prepared data.
        info: Facts about the data.
        settings: The training section of the settings, with the budget of Table 1.
        seed: Seed of the training.
        folder: Folder of finished trainings.
    """
    network = build(model, architecture, info, seed)
    graph = trace(network, info.shape)
    state = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        state.update(name.encode())
        state.update(tensor.numpy().tobytes())
    deciding = [
        str(network),
        [repr(layer) for layer in graph.layers],
        graph.sizes(1),
        state.hexdigest(),
        info.digest,
        asdict(settings),
        seed,
        training_version(),
    ]
    key = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:20]
    work = sum(graph.sizes(1).values())
    return NetworkJob(model, architecture, dataset, settings, seed, folder / f"{key}.json", work)


def build(model: str, architecture: Architecture | None, info: DatasetInfo, seed: int) -> nn.Module:
    """Return a network for the data's images with newly drawn weights; torch's global generator is left unchanged."""
    if architecture is not None:
        return build_network(info.graph(architecture), seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        (definition,) = (definition for definition in SMALL if definition.model == model)
        return definition.build(info.shape[0], len(info.classes))


def finished(job: NetworkJob) -> NetworkTraining | None:
    """Return the training if it was finished before, or None; an unreadable file counts as not finished."""
    try:
        return _TRAINING.validate_json(job.path.read_bytes())
    except (OSError, ValidationError):
        return None


def run(job: NetworkJob) -> None:
    """Train a network, test it once and write the outcome to disk; meant for a worker process of its own.

    Raises:
        RecordError: The prepared data cannot be read.
        StorageError: The outcome cannot be written.
    """
    clock = time.perf_counter()
    data = open_dataset(job.dataset)
    device = choose_device(job.settings.device)
    network = build(job.model, job.architecture, data.info, job.seed)
    outcome = train(network, data, job.settings, job.seed)
    images = data.info.test_size
    correct = None
    if not outcome.diverged:
        share = accuracy(network, data.test, Augmentation(data.info, job.settings, device), device)
        correct = round(share * images)
    training = NetworkTraining(
        seed=job.seed,
        diverged=outcome.diverged,
        test_correct=correct,
        test_images=images,
        images_seen=outcome.images_seen,
        seconds=time.perf_counter() - clock,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        machine=machine(),
        versions=versions(),
        history=outcome.history,
    )
    write_text(job.path, _TRAINING.dump_json(training).decode())


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """All trainings of one network: a file of `results/networks/`.

    Attributes:
        model: The row of Table 1.
        arch_id: Id of a found network; null for a public definition.
        source: Where the definition comes from.
        data: The data it was trained on.
        training: The settings of the trainings.
        trainings: One training for each seed.
    """

    model: str
    arch_id: str | None
    source: str
    data: DatasetInfo
    training: TrainingSettings
    trainings: tuple[NetworkTraining, ...]


_RESULT = TypeAdapter(NetworkResult)


@cache
def file_name(model: str) -> str:
    """Return the name of a network's file, such as `memnas-lambda-0.5.json`."""
    plain = model.lower().replace("λ", "lambda")
    words = "".join(character if character.isalnum() or character == "." else " " for character in plain).split()
    return "-".join(words) + ".json"


def write_result(folder: Path, result: NetworkResult) -> None:
    """Write the file of one network.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_text(folder / file_name(result.model), _RESULT.dump_json(result, indent=1).decode() + "\n")


def read_result(folder: Path, model: str) -> NetworkResult | None:
    """Return the trainings of one network, or None where it has not been trained.

    Raises:
        RecordError: The file is damaged.
    """
    path = folder / file_name(model)
    try:
        return _RESULT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RecordError(
            f"{path}: expected the trainings of {model}, found {error}; make them with dvc repro networks"
        ) from error
