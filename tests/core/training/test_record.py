"""Which records of trainings are believed: whole ones, and failures under limits as tight."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from shutil import copytree

import pytest

from memnas_core.errors import RecordError
from memnas_core.files.checksums import SUMS_FILE, write_sums
from memnas_core.records.trainings import Limits, Status
from memnas_core.training import job as jobs  # its test_counts is no test
from memnas_core.training import record as training_records  # its test_counts is no test
from memnas_core.training import worker  # its test_counts is no test
from memnas_core.training.job import TrainingJob
from memnas_core.training.record import RECORD_FILE, WEIGHTS_FILE, finished
from tests.core.faults import flip, truncate
from tests.core.short_training import ARCHITECTURE


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: truncate(folder / RECORD_FILE),
    "empty": lambda folder: (folder / RECORD_FILE).write_text(""),
    "binary": lambda folder: (folder / RECORD_FILE).write_bytes(b"\xff\xfe\x00"),
    "list": lambda folder: (folder / RECORD_FILE).write_text("[1, 2]"),
    "other object": lambda folder: (folder / RECORD_FILE).write_text("{}"),
    "another key": lambda folder: change(folder / RECORD_FILE, surprise=1),
    "unknown status": lambda folder: change(folder / RECORD_FILE, status="asleep"),
    "broken history": lambda folder: change(folder / RECORD_FILE, history=[{"epoch": 1}]),
    "no record": lambda folder: (folder / RECORD_FILE).unlink(),
    "no weights": lambda folder: (folder / WEIGHTS_FILE).unlink(),
}


WHOLE_FOR_THEIR_READERS: dict[str, Callable[[Path], object]] = {
    "another accuracy": lambda folder: change(folder / RECORD_FILE, validation_accuracy=0.75),
    "a bit of the record": lambda folder: flip(folder / RECORD_FILE),
    "a bit of the weights": lambda folder: flip(folder / WEIGHTS_FILE),
    "truncated weights": lambda folder: truncate(folder / WEIGHTS_FILE),
    "a folder": lambda folder: ((folder / WEIGHTS_FILE).unlink(), (folder / WEIGHTS_FILE).mkdir()),
    "no checksums": lambda folder: (folder / SUMS_FILE).unlink(),
    "no more checksums": lambda folder: (folder / SUMS_FILE).write_text(""),
    "half the checksums": lambda folder: truncate(folder / SUMS_FILE),
    "a bit of the checksums": lambda folder: flip(folder / SUMS_FILE),
    "checksums of files elsewhere": lambda folder: (folder / SUMS_FILE).write_text(f"{'0' * 64}  ../../secret\n"),
}


@pytest.mark.parametrize("damage", WHOLE_FOR_THEIR_READERS.values(), ids=WHOLE_FOR_THEIR_READERS)
def test_what_is_not_as_it_was_written_is_not_trusted(
    damage: Callable[[Path], object], trained: TrainingJob, tmp_path: Path
) -> None:
    copy = replace(trained, folder=tmp_path)
    copytree(trained.path, copy.path)
    damage(copy.path)
    assert finished(copy) is None
    with pytest.raises(RecordError, match="go on with --resume"):
        training_records.trained_weights(copy.path)
    assert worker.run(copy).validation_accuracy == training_records.read_record(trained.path).validation_accuracy
    assert finished(copy) is not None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_not_trusted(damage: Callable[[Path], object], trained: TrainingJob, tmp_path: Path) -> None:
    copy = replace(trained, folder=tmp_path)
    copytree(trained.path, copy.path)
    assert finished(copy) == finished(trained)
    damage(copy.path)
    assert finished(copy) is None
    write_sums(copy.path)  # damaged before it was written, so to say
    assert finished(copy) is None


def test_checksums_are_those_of_sha256sum(trained: TrainingJob) -> None:
    command = ["sha256sum", "--check", "--strict", SUMS_FILE]
    done = subprocess.run(command, cwd=trained.path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [f"{RECORD_FILE}: OK", f"{WEIGHTS_FILE}: OK"]


def test_damaged_weights_are_not_begun_with(trained: TrainingJob, tmp_path: Path) -> None:
    copy = replace(trained, folder=tmp_path)
    copytree(trained.path, copy.path)
    going_on = replace(copy, images=32, start=jobs.WarmStart(ARCHITECTURE, copy.key))
    flip(copy.path / WEIGHTS_FILE)
    with pytest.raises(RecordError, match=r"weights\.safetensors: expected the file that was written .*--resume"):
        worker.run(going_on)
    assert finished(going_on) is None


def test_a_damaged_training_is_done_again(trained: TrainingJob, tmp_path: Path) -> None:
    copy = replace(trained, folder=tmp_path)
    copytree(trained.path, copy.path)
    truncate(copy.path / RECORD_FILE)
    (copy.path / WEIGHTS_FILE).write_text("no weights")
    record, original = worker.run(copy), finished(trained)
    assert original is not None
    assert finished(copy) == record
    assert record.validation_accuracy == original.validation_accuracy
    assert (copy.path / WEIGHTS_FILE).read_bytes() == (trained.path / WEIGHTS_FILE).read_bytes()


def test_reading_a_record_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"SHA256SUMS: expected checksums, found .*No such"):
        training_records.read_record(tmp_path)


TIGHT = Limits(memory_bytes=10**9, gpu_share=0.5, seconds=60.0)


@pytest.mark.parametrize(
    ("status", "wider"),
    [
        (Status.OUT_OF_MEMORY, [{"memory_bytes": 10**9 + 1}, {"memory_bytes": None}, {"gpu_share": None}]),
        (Status.WORKER_LOST, [{"memory_bytes": 10**9 + 1}, {"memory_bytes": None}, {"gpu_share": 0.6}]),
        (Status.TIMED_OUT, [{"seconds": 61.0}, {"seconds": None}]),
    ],
)
def test_a_failure_is_not_believed_under_wider_limits(
    status: Status, wider: list[dict[str, float | None]], job: TrainingJob
) -> None:
    failed = replace(job, limits=TIGHT)
    record = training_records.lost(failed, time.time(), "too much", status)
    training_records.write_record(failed, record)
    assert finished(failed) == record
    assert finished(replace(job, limits=replace(TIGHT, memory_bytes=10**8, seconds=6.0))) == record
    for change in wider:
        assert finished(replace(job, limits=replace(TIGHT, **change))) is None
    # it is replaced by what comes of the next attempt, and a success is believed under any limits
    again = worker.run(replace(job, limits=replace(TIGHT, memory_bytes=None)))
    assert again.status is Status.TRAINED
    assert finished(failed) == again


def test_a_lost_worker(job: TrainingJob) -> None:
    job.folder.mkdir()
    job.progress_path.write_text("{}")
    started = time.time() - 5
    record = training_records.lost(job, started, "the worker process died: killed")
    assert list(job.folder.iterdir()) == []
    assert (record.status, record.validation_accuracy, record.images_seen) == (Status.WORKER_LOST, None, 0)
    assert record.started == started
    assert 5 <= record.seconds <= time.time() - started
    training_records.write_record(job, record)
    assert finished(job) == record
    assert json.loads((job.path / RECORD_FILE).read_text()) == json.loads(json.dumps(asdict(record)))
