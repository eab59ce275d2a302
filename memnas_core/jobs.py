"""One training as a job: what a worker process is told, what it leaves on disk, and under which key.

A finished training is a folder named after a key of everything that decides its result, with `training.json`,
`weights.safetensors` and their checksums. It appears as a whole or not at all, so that a search that was killed trains
nothing finished a second time; one that was damaged since is not trusted.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata, resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from memnas_core.architecture import Architecture, to_json
from memnas_core.checksums import SUMS_FILE, check_sums, write_sums
from memnas_core.config import TrainingSettings
from memnas_core.data import Dataset, DatasetInfo, open_checked
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import RecordError
from memnas_core.graph import Shape, lower
from memnas_core.heritage import heritage
from memnas_core.inheritance import CALIBRATION_IMAGES, inherit
from memnas_core.limits import NO_LIMITS, Limits
from memnas_core.memory_guard import memory_guard
from memnas_core.network import Network, build_network
from memnas_core.reading import parse_record, read_text
from memnas_core.records import Status
from memnas_core.storage import new_folder, storage_errors
from memnas_core.training import EpochFigures, TrainingProgress, accuracy, choose_device, train

RECORD_FILE = "training.json"
WEIGHTS_FILE = "weights.safetensors"
PROGRESS_SECONDS = 0.25

_DECIDING_MODULES = (
    "dataflow.py",
    "graph.py",
    "heritage.py",
    "inheritance.py",
    "memory.py",
    "network.py",
    "order_search.py",
    "running_order.py",
    "training.py",
    "data/augmentation.py",
)


_ALLOCATION_FAILED = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "out of memory", "ALLOC_FAILED")
"""Words of torch's CPU allocator, of the system, of C++, and of CUDA and its libraries."""

_MAY_BE_ALLOCATION = ("could not create a primitive", "could not execute a primitive")
"""What oneDNN says of a failed allocation too, which without a limit hardly fails."""


@dataclass(frozen=True, slots=True)
class Start:
    """A finished training whose weights another one begins with.

    Attributes:
        architecture: What was trained: the same architecture, or the base that it was made from.
        key: The training's key; it is in the same folder.
    """

    architecture: Architecture
    key: str


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What a worker needs to train one candidate.

    Attributes:
        architecture: What to train.
        arch_id: Its id.
        dataset: Folder of the prepared data.
        data_digest: Digest of its content.
        settings: The training section.
        seed: Decides initial weights, order and augmentation.
        folder: Folder that receives finished trainings, each under its key.
        images: Training images to see; None: a full training of the settings.
        start: The training whose weights it begins with; None: fresh ones.
        limits: What it may take of the machine; they decide no result and are not in its key.
    """

    architecture: Architecture
    arch_id: str
    dataset: Path
    data_digest: str
    settings: TrainingSettings
    seed: int
    folder: Path
    images: int | None = None
    start: Start | None = None
    limits: Limits = NO_LIMITS

    @property
    def key(self) -> str:
        """Digest of everything that decides the training's result."""
        deciding = [
            to_json(self.architecture),
            self.data_digest,
            asdict(self.settings),
            self.seed,
            training_version(),
            self.images,
            self.start and (to_json(self.start.architecture), self.start.key),
        ]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def path(self) -> Path:
        """Where the finished training is."""
        return self.folder / self.key

    @property
    def progress_path(self) -> Path:
        """Where the running training says how far it is."""
        return self.folder / f".{self.key}.progress"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A finished training.

    Attributes:
        arch_id: What was trained.
        status: TRAINED, DIVERGED, OUT_OF_MEMORY, TIMED_OUT or WORKER_LOST.
        validation_accuracy: In [0, 1]; null unless trained.
        images_seen: Training images seen.
        started: Unix time.
        seconds: Wall time in the worker.
        device: Where it ran.
        message: What went wrong, in words; empty when nothing did.
        history: One line for each epoch.
        key: Of the training, under which its weights are; of the best one where records are joined.
        limits: Under which it ran out of memory or time, or lost its worker; null for others.
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


@cache
def training_version() -> str:
    """Return a digest of the code that trains, so that records of other code are not taken for ours."""
    digest = hashlib.sha256(metadata.version("torch").encode())
    for name in _DECIDING_MODULES:
        digest.update(resources.files("memnas_core").joinpath(name).read_bytes())
    return digest.hexdigest()[:12]


def candidate_seed(run_seed: int, round_number: int, arch_id: str) -> int:
    """Return the seed of a candidate's training."""
    return int(hashlib.sha256(f"{run_seed}/{round_number}/{arch_id}".encode()).hexdigest()[:8], 16)


def finished(job: TrainingJob) -> TrainingRecord | None:
    """Return the record of a job that was done before, or None.

    A record that is not as it was written is not trusted, nor is a failure under limits tighter than the job's: the job
    counts as not done and its folder is replaced.
    """
    try:
        check_sums(job.path)
        record = read_record(job.path)
    except RecordError:
        return None
    if record.status is Status.TRAINED and not (job.path / WEIGHTS_FILE).is_file():
        return None
    if record.limits is not None and job.limits.are_wider(record.limits, record.status):
        return None
    return record


def trained_weights(folder: Path) -> Path:
    """Return the weights of a finished training.

    Raises:
        RecordError: They are not as they were written.
    """
    try:
        check_sums(folder, [RECORD_FILE, WEIGHTS_FILE])
    except RecordError as error:
        raise RecordError(f"{error}; go on with --resume, which trains it again") from error
    return folder / WEIGHTS_FILE


def read_record(folder: Path) -> TrainingRecord:
    """Read a finished training, also one that an older memnas wrote without checksums.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    path = folder / RECORD_FILE
    if (folder / SUMS_FILE).exists():
        check_sums(folder, [RECORD_FILE])
    try:
        return replace(parse_record(read_text(path), TrainingRecord), key=folder.name)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: expected the record of a training, found {error}") from error


def write_record(job: TrainingJob, record: TrainingRecord, weights: bytes | None = None) -> None:
    """Put a finished training in its place.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    with new_folder(job.path) as folder:
        if weights is not None:
            (folder / WEIGHTS_FILE).write_bytes(weights)
        (folder / RECORD_FILE).write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        write_sums(folder)


def read_progress(job: TrainingJob) -> TrainingProgress | None:
    """Return how far a running training is, or None if it has not said yet."""
    try:
        return parse_record(read_text(job.progress_path), TrainingProgress)
    except (OSError, ValueError):
        return None


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


def joined(rungs: Sequence[TrainingRecord]) -> TrainingRecord:
    """Return the trainings of a candidate, one after the other, as one: costs add up, the best result counts.

    A warm restart may end below where it began; then the weights of the rung before are the candidate's.

    Args:
        rungs: In order; at least one.
    """
    history: list[EpochFigures] = []
    for rung in rungs:
        history += [replace(line, epoch=len(history) + place) for place, line in enumerate(rung.history, start=1)]
    return replace(
        max(rungs, key=lambda rung: rung.validation_accuracy or 0.0),
        images_seen=sum(rung.images_seen for rung in rungs),
        started=rungs[0].started,
        seconds=sum(rung.seconds for rung in rungs),
        history=tuple(history),
    )


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


def _is_out_of_memory(error: BaseException, limits: Limits) -> bool:
    # Most allocators raise a plain RuntimeError; only its words tell it from others.
    words = _ALLOCATION_FAILED + (_MAY_BE_ALLOCATION if limits.memory_bytes is not None else ())
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)


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


def lost(job: TrainingJob, started: float, message: str, status: Status = Status.WORKER_LOST) -> TrainingRecord:
    """Return the record of a job whose worker process died or was ended, and remove what it left of its progress.

    Args:
        job: What was being trained.
        started: Unix time at which it was begun.
        message: How it ended.
        status: WORKER_LOST, OUT_OF_MEMORY or TIMED_OUT.
    """
    for left in (job.progress_path, job.progress_path.with_suffix(".new")):
        left.unlink(missing_ok=True)
    return TrainingRecord(
        arch_id=job.arch_id,
        status=status,
        validation_accuracy=None,
        images_seen=0,
        started=started,
        seconds=time.time() - started,
        device="",
        message=message,
        key=job.key,
        limits=job.limits,
    )
