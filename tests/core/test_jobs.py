"""A training as a job: the key made of all that decides it."""

import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from shutil import copytree

import memnas_core
from memnas_core.config import TrainingSettings
from memnas_core.grow_trim import seed_architecture
from memnas_core.jobs import TrainingJob, candidate_seed
from memnas_core.limits import Limits
from tests.core.short_training import SHORT_TRAINING

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
        *(replace(job, settings=replace(SHORT_TRAINING, **{name: value})) for name, value in CHANGED.items()),
    ]
    keys = [job.key, *(other.key for other in others)]
    assert len(set(keys)) == len(keys)


def test_the_key_knows_nothing_else(job: TrainingJob) -> None:
    limits = Limits(memory_bytes=10**9, gpu_share=0.5, seconds=60.0)
    elsewhere = replace(job, dataset=Path("moved"), folder=Path("other"), arch_id="renamed", limits=limits)
    assert elsewhere.key == job.key
    assert elsewhere.path == Path("other") / job.key
    again = replace(job, architecture=seed_architecture((1, 2), 4), settings=replace(SHORT_TRAINING))
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
