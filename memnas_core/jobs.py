"""One training as a job: what a worker process is told, and a key of all that decides what comes of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import to_json
from memnas_core.config import TrainingSettings
from memnas_core.limits import NO_LIMITS, Limits

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
