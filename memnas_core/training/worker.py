"""Runs a training job in a worker process, and loads the trained network."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from memnas_core.data import Dataset, DatasetInfo, open_checked
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import RecordError
from memnas_core.files.untrusted import parse_record, read_text
from memnas_core.files.writing import storage_errors
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.trainings import NO_LIMITS, EpochFigures, Limits, Status, TrainingProgress, TrainingRecord
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.training.inherit import CALIBRATION_IMAGES, inherit
from memnas_core.training.inheritance import inheritance
from memnas_core.training.job import TrainingJob, WarmStart
from memnas_core.training.loop import choose_device, class_counts, train
from memnas_core.training.network import Network, build_network
from memnas_core.training.process_memory import memory_guard
from memnas_core.training.record import trained_weights, write_record

PROGRESS_SECONDS = 0.25

_ALLOCATION_FAILED = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "out of memory", "ALLOC_FAILED")
"""Error texts of torch's CPU allocator, of the system, of C++, and of CUDA and its libraries."""

_MAY_BE_ALLOCATION = ("could not create a primitive", "could not execute a primitive")
"""Error texts of oneDNN, also for failed allocations, which hardly occur without a memory limit."""


def run(job: TrainingJob) -> TrainingRecord:
    """Train one candidate, put the result on disk and return its record.

    It should run in a worker process of its own, which is held to the job's memory limit; the caller enforces the time
    limit. Running out of memory and diverging are results, not errors, but after the former the process may be
    unusable: oneDNN, which computes convolutions, remembers failed allocations and fails again without trying.

    Raises:
        RecordError: The prepared data, or the weights that it begins with, have changed since they were written.
        StorageError: The result cannot be written.
    """
    with storage_errors(job.folder):
        job.folder.mkdir(parents=True, exist_ok=True)
    progress_path = job.progress_path  # the key reads files, for which memory may be lacking later
    started, clock, cpu_clock = time.time(), time.perf_counter(), time.process_time()
    dataset = open_checked(job.dataset)
    info = dataset.info
    device = choose_device(job.settings.device)
    status, message, images_seen = Status.TRAINED, "", 0
    history: tuple[EpochFigures, ...] = ()
    validation_accuracy = validation_counts = weights = None
    try:
        with memory_guard(job.limits, device):
            graph = info.graph(job.architecture)
            network = build_network(graph, job.seed)
            if job.start is not None:
                images_seen = _begin_with(network, job.start, job, dataset)
            images, measure = (dataset.with_all_to_train(), None) if job.all_images else (dataset, job.measure)
            outcome = train(network, images, job.settings, job.seed, _progress_writer(job), job.images, measure)
            history, images_seen = outcome.history, images_seen + outcome.images_seen
            if outcome.diverged:
                status, message = Status.DIVERGED, f"the loss diverged after {images_seen} images"
            else:
                validation_accuracy, validation_counts = history[-1].validation_accuracy, outcome.validation
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
    open_checked(job.dataset)  # images that changed during the training may have been seen
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
        validation_counts=validation_counts,
        cpu_seconds=time.process_time() - cpu_clock,
    )
    write_record(job, record, weights)
    return record


def _begin_with(network: Network, start: WarmStart, job: TrainingJob, dataset: Dataset) -> int:
    """Give a new network the weights of another training; return the number of training images used.

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
    inherit(network, before.state_dict(), inheritance(job.architecture, start.architecture), images)
    return len(images)


def load_network(architecture: Architecture, weights: Path, info: DatasetInfo) -> Network:
    """Return a trained network from its architecture and its weights.

    Raises:
        RecordError: The weights cannot be read, or belong to another architecture.
    """
    graph = info.graph(architecture)
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


def test_counts(architecture: Architecture, weights: Path, dataset: Path, settings: TrainingSettings) -> ClassCounts:
    """Return how many images of the test split a trained network classifies correctly, by class.

    Raises:
        RecordError: Weights or data cannot be read.
    """
    data = open_checked(dataset)
    device = choose_device(settings.device)
    network = load_network(architecture, weights, data.info).to(device).to(memory_format=torch.channels_last)
    return class_counts(network, data.test, Augmentation(data.info, settings, device), device)


def read_progress(job: TrainingJob) -> TrainingProgress | None:
    """Return the progress of a running training, or None if it has reported none yet."""
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
    # Most allocators raise a plain RuntimeError; only its message tells it from others.
    words = _ALLOCATION_FAILED + (_MAY_BE_ALLOCATION if limits.memory_bytes is not None else ())
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
