"""Performs a training job in a worker process, and reads back the network that came of it."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from memnas_core.architecture import Architecture
from memnas_core.config import TrainingSettings
from memnas_core.data import Dataset, DatasetInfo, open_checked
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import RecordError
from memnas_core.graph import Shape, lower
from memnas_core.heritage import heritage
from memnas_core.inheritance import CALIBRATION_IMAGES, inherit
from memnas_core.jobs import Start, TrainingJob
from memnas_core.limits import NO_LIMITS, Limits
from memnas_core.memory_guard import memory_guard
from memnas_core.network import Network, build_network
from memnas_core.reading import parse_record, read_text
from memnas_core.records import Status
from memnas_core.storage import storage_errors
from memnas_core.training import EpochFigures, TrainingProgress, accuracy, choose_device, train
from memnas_core.training_records import TrainingRecord, trained_weights, write_record

PROGRESS_SECONDS = 0.25

_ALLOCATION_FAILED = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "out of memory", "ALLOC_FAILED")
"""Words of torch's CPU allocator, of the system, of C++, and of CUDA and its libraries."""

_MAY_BE_ALLOCATION = ("could not create a primitive", "could not execute a primitive")
"""What oneDNN says of a failed allocation too, which without a limit hardly fails."""


def run(job: TrainingJob) -> TrainingRecord:
    """Train one candidate, put the result on disk and return its record.

    Meant for a worker process of its own, which is held to the job's memory limit; the time limit is the caller's to
    enforce. Running out of memory and diverging are results, not errors, but after the former the process may be
    unfit: oneDNN, which convolves, remembers what it could not allocate and fails again without trying.

    Raises:
        RecordError: The prepared data, or the weights that it begins with, are not as they were written.
        StorageError: The result cannot be written.
    """
    with storage_errors(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
    progress_path = job.progress_path  # the key reads files, for which a candidate may leave no memory
    started, clock = time.time(), time.perf_counter()
    dataset = open_checked(job.dataset)
    info = dataset.info
    device = choose_device(job.settings.device)
    status, message, images_seen = Status.TRAINED, "", 0
    history: tuple[EpochFigures, ...] = ()
    validation_accuracy = weights = None
    try:
        with memory_guard(job.limits, device):
            graph = lower(job.architecture, Shape(*info.shape), len(info.classes))
            network = build_network(graph, job.seed)
            if job.start is not None:
                images_seen = _begin_with(network, job.start, job, dataset)
            outcome = train(network, dataset, job.settings, job.seed, _progress_writer(job), job.images)
            history, images_seen = outcome.history, images_seen + outcome.images_seen
            if outcome.diverged:
                status, message = Status.DIVERGED, f"the loss diverged after {images_seen} images"
            else:
                validation_accuracy = history[-1].validation_accuracy
                state = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
                weights = save(state, metadata={"arch_id": job.arch_id})
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error, job.limits):
            raise
        most = f", the limit is {job.limits.memory_bytes:,} bytes" if job.limits.memory_bytes is not None else ""
        status, message = (
            Status.OUT_OF_MEMORY,
            f"out of memory{most}: {str(error).splitlines()[0] if str(error) else error!r}",
        )
    finally:
        progress_path.unlink(missing_ok=True)
    open_checked(job.dataset)  # what they became while it trained, it may have seen
    record = TrainingRecord(
        arch_id=job.arch_id,
        status=status,
        validation_accuracy=validation_accuracy,
        images_seen=images_seen,
        started=started,
        seconds=time.perf_counter() - clock,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        message=message,
        history=history,
        key=job.key,
        limits=job.limits if status is Status.OUT_OF_MEMORY else None,
    )
    write_record(job, record, weights)
    return record


def _begin_with(network: Network, start: Start, job: TrainingJob, dataset: Dataset) -> int:
    """Give a new network the weights of another training; return the training images that this took.

    Raises:
        RecordError: The weights cannot be read, or belong to another architecture.
    """
    before = load_network(start.architecture, trained_weights(job.folder / start.key), dataset.info)
    if start.architecture == job.architecture:
        network.load_state_dict(before.state_dict())
        return 0
    generator = torch.Generator().manual_seed(job.seed)
    chosen = torch.randperm(len(dataset.train.labels), generator=generator)[:CALIBRATION_IMAGES]
    augment = Augmentation(dataset.info, job.settings, torch.device("cpu"))
    images = augment.normalise(torch.from_numpy(dataset.train.images[chosen.numpy()]))
    inherit(
        network,
        before.state_dict(),
        heritage(job.architecture, start.architecture),
        job.architecture.filters,
        images,
    )
    return len(images)


def load_network(architecture: Architecture, weights: Path, info: DatasetInfo) -> Network:
    """Return a trained network from its architecture and its weights.

    Raises:
        RecordError: The weights cannot be read, or belong to another architecture.
    """
    graph = lower(architecture, Shape(*info.shape), len(info.classes))
    network = build_network(graph, seed=0)
    try:
        network.load_state_dict(load_file(weights))
    except RuntimeError as error:  # torch lists every tensor that differs, on many lines
        if _is_out_of_memory(error, NO_LIMITS):
            raise
        raise RecordError(
            f"{weights}: expected the weights of {architecture.arch_id}, found those of another network"
        ) from error
    except (OSError, SafetensorError) as error:
        raise RecordError(f"{weights}: expected the weights of {architecture.arch_id}, found {error}") from error
    return network.eval()


def test_accuracy(architecture: Architecture, weights: Path, dataset: Path, settings: TrainingSettings) -> float:
    """Return the accuracy of a trained network on the test split, in [0, 1].

    Raises:
        RecordError: Weights or data cannot be read.
    """
    data = open_checked(dataset)
    device = choose_device(settings.device)
    network = load_network(architecture, weights, data.info).to(device).to(memory_format=torch.channels_last)
    return accuracy(network, data.test, Augmentation(data.info, settings, device), device)


def read_progress(job: TrainingJob) -> TrainingProgress | None:
    """Return how far a running training is, or None if it has not said yet."""
    try:
        return parse_record(read_text(job.progress_path), TrainingProgress)
    except (OSError, ValueError):
        return None


def _progress_writer(job: TrainingJob) -> Callable[[TrainingProgress], None]:
    last = time.monotonic()

    def write(progress: TrainingProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            # No flush to disk: after a crash nobody reads it.
            new = job.progress_path.with_suffix(".new")
            with storage_errors(job.progress_path):
                new.write_text(json.dumps(asdict(progress)), encoding="utf-8")
                new.replace(job.progress_path)

    return write


def _is_out_of_memory(error: BaseException, limits: Limits) -> bool:
    # Most allocators raise a plain RuntimeError; only its words tell it from others.
    words = _ALLOCATION_FAILED + (_MAY_BE_ALLOCATION if limits.memory_bytes is not None else ())
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
