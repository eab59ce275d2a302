"""What a training leaves on disk, and when that is trusted.

A finished training is a folder named after its job's key, with `training.json`, `weights.safetensors` and their
checksums. It appears as a whole or not at all, so that a search that was killed trains nothing finished a second time;
one that was damaged since is not trusted.
"""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.files.checksums import check_sums, write_sums
from memnas_core.files.untrusted import parse_record, read_text
from memnas_core.files.writing import new_folder
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.training.job import TrainingJob

RECORD_FILE = "training.json"
WEIGHTS_FILE = "weights.safetensors"


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
    """Read a finished training.

    Raises:
        RecordError: There is none, or it is damaged.
    """
    path = folder / RECORD_FILE
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
