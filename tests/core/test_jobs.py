"""A training as a job: its key, what it leaves on disk, and how it ends when something goes wrong."""

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import memnas_core
from memnas_core import jobs, trainer, training_records  # its test_accuracy is no test
from memnas_core.checksums import SUMS_FILE, write_sums
from memnas_core.config import DataSettings, TrainingSettings
from memnas_core.data import Split, open_dataset, prepare_dataset
from memnas_core.errors import GraphError, RecordError, StorageError
from memnas_core.graph import Shape, lower
from memnas_core.grow_trim import seed_architecture
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.limits import Limits
from memnas_core.records import Status
from memnas_core.trainer import load_network
from memnas_core.training import TrainingProgress
from memnas_core.training_records import RECORD_FILE, WEIGHTS_FILE, finished
from tests.core.faults import fill, small_disk
from tests.core.short_training import SHORT_TRAINING

SETTINGS = SHORT_TRAINING
ARCHITECTURE = seed_architecture((1, 2), 4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = DataSettings("digits", None, None, 0.1, 300, None)
    return prepare_dataset(settings, 0, tmp_path_factory.mktemp("store"))


@pytest.fixture
def job(dataset: Path, tmp_path: Path) -> TrainingJob:
    """Return a job that takes a fraction of a second and whose folder is the test's own."""
    digest = open_dataset(dataset).info.digest
    return TrainingJob(ARCHITECTURE, ARCHITECTURE.arch_id, dataset, digest, SETTINGS, 1, tmp_path / "trainings")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """Return a job that is done; tests do not change it."""
    digest = open_dataset(dataset).info.digest
    folder = tmp_path_factory.mktemp("trained")
    made = TrainingJob(ARCHITECTURE, ARCHITECTURE.arch_id, dataset, digest, replace(SETTINGS, epochs=2), 1, folder)
    trainer.run(made)
    return made


CHANGED = {
    "epochs": 2,
    "batch_size": 33,
    "learning_rate": 0.06,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "restart_epochs": 1,
    "restart_factor": 2,
    "crop_padding": 0,
    "cutout_size": 0,
    "device": "auto",
    "precision": "bfloat16",
}


def test_the_key_knows_all_that_decides(job: TrainingJob) -> None:
    assert set(CHANGED) == {field.name for field in fields(TrainingSettings)}
    others = [
        replace(job, architecture=seed_architecture((1, 2), 5)),
        replace(job, architecture=seed_architecture((2, 1), 4)),
        replace(job, data_digest="0" * 64),
        replace(job, seed=2),
        *(replace(job, settings=replace(SETTINGS, **{name: value})) for name, value in CHANGED.items()),
    ]
    keys = [job.key, *(other.key for other in others)]
    assert len(set(keys)) == len(keys)


def test_the_key_knows_nothing_else(job: TrainingJob) -> None:
    limits = Limits(memory_bytes=10**9, gpu_share=0.5, seconds=60.0)
    elsewhere = replace(job, dataset=Path("moved"), folder=Path("other"), arch_id="renamed", limits=limits)
    assert elsewhere.key == job.key
    assert elsewhere.path == Path("other") / job.key
    again = replace(job, architecture=seed_architecture((1, 2), 4), settings=replace(SETTINGS))
    assert again.key == job.key


def test_the_key_knows_the_code_that_trains(job: TrainingJob, tmp_path: Path) -> None:
    """A copy of the core is changed: code that trains gives another key, other code does not."""
    copytree(Path(memnas_core.__file__).parent, tmp_path / "memnas_core")
    script = """
import pickle, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from memnas_core import jobs
assert Path(jobs.__file__).is_relative_to(sys.argv[1]), jobs.__file__
job = pickle.loads(Path(sys.argv[1], "job").read_bytes())
keys = [job.key]
training = ("training.py", "graph.py", "network.py", "data/augmentation.py")
order = ("running_order.py", "memory.py", "order_search.py", "dataflow.py")
for name in ("errors.py", *training, *order):
    with Path(sys.argv[1], "memnas_core", name).open("a") as file:
        file.write("# changed")
    jobs.training_version.cache_clear()
    keys.append(job.key)
print(*keys)
"""
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    command = [sys.executable, "-c", script, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    own, harmless, *others = output.split()
    assert own == harmless == job.key
    assert len({own, *others}) == 9


def test_candidate_seeds() -> None:
    seeds = [candidate_seed(run, number, name) for run in (0, 1, 11) for number in (1, 2, 12) for name in "ab"]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert candidate_seed(0, 1, "a") == candidate_seed(0, 1, "a")
    assert candidate_seed(1, 11, "a") != candidate_seed(11, 1, "a")


def test_a_finished_job(job: TrainingJob) -> None:
    assert finished(job) is None
    before = time.time()
    record = trainer.run(job)
    assert finished(job) == record == training_records.read_record(job.path)
    assert (record.arch_id, record.status, record.message) == (job.arch_id, Status.TRAINED, "")
    assert (record.device, record.images_seen) == ("cpu", 9 * 32)  # of 300 images, 9 full batches
    assert before - 1 < record.started < time.time() + 1
    assert 0 < record.seconds <= time.time() - before
    assert len(record.history) == 1
    assert record.validation_accuracy == record.history[-1].validation_accuracy
    assert {path.name for path in job.path.iterdir()} == {RECORD_FILE, WEIGHTS_FILE, SUMS_FILE}
    assert {path.name for path in job.folder.iterdir()} == {job.key}


def test_the_weights_give_the_recorded_accuracy(trained: TrainingJob) -> None:
    data, record = open_dataset(trained.dataset), finished(trained)
    assert record is not None
    network = load_network(ARCHITECTURE, trained.path / WEIGHTS_FILE, data.info)
    assert not network.training
    assert by_hand(network, data.train, data.validation) == record.validation_accuracy
    found = trainer.test_accuracy(ARCHITECTURE, trained.path / WEIGHTS_FILE, trained.dataset, SETTINGS)
    assert found == by_hand(network, data.train, data.test)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == lower(ARCHITECTURE, Shape(*data.info.shape), 10).weights


def by_hand(network: torch.nn.Module, train: Split, split: Split) -> float:
    """Classify a split, normalised with the training images' mean and standard deviation as numpy finds them."""
    pixels = (split.images / 255 - np.mean(train.images / 255)) / np.std(train.images / 255)
    with torch.no_grad():
        scores = network(torch.from_numpy(pixels.astype(np.float32)))
    return float(np.mean(scores.argmax(1).numpy() == split.labels))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
    assert trainer.run(copy).validation_accuracy == training_records.read_record(trained.path).validation_accuracy
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
    going_on = replace(copy, images=32, start=jobs.Start(ARCHITECTURE, copy.key))
    flip(copy.path / WEIGHTS_FILE)
    with pytest.raises(RecordError, match=r"weights\.safetensors: expected the file that was written .*--resume"):
        trainer.run(going_on)
    assert finished(going_on) is None


@pytest.mark.parametrize("damage", [flip, truncate])
def test_data_that_are_damaged_while_it_trains(damage: Callable[[Path], None], job: TrainingJob) -> None:
    """The workers of a search map the files; what a training may have seen is not recorded."""
    copy = replace(job, dataset=job.folder.parent / "data", settings=replace(SETTINGS, epochs=200))
    copytree(job.dataset, copy.dataset)
    script = "import pickle, sys; from pathlib import Path; from memnas_core import trainer; "
    script += "trainer.run(pickle.loads(Path(sys.argv[1]).read_bytes()))"
    path = job.folder.parent / "job"
    path.write_bytes(pickle.dumps(copy))
    worker = subprocess.Popen([sys.executable, "-c", script, str(path)], stderr=subprocess.PIPE, text=True)
    while not copy.progress_path.exists():
        assert worker.poll() is None
        time.sleep(0.01)
    damage(copy.dataset / "train.arrow")
    _, words = worker.communicate(timeout=60)
    assert "run again to prepare it anew" in words or worker.returncode == -signal.SIGBUS
    assert not copy.path.exists()
    with pytest.raises(RecordError, match="run again to prepare it anew"):
        trainer.run(copy)


def test_a_damaged_training_is_done_again(trained: TrainingJob, tmp_path: Path) -> None:
    copy = replace(trained, folder=tmp_path)
    copytree(trained.path, copy.path)
    truncate(copy.path / RECORD_FILE)
    (copy.path / WEIGHTS_FILE).write_text("no weights")
    record, original = trainer.run(copy), finished(trained)
    assert original is not None
    assert finished(copy) == record
    assert record.validation_accuracy == original.validation_accuracy
    assert (copy.path / WEIGHTS_FILE).read_bytes() == (trained.path / WEIGHTS_FILE).read_bytes()


def test_reading_a_record_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"training\.json: expected the record of a training, found .*No such"):
        training_records.read_record(tmp_path)


def test_a_diverging_job(job: TrainingJob) -> None:
    wild = replace(job, settings=replace(SETTINGS, epochs=30, learning_rate=1e38))
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
from memnas_core import trainer, training_records
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
    wanting = replace(job, architecture=big, arch_id=big.arch_id, settings=replace(SETTINGS, batch_size=300))
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
    again = trainer.run(replace(job, limits=replace(TIGHT, memory_bytes=None)))
    assert again.status is Status.TRAINED
    assert finished(failed) == again


def test_other_errors_are_no_results(job: TrainingJob) -> None:
    """Images of 8 pixels cannot be halved four times: a bug of the caller, not a result of the candidate."""
    deep = seed_architecture((2, 2, 2, 2), 4)
    with pytest.raises(GraphError):
        trainer.run(replace(job, architecture=deep))
    assert list(job.folder.iterdir()) == []
    with pytest.raises(RecordError, match="nowhere"):
        trainer.run(replace(job, dataset=Path("nowhere")))


def test_progress(job: TrainingJob) -> None:
    long = replace(job, settings=replace(SETTINGS, epochs=40))
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
            trainer.run(replace(there, settings=replace(SETTINGS, epochs=2000)))
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


def test_a_lost_worker(job: TrainingJob) -> None:
    job.folder.mkdir()
    job.progress_path.write_text("{}")
    record = training_records.lost(job, time.time() - 5, "the worker process died: killed")
    assert list(job.folder.iterdir()) == []
    assert (record.status, record.validation_accuracy, record.images_seen) == (Status.WORKER_LOST, None, 0)
    assert 5 <= record.seconds < 60
    training_records.write_record(job, record)
    assert finished(job) == record
    assert json.loads((job.path / RECORD_FILE).read_text()) == json.loads(json.dumps(asdict(record)))
