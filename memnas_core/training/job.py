"""One training as a job: what a worker process needs, and a key of all that decides the result."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from memnas_core.code_digest import code_digest
from memnas_core.records.trainings import NO_LIMITS, Limits
from memnas_core.settings.kinds import AccuracyMeasure
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json

TRAINS = ("memnas_core.training.worker:run", "memnas_core.training.loop:prepare_process")
"""What a worker process runs; the code reached from here decides the result of a training."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """A finished training whose weights another one begins with.

    Attributes:
        architecture: Trained architecture: the same one, or the base that it was made from.
        key: Key of the training, which is in the same folder.
    """

    architecture: Architecture
    key: str


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What a worker needs to train one candidate.

    Attributes:
        architecture: Architecture to train.
        arch_id: Id of the architecture.
        dataset: Folder of the prepared data.
        data_digest: Digest of the prepared data.
        settings: The `training` section.
        seed: Seed of initial weights, order of images and augmentation.
        folder: Folder that receives finished trainings, each under its key.
        images: Number of training images to see; None: a full training of the settings.
        start: The training whose weights it begins with; None: fresh weights.
        limits: Limits on memory and time; they do not influence the result and are not in the key.
        measure: Measure of the recorded accuracy.
        all_images: Whether the validation images are trained on too; then no accuracy is recorded.
    """

    architecture: Architecture
    arch_id: str
    dataset: Path
    data_digest: str
    settings: TrainingSettings
    seed: int
    folder: Path
    images: int | None = None
    start: WarmStart | None = None
    limits: Limits = NO_LIMITS
    measure: AccuracyMeasure = "plain"
    all_images: bool = False

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
            self.measure,
            self.all_images,
        ]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def path(self) -> Path:
        """Folder of the finished training."""
        return self.folder / self.key

    @property
    def progress_path(self) -> Path:
        """File in which the running training reports its progress."""
        return self.folder / f".{self.key}.progress"


@cache
def training_version() -> str:
    """Return a digest of the code that trains, so that records of other code are not reused."""
    return hashlib.sha256(f"{metadata.version('torch')} {code_digest(*TRAINS)}".encode()).hexdigest()[:12]


def candidate_seed(run_seed: int, round_number: int, arch_id: str) -> int:
    """Return the seed of a candidate's training."""
    return int(hashlib.sha256(f"{run_seed}/{round_number}/{arch_id}".encode()).hexdigest()[:8], 16)
