"""A training as a job: the key made of all that decides it."""

import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from shutil import copytree

import memnas_core
from memnas_core.records.trainings import Limits
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.moves import seed_architecture
from memnas_core.training.job import TrainingJob, candidate_seed
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
    """In a copy of the core code is changed: that which trains gives another key, other code and words do not."""
    script = """
import pickle, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from memnas_core.training import job
assert Path(job.__file__).is_relative_to(sys.argv[1]), job.__file__
print(pickle.loads(Path(sys.argv[1], "job").read_bytes()).key)
"""

    def key_with(name: str, old: str, new: str) -> str:
        copytree(Path(memnas_core.__file__).parent, tmp_path / "memnas_core", dirs_exist_ok=True)
        file = tmp_path / "memnas_core" / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.strip()

    (tmp_path / "job").write_bytes(pickle.dumps(job))
    assert key_with("training/loop.py", "def train(", "# because\ndef train(") == job.key
    assert key_with("export/card.py", "def model_card(", "X = 1\ndef model_card(") == job.key
    changes = (
        ("training/loop.py", "set_to_none=True", "set_to_none=False"),
        ("training/worker.py", "[:CALIBRATION_IMAGES]", "[-CALIBRATION_IMAGES:]"),
        ("training/network.py", "first + second", "second + first"),
    )
    others = [key_with(*change) for change in changes]
    assert len({job.key, *others}) == 4


def test_candidate_seeds() -> None:
    seeds = [candidate_seed(run, number, name) for run in (0, 1, 11) for number in (1, 2, 12) for name in "ab"]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert candidate_seed(0, 1, "a") == candidate_seed(0, 1, "a")
    assert candidate_seed(1, 11, "a") != candidate_seed(11, 1, "a")
