"""Settings: frozen typed objects, one for each section of the file that `memnas_core.settings_file` reads.

`params.yaml` is the only source of settings; no default hides in code. Core functions take their own
section only. Validation is pydantic's, in strict mode (a quoted number is no number).
"""

import hashlib
import json
from dataclasses import asdict
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticKnownError

from memnas_core.architecture import Operation
from memnas_core.devices import devices

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def _whole(value: object) -> object:
    if type(value) is not int:  # true and 4.0 are equal to 1 and 4
        raise PydanticKnownError("int_type")
    return value


Stride = Annotated[Literal[1, 2], BeforeValidator(_whole)]
ElementBytes = Annotated[Literal[1, 2, 4], BeforeValidator(_whole)]

FilePath = Annotated[str, Field(pattern="^[^\\x00]+$")]
Side = Annotated[int, Field(ge=1, le=8192)]

Rungs = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]

TRACKING_SCHEMES = frozenset(("", "databricks", "file", "http", "https", "mssql", "mysql", "postgresql", "sqlite"))
"""What MLflow can write to; without a scheme it is a folder."""

DatasetName = Literal["digits", "fashion-mnist", "cifar10", "folder"]
ActivationConvention = Literal["paper", "sequential", "minimum", "arena"]
ControllerVersion = Literal["paper", "improved"]
ControllerTarget = Literal["accuracy", "metric"]
Moves = Literal["grow_and_trim", "grow"]
Selection = Literal["controller", "random"]
Aim = Literal["front", "score"]
StartingWeights = Literal["base", "fresh"]
Device = Literal["auto", "cpu", "cuda"]
Runner = Literal["processes", "ray"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, config=_STRICT)
class DataSettings:
    """Which images, and how they are prepared.

    Attributes:
        dataset: A built-in data set, or `folder` for images in class folders.
        folder: Where the images are (`dataset: folder`), or where a download goes; null: the store.
        image_size: Side of the square images in pixels; null keeps the data set's own (32 for a folder).
        validation_fraction: Share of the training images held out to score candidates.
        max_training_images: Use at most so many training images (after the split); null uses all.
        horizontal_flip: Augment by mirroring; null does it where the data set's classes allow it.
    """

    dataset: DatasetName
    folder: FilePath | None
    image_size: Side | None
    validation_fraction: Fraction
    max_training_images: PositiveInt | None
    horizontal_flip: bool | None

    @model_validator(mode="after")
    def _folder_is_named(self) -> Self:
        if self.dataset == "folder" and self.folder is None:
            raise ValueError("folder: expected the path of the class folders, found null")
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
class NetworkSettings:
    """The template that every candidate fills.

    Attributes:
        filters: Filters of every operation layer (the paper's F).
        strides: Stride of each block, 1 or 2; its length is the number of blocks.
    """

    filters: PositiveInt
    strides: Annotated[tuple[Stride, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class SearchSettings:
    """How a round makes and chooses candidates, and how long the search goes on.

    The first of the criteria below that is met ends it.

    Attributes:
        seed: Decides every random choice of the search.
        moves: `grow` leaves the paper's trimming out, to show what it is worth.
        selection: Who chooses the candidates that are trained: the controller, or `random` to show what it is worth;
            then none is trained, and with `aim: front` all candidates are taken to be as accurate as their bases.
        aim: What the search looks for. `front`: the whole Pareto front; every network on it is a base, and candidates
            rank by the area that they would add (`memnas_core.front_search`). `score`: one network, as in the paper;
            each round starts from the winner of the last, and candidates rank by Eq. 4.
        seed_cells: What round 0 trains from nothing: for each pair of operations the network whose blocks have one
            cell, their sum. Under `score` one pair.
        seed_rungs: As `rungs`, for round 0.
        weights: What a candidate's training begins with: the weights of its base, or fresh ones as in the paper.
        warm_learning_rate: Peak learning rate of trainings that begin with weights; null: `training.learning_rate`.
        rungs: Length of each rung of a candidate's training, as a share of `training.epochs`. One rung of 1 trains all
            candidates fully, as the paper does.
        keep: Share of a rung's candidates that go on to the next rung at most.
        top_k: Candidates trained in a round (the paper's k).
        rounds: Rounds at most.
        max_cells: The search ends when its base has so many cells in a block.
        max_training_images: Training images seen by all candidates together; null: no limit.
        patience: Rounds in a row that may bring no candidate above its base (score > 0); null: no limit.
    """

    seed: NonNegativeInt
    moves: Moves
    selection: Selection
    aim: Aim
    seed_cells: Annotated[tuple[tuple[Operation, Operation], ...], Field(min_length=1)]
    seed_rungs: Rungs
    weights: StartingWeights
    warm_learning_rate: PositiveFloat | None
    rungs: Rungs
    keep: Share
    top_k: PositiveInt
    rounds: PositiveInt
    max_cells: PositiveInt
    max_training_images: PositiveInt | None
    patience: PositiveInt | None


@dataclass(frozen=True, slots=True, config=_STRICT)
class ObjectiveSettings:
    """Eq. 4: what a better network is; and the budget: what memory it may need at most.

    No network beyond the budget is trained. Its bytes are counted as everywhere else in these settings: with
    `weight_bytes` a weight, `activation_bytes` an activation and the peak under `activation_convention`. So 64 kB of
    int8 weights are `weight_bytes: 1` and `max_param_bytes: 64000`.

    Attributes:
        accuracy_weight: The paper's lambda: 0 looks at memory only, 1 at accuracy only.
        accuracy_floor: A network no more accurate on the validation images is of no use: it is not chosen if there is
            a better one, and with `search.aim: front` it is no base once there are better ones; null: none is refused,
            and the front begins four fifths of the way from guessing to the first network.
        activation_convention: Which figure enters as activation memory.
        weight_bytes: Bytes of one weight.
        activation_bytes: Bytes of one activation.
        device: A device whose memory is the budget (`memnas_core/devices.csv`); null: none.
        max_param_bytes: Bytes of all weights at most; null: what the device has, or no limit.
        max_activation_bytes: Bytes of activations at most; null: what the device has, or no limit.
        max_total_bytes: Bytes of both together at most; null: what the device has, or no limit.
    """

    accuracy_weight: Annotated[float, Field(ge=0, le=1)]
    accuracy_floor: Annotated[float, Field(ge=0, lt=1)] | None
    activation_convention: ActivationConvention
    weight_bytes: ElementBytes
    activation_bytes: ElementBytes
    device: str | None
    max_param_bytes: PositiveInt | None
    max_activation_bytes: PositiveInt | None
    max_total_bytes: PositiveInt | None

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        if self.device is not None and self.device not in devices():
            raise ValueError(f'device: expected null or one of {", ".join(devices())}, found "{self.device}"')
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
class TrainingSettings:
    """SGD with warm restarts and the paper's augmentation.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: Peak of every cosine cycle.
        momentum: Of SGD.
        weight_decay: Of SGD.
        restart_epochs: Length of the first cosine cycle; null: one cycle over all epochs.
        restart_factor: Each cycle is so many times longer than the one before.
        crop_padding: Zero pixels around an image before the random crop; 0 switches it off.
        cutout_size: Side of the square set to zero; 0 switches it off.
        device: Where to train; auto takes CUDA where there is one.
        precision: What convolutions and products compute with in a training step; weights stay float32. auto takes
            float32 on a CPU, and on CUDA bfloat16 where the GPU has it, else float16.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    restart_epochs: PositiveInt | None
    restart_factor: PositiveInt
    crop_padding: NonNegativeInt
    cutout_size: NonNegativeInt
    device: Device
    precision: Precision


@dataclass(frozen=True, slots=True, config=_STRICT)
class ControllerSettings:
    """The structure correlation controller (SCC) and its own training.

    Attributes:
        version: `paper`: the two GRUs of the paper, which the sizes, epochs and learning rate below belong to;
            `improved`: what measured best in Table 3, which needs none of them.
        target: `metric` learns all of Eq. 4, as the paper does; `accuracy` learns the accuracy and puts the
            exact memory terms into Eq. 4 afterwards.
        embedding_size: Of a cell's tuple.
        hidden_size: Of the encoding GRU and of the ranking GRU.
        epochs: Passes over all candidates trained so far, after each round.
        learning_rate: Of Adam.
    """

    version: ControllerVersion
    target: ControllerTarget
    embedding_size: PositiveInt
    hidden_size: PositiveInt
    epochs: PositiveInt
    learning_rate: PositiveFloat


@dataclass(frozen=True, slots=True, config=_STRICT)
class FinalSettings:
    """What happens to the chosen network at the end.

    Attributes:
        epochs: Retrain it from nothing for so many epochs; null keeps it as the search trained it.
    """

    epochs: PositiveInt | None


@dataclass(frozen=True, slots=True, config=_STRICT)
class ExecutionSettings:
    """Where trainings run, and what one may take; one that takes more is recorded as failed and the search goes on.

    Attributes:
        runner: `processes` of this machine, or `ray`: a Ray cluster, which memnas starts on this machine or finds
            elsewhere (`docs/ray.md`).
        workers: Trainings at once, each with one torch thread; null: one per CPU core, or, where training runs on CUDA,
            as many as the GPUs have room for, which are also the most. On Ray null is as many as the cluster has room
            for, and more than that wait.
        gpu_fraction: Share of a GPU that one training takes, and of its memory at most; null: all of it. Every process
            needs some hundred megabytes on its GPU beside: four trainings fit better with 0.23 than with 0.25.
        memory_limit_bytes: Memory that a training may take; null: no limit. On a CPU it is all that its worker process
            holds, some 400 MB before it trains; libraries and prepared images, which workers share, are not counted
            (docs/limits.md). On CUDA it is what torch takes of the GPU.
        training_seconds: Wall time that a training may take, the retraining at the end too; null: no limit.
        ray_address: Where the cluster is: `ray://HOST:10001` or `HOST:6379`, or `auto` on one of its machines; null:
            one is started on this machine and ends with the search.
        ray_cpus: CPUs of the cluster that Ray sets aside for one training.
    """

    runner: Runner
    workers: PositiveInt | None
    gpu_fraction: Share | None
    memory_limit_bytes: PositiveInt | None
    training_seconds: PositiveFloat | None
    ray_address: Annotated[str, Field(min_length=1)] | None
    ray_cpus: PositiveFloat


@dataclass(frozen=True, slots=True, config=_STRICT)
class TrackingSettings:
    """Where MLflow writes.

    Attributes:
        uri: MLflow tracking URI; null: an SQLite file in the store.
        experiment: Name of the MLflow experiment; the names of registered models begin with it.
    """

    uri: str | None
    experiment: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _uri_is_known(self) -> Self:
        try:
            scheme = "" if self.uri is None else urlsplit(self.uri).scheme.partition("+")[0]  # postgresql+psycopg2
        except ValueError as error:
            raise ValueError(f"uri: expected a URI, found none: {error}") from None
        if scheme not in TRACKING_SCHEMES:
            known = ", ".join(sorted(filter(None, TRACKING_SCHEMES)))
            raise ValueError(f'uri: expected null, a folder, or a URI of {known}, found "{scheme}:"')
        return self


@dataclass(frozen=True, slots=True, config=_STRICT)
class VersioningSettings:
    """Where DVC keeps a second copy of its versions.

    Attributes:
        remote: URL of a DVC remote (`s3://bucket/path`, a folder) that gets the data and every round; null: none.
            Keys and addresses of servers stay out of settings: for S3, DVC takes them from AWS's own variables and
            files.
    """

    remote: Annotated[str, Field(min_length=1)] | None


@dataclass(frozen=True, slots=True, config=_STRICT)
class Settings:
    """Everything a search is told, one section for each part.

    Attributes:
        store: Folder that receives prepared data, searches and the MLflow database.
    """

    store: FilePath
    data: DataSettings
    network: NetworkSettings
    search: SearchSettings
    objective: ObjectiveSettings
    training: TrainingSettings
    controller: ControllerSettings
    final: FinalSettings
    execution: ExecutionSettings
    tracking: TrackingSettings
    versioning: VersioningSettings

    @model_validator(mode="after")
    def _one_seed_to_follow(self) -> Self:
        if self.search.aim == "score" and len(self.search.seed_cells) > 1:
            found = len(self.search.seed_cells)
            raise ValueError(f"search.seed_cells: expected one pair with search.aim: score, found {found}")
        return self

    @model_validator(mode="after")
    def _controller_knows_accuracy(self) -> Self:
        if self.search.aim == "front" and self.controller.target != "accuracy":
            raise ValueError(
                "controller.target: expected accuracy with search.aim: front, found metric, which is relative to a base"
            )
        return self

    def as_dict(self) -> dict[str, object]:
        """Return the settings as the nested mapping that a YAML file holds."""
        return asdict(self)

    def result_digest(self) -> str:
        """Return a digest of what decides a search's result.

        Where things run or are written (`store`, `execution`, `tracking`, `versioning`) decides no result and stays
        out.
        """
        places = ("store", "execution", "tracking", "versioning")
        deciding = {k: v for k, v in self.as_dict().items() if k not in places}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def flat(settings: Settings) -> dict[str, str]:
    """Return `section.key` -> value in words, for tables of settings."""
    found: dict[str, str] = {}
    for section, values in settings.as_dict().items():
        if isinstance(values, dict):
            found |= {f"{section}.{key}": str(value) for key, value in values.items()}
        else:
            found[section] = str(values)
    return found


def differing_keys(ours: Settings, theirs: Settings) -> list[str]:
    """Return `section.key: ours, theirs` for every setting in which two searches differ."""
    lines = []
    left, right = ours.as_dict(), theirs.as_dict()
    for section, values in left.items():
        other = right[section]
        if not isinstance(values, dict) or not isinstance(other, dict):
            if values != other:
                lines.append(f"{section}: {values} here, {other} there")
            continue
        lines += [f"{section}.{k}: {v} here, {other[k]} there" for k, v in values.items() if v != other[k]]
    return lines
