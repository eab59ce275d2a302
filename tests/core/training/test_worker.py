"""A job that is run: what it leaves on disk, and how it ends when something goes wrong."""

import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memnas_core.data import Split, open_dataset
from memnas_core.errors import GraphError, RecordError, StorageError
from memnas_core.files.checksums import SUMS_FILE
from memnas_core.records.trainings import Limits, Status, TrainingProgress
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training import record as training_records  # its test_counts is no test
from memnas_core.training import worker as trainer  # its test_counts is no test
from memnas_core.training.job import TrainingJob
from memnas_core.training.record import RECORD_FILE, WEIGHTS_FILE, finished
from memnas_core.training.worker import load_network
from tests.core.faults import fill, flip, small_disk, truncate
from tests.core.short_training import ARCHITECTURE, SHORT_TRAINING


def test_a_finished_job(job: TrainingJob) -> None:
    assert finished(job) is None
    before, used = time.time(), cpu_seconds()
    record = trainer.run(job)
    assert record.cpu_seconds is not None
    assert 0 < record.cpu_seconds <= cpu_seconds() - used
    assert finished(job) == record == training_records.read_record(job.path)
    assert (record.arch_id, record.status, record.message) == (job.arch_id, Status.TRAINED, "")
    assert (record.device, record.images_seen) == ("cpu", 9 * 32)  # of 300 images, 9 full batches
    assert before - 1 < record.started < time.time() + 1
    assert 0 < record.seconds <= time.time() - before
    assert len(record.history) == 1
    assert record.validation_accuracy == record.history[-1].validation_accuracy
    assert record.validation_counts is not None
    assert record.validation_counts.accuracy("plain") == record.validation_accuracy
    assert {path.name for path in job.path.iterdir()} == {RECORD_FILE, WEIGHTS_FILE, SUMS_FILE}
    assert {path.name for path in job.folder.iterdir()} == {job.key}


def test_a_job_on_all_images(job: TrainingJob) -> None:
    """There is nothing left to validate on."""
    data, on_all = open_dataset(job.dataset), replace(job, all_images=True)
    assert on_all.key != job.key
    record = trainer.run(on_all)
    assert record.images_seen == (300 + len(data.validation.labels)) // 32 * 32
    assert record.status is Status.TRAINED
    assert record.validation_accuracy is record.validation_counts is record.history[-1].validation_accuracy is None


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, as the system counts it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def test_the_weights_give_the_recorded_accuracy(trained: TrainingJob) -> None:
    data, record = open_dataset(trained.dataset), finished(trained)
    assert record is not None
    network = load_network(ARCHITECTURE, trained.path / WEIGHTS_FILE, data.info)
    assert not network.training
    assert by_hand(network, data.train, data.validation) == record.validation_accuracy
    found = trainer.test_counts(ARCHITECTURE, trained.path / WEIGHTS_FILE, trained.dataset, SHORT_TRAINING)
    assert found.accuracy("plain") == by_hand(network, data.train, data.test)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == lower(ARCHITECTURE, Shape(*data.info.shape), 10).weights


def by_hand(network: torch.nn.Module, train: Split, split: Split) -> float:
    """Classify a split, normalised with the training images' mean and standard deviation as numpy finds them."""
    pixels = (split.images / 255 - np.mean(train.images / 255)) / np.std(train.images / 255)
    with torch.no_grad():
        scores = network(torch.from_numpy(pixels.astype(np.float32)))
    return float(np.mean(scores.argmax(1).numpy() == split.labels))


@pytest.mark.parametrize("damage", [flip, truncate])
def test_data_that_are_damaged_while_it_trains(damage: Callable[[Path], None], job: TrainingJob) -> None:
    """The workers of a search map the files; what a training may have seen is not recorded."""
    copy = replace(job, dataset=job.folder.parent / "data", settings=replace(SHORT_TRAINING, epochs=200))
    copytree(job.dataset, copy.dataset)
    script = "import pickle, sys; from pathlib import Path; from memnas_core.training import worker; "
    script += "worker.run(pickle.loads(Path(sys.argv[1]).read_bytes()))"
    path = job.folder.parent / "job"
    path.write_bytes(pickle.dumps(copy))
    worker = subprocess.Popen([sys.executable, "-c", script, str(path)], stderr=subprocess.PIPE, text=True)
    while not copy.progress_path.exists():
        assert worker.poll() is None
        time.sleep(0.01)
    damage(copy.dataset / "train.arrow")
    _, words = worker.communicate()
    assert "run again to prepare it anew" in words or worker.returncode == -signal.SIGBUS
    assert not copy.path.exists()
    with pytest.raises(RecordError, match="run again to prepare it anew"):
        trainer.run(copy)


def test_a_diverging_job(job: TrainingJob) -> None:
    wild = replace(job, settings=replace(SHORT_TRAINING, epochs=30, learning_rate=1e38))
    record = trainer.run(wild)
    assert record.status is Status.DIVERGED
    assert record.validation_accuracy is None
    assert f"after {record.images_seen} images" in record.message
    assert record.images_seen < 3 * 300
    assert finished(wild) == record
    assert {path.name for path in wild.path.iterdir()} == {RECORD_FILE, SUMS_FILE}


def test_out_of_memory_is_a_result(job: TrainingJob) -> None:
    """A process may have 150 MB more than after a small training, and is given a network that wants 500."""
    big = seed_architecture((1, 1, 1, 1), 256)
    script = """
import pickle, resource, sys
from pathlib import Path
import torch
from memnas_core.training import worker as trainer
from memnas_core.training import record as training_records
torch.set_num_threads(1)
small, job = pickle.loads(Path(sys.argv[1]).read_bytes())
trainer.run(small)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000, used + 150_000_000))
record = trainer.run(job)
assert training_records.finished(job) == record
assert trainer.run(small).status == "trained"  # the process is still good
print(record.status)
"""
    wanting = replace(job, architecture=big, arch_id=big.arch_id, settings=replace(SHORT_TRAINING, batch_size=300))
    path = job.folder.parent / "job"
    path.write_bytes(pickle.dumps((job, wanting)))
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "out_of_memory", done.stderr
    record = finished(wanting)
    assert record is not None
    assert record.status is Status.OUT_OF_MEMORY
    assert record.message.startswith("out of memory: ")
    assert "\n" not in record.message
    assert record.validation_accuracy is None
    assert {path.name for path in wanting.folder.iterdir()} == {wanting.key, job.key}


@pytest.mark.parametrize(
    ("error", "limited", "is_out_of_memory"),
    [
        (MemoryError(), False, True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), False, True),
        (RuntimeError("unable to mmap 64 bytes from file <w>: Cannot allocate memory (12)"), False, True),
        (RuntimeError("std::bad_alloc"), False, True),
        (RuntimeError("CUDA error: out of memory"), False, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), False, True),
        (RuntimeError("could not create a primitive"), True, True),
        (RuntimeError("could not create a primitive"), False, False),  # then it is a bug
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), True, False),
    ],
)
def test_what_counts_as_out_of_memory(
    error: Exception, limited: bool, is_out_of_memory: bool, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What libraries say on a GPU or deep inside; a training that really runs out of memory is above."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer, "train", fail)
    asked = replace(job, limits=Limits(10**12 if limited else None, None, None))
    if is_out_of_memory:
        assert trainer.run(asked).status is Status.OUT_OF_MEMORY
    else:
        with pytest.raises(RuntimeError):
            trainer.run(asked)


def test_other_errors_are_no_results(job: TrainingJob) -> None:
    """Images of 8 pixels cannot be halved four times: a bug of the caller, not a result of the candidate."""
    deep = seed_architecture((2, 2, 2, 2), 4)
    with pytest.raises(GraphError):
        trainer.run(replace(job, architecture=deep))
    assert list(job.folder.iterdir()) == []
    with pytest.raises(RecordError, match="nowhere"):
        trainer.run(replace(job, dataset=Path("nowhere")))


def test_progress(job: TrainingJob) -> None:
    long = replace(job, settings=replace(SHORT_TRAINING, epochs=40))
    seen: list[TrainingProgress] = []
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(trainer.run, long)
        while not future.done():
            progress = trainer.read_progress(long)
            if progress is not None and progress not in seen:
                seen.append(progress)
            time.sleep(0.01)
        assert future.result().images_seen == 40 * 9 * 32
    assert seen
    assert [progress.images_seen for progress in seen] == sorted({progress.images_seen for progress in seen})
    for progress in seen:
        assert progress.images_total == 40 * 9 * 32
        assert progress.epoch == (progress.images_seen - 1) // (9 * 32) + 1
        assert progress.images_seen % 32 == 0
        assert progress.train_loss > 0
    assert trainer.read_progress(long) is None
    assert {path.name for path in long.folder.iterdir()} == {long.key}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epoch": 1}'])
def test_progress_that_cannot_be_read_is_none(content: str, job: TrainingJob) -> None:
    job.folder.mkdir()
    job.progress_path.write_text(content)
    assert trainer.read_progress(job) is None


def test_a_full_disk(job: TrainingJob, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        there = replace(job, folder=disk / "trainings")
        there.folder.mkdir()
        filler = fill(disk)
        with pytest.raises(StorageError, match="the disk is full; free some space"):
            trainer.run(there)
        assert finished(there) is None
        assert not there.path.exists()
        # progress comes first in a long training
        with pytest.raises(StorageError, match="the disk is full"):
            trainer.run(replace(there, settings=replace(SHORT_TRAINING, epochs=2000)))
        filler.unlink()
        assert finished(there) is None
        assert trainer.run(there) == finished(there)


@pytest.mark.parametrize("kind", ["other network", "truncated", "missing", "no weights"])
def test_wrong_weights(kind: str, trained: TrainingJob, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    info = open_dataset(trained.dataset).info
    architecture = ARCHITECTURE
    if kind == "other network":
        architecture = seed_architecture((1, 2), 5)
    if kind == "no weights":
        save_file({"surprise": torch.zeros(1)}, path)
    elif kind != "missing":
        path.write_bytes((trained.path / WEIGHTS_FILE).read_bytes())
    if kind == "truncated":
        truncate(path)
    with pytest.raises(RecordError) as caught:
        load_network(architecture, path, info)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected the weights of {architecture.arch_id}, found ")
    assert "\n" not in message


def test_weights_name_their_network(trained: TrainingJob) -> None:
    with safe_open(trained.path / WEIGHTS_FILE, "pt") as file:
        assert file.metadata() == {"arch_id": ARCHITECTURE.arch_id}
    assert all(weight.is_contiguous() for weight in load_file(trained.path / WEIGHTS_FILE).values())
