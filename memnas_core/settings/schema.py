"""Settings: frozen typed objects, one for each section of the file that `memnas_core.settings.file` reads.

`params.yaml` is the only source of settings; no default hides in the code. Core functions take only
their own section. Validation is pydantic's, in strict mode (a quoted number is no number).
"""

import hashlib
import json
import math
from dataclasses import asdict, fields, is_dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from memnas_core.registry import Registry, imported
from memnas_core.settings.devices import devices
from memnas_core.settings.kinds import (
    STRICT,
    AccuracyFloor,
    AccuracyMeasure,
    ActivationConvention,
    Aim,
    Choice,
    ControllerTarget,
    ControllerVersion,
    DatasetName,
    Device,
    ElementBytes,
    FilePath,
    Fraction,
    Moves,
    NonNegativeInt,
    OperationName,
    PositiveFloat,
    PositiveInt,
    Precision,
    Resize,
    Rungs,
    Runner,
    Selection,
    Share,
    Side,
    StartingWeights,
    Stride,
)
from memnas_core.settings.services import TrackingSettings, VersioningSettings


@dataclass(frozen=True, slots=True, config=STRICT)
class DataSettings:
    """The images and their preparation.

    Attributes:
        dataset: A built-in data set, or `folder` for images in class folders.
        folder: Folder of the images (`dataset: folder`) or of a download; null: the store.
        image_size: Side of the square images in pixels; null keeps the data set's own (32 for a folder).
        validation_fraction: Share of the training images held out to score candidates.
        max_training_images: Largest number of training images used (after the split); null uses all.
        horizontal_flip: Augment by mirroring; null does it where the data set's classes allow it.
        resize: How a picture of a folder that is no square becomes one: `center_crop` cuts out the centre, `squash`
            changes the aspect ratio, `letterbox` fills what is missing with grey.
        skip_unreadable: Leave out the images of a folder that cannot be read; all of them are decoded twice.
        follow_links: Let links in a folder lead out of it, which brings what they lead to into the store.
        max_pixels: Largest image of a folder that is decoded, in pixels; larger ones count as unreadable.

    The last four were added later; without them, a file means what it meant before.
    """

    dataset: DatasetName
    folder: FilePath | None
    image_size: Side | None
    validation_fraction: Fraction
    max_training_images: PositiveInt | None
    horizontal_flip: bool | None
    resize: Resize = "center_crop"
    skip_unreadable: bool = False
    follow_links: bool = False
    max_pixels: PositiveInt = 89_478_485  # Pillow's own limit, 256 MiB as RGB

    @model_validator(mode="after")
    def _folder_is_named(self) -> Self:
        if self.dataset == "folder" and self.folder is None:
            raise ValueError("folder: expected the path of the class folders, found null")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class NetworkSettings:
    """The template that every candidate fills.

    Attributes:
        filters: Filters of every operation layer (the paper's F); with `search.widths`, those of the largest stem.
        strides: Stride of each block, 1 or 2; the list's length is the number of blocks.
        stem_stride: Stride of the stem, the first convolution; 1 in the paper.

    The last was added later; without it, a file means what it meant before.
    """

    filters: PositiveInt
    strides: Annotated[tuple[Stride, ...], Field(min_length=1)]
    stem_stride: Stride = 1

    @property
    def reduction(self) -> int:
        """The factor by which all strides together shrink the side of an image."""
        return self.stem_stride * math.prod(self.strides)


@dataclass(frozen=True, slots=True, config=STRICT)
class SearchSettings:
    """How a round makes and chooses candidates, and how long the search goes on.

    The search ends when the first of the criteria below is met.

    Attributes:
        seed: Decides every random choice of the search.
        moves: `grow` leaves the paper's trimming out, as an ablation.
        selection: How the candidates to train are chosen: by the controller, or at `random` as an ablation. With
            `random` no controller is trained, and `aim: front` assumes that candidates are as accurate as their bases.
        aim: What the search looks for. `front`: the whole Pareto front; every network on it is a base, and candidates
            rank by the area that they would add (`memnas_core.search.front_aim`). `score`: one network, as in the
            paper; each round starts from the winner of the last, and candidates rank by Eq. 4.
        seed_cells: Networks that round 0 trains from scratch: for each pair of operations, one whose blocks have one
            cell, the sum of the two. `score` takes one pair.
        seed_rungs: Rungs of round 0, given as in `rungs`.
        weights: Initial weights of a candidate's training: those of its base, or fresh ones as in the paper.
        warm_learning_rate: Peak learning rate of warm-started trainings; null: `training.learning_rate`.
        rungs: Length of each rung of a candidate's training, as a share of `training.epochs`. One rung of 1 trains all
            candidates fully, as the paper does.
        keep: Largest share of a rung's candidates that goes on to the next rung.
        top_k: Candidates trained in a round (the paper's k).
        rounds: Largest number of rounds.
        max_cells: The search ends when its base has so many cells in a block.
        max_training_images: End after so many training images seen by all candidates together; null: no limit.
        patience: End after so many rounds in a row without a candidate above its base (score > 0); null: no limit.
        widths: Whether every block has a number of filters of its own, which grows with every halving of the image in
            the first networks and is widened and narrowed later (`memnas_core.space.moves`). Not in the paper.
        seed_shares: With `widths`, the sizes of the first networks of each pair of `seed_cells`, as shares of that with
            `network.filters`, or of the largest that is within the budget: weights and activations together.
        choice: Accuracies by which the network to hand over is chosen: those that were `measured`, or those that the
            `controller` estimates from all trained networks. The latter needs trainings of one length.

    The last three were added later; without them, a file means what it meant before.
    """

    seed: NonNegativeInt
    moves: Moves
    selection: Selection
    aim: Aim
    seed_cells: Annotated[tuple[tuple[OperationName, OperationName], ...], Field(min_length=1)]
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
    widths: bool = False
    seed_shares: Annotated[tuple[Share, ...], Field(min_length=1)] = (1.0,)
    choice: Choice = "measured"

    @property
    def first_networks(self) -> int:
        """Number of networks that round 0 trains, if no two are the same."""
        return len(self.seed_cells) * len(self.seed_shares)

    @model_validator(mode="after")
    def _estimates_compare(self) -> Self:
        if self.choice == "controller" and (len(self.rungs), len(self.seed_rungs)) != (1, 1):
            raise ValueError(
                "choice: expected measured with more than one rung, found controller: accuracies after trainings of "
                "different lengths do not compare; give search.rungs and search.seed_rungs one rung each"
            )
        return self

    @model_validator(mode="after")
    def _shares_have_widths(self) -> Self:
        if self.seed_shares != (1.0,) and not self.widths:
            raise ValueError(
                f"seed_shares: expected [1.0] without search.widths, found {list(self.seed_shares)}: all networks have "
                "network.filters"
            )
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class ObjectiveSettings:
    """Eq. 4, by which networks are compared, and the budget, the most memory that they may need.

    No network beyond the budget is trained. Its bytes are counted as elsewhere in these settings: `weight_bytes` per
    weight, `activation_bytes` per activation and the peak under `activation_convention`. So 64 kB of
    int8 weights are `weight_bytes: 1` and `max_param_bytes: 64000`.

    Attributes:
        accuracy_weight: The paper's lambda: 0 looks at memory only, 1 at accuracy only.
        accuracy_floor: Networks at or below this validation accuracy are not chosen, and with `search.aim: front` they
            are no bases once there are better ones. `auto`: what the best network so far has, less a tenth of what it
            has over always guessing the largest class, or less its own error, whichever is closer to it
            (`memnas_core.objective.floor`). It also stands for a floor that no network exceeds. null: none is excluded,
            and the front begins four fifths of the way from guessing to the first network.
        activation_convention: Convention by which activation memory is counted.
        weight_bytes: Bytes per weight.
        activation_bytes: Bytes per activation.
        device: A device whose memory is the budget (`memnas_core/settings/devices.csv`); null: none.
        max_param_bytes: Largest size of all weights in bytes; null: the device's limit, if any.
        max_activation_bytes: Largest activation memory in bytes; null: the device's limit, if any.
        max_total_bytes: Largest sum of both in bytes; null: the device's limit, if any.
        accuracy: The measure that the search optimises and reports. `plain`: share of images that are classified
            correctly; `balanced`: mean recall of the classes, which counts small classes as much as large ones.

    The last one was added later; without it, a file means what it meant before.
    """

    accuracy_weight: Annotated[float, Field(ge=0, le=1)]
    accuracy_floor: AccuracyFloor
    activation_convention: ActivationConvention
    weight_bytes: ElementBytes
    activation_bytes: ElementBytes
    device: str | None
    max_param_bytes: PositiveInt | None
    max_activation_bytes: PositiveInt | None
    max_total_bytes: PositiveInt | None
    accuracy: AccuracyMeasure = "plain"

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        if self.device is not None and self.device not in devices():
            raise ValueError(f'device: expected null or one of {", ".join(devices())}, found "{self.device}"')
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class TrainingSettings:
    """SGD with warm restarts and the paper's augmentation.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per training step.
        learning_rate: Peak learning rate of every cosine cycle.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        restart_epochs: Length of the first cosine cycle; null: one cycle over all epochs.
        restart_factor: Length of each cycle relative to the one before.
        crop_padding: Zero pixels around an image before the random crop; 0 switches it off.
        cutout_size: Side of the square that cutout sets to zero, in pixels; 0 switches it off.
        device: Device to train on; auto takes CUDA if it is available.
        precision: Number format of convolutions and matrix products in a training step; weights stay float32. auto
            takes float32 on a CPU, and on CUDA bfloat16 if the GPU has it, else float16.
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


@dataclass(frozen=True, slots=True, config=STRICT)
class ControllerSettings:
    """The structure correlation controller (SCC) and its own training.

    Attributes:
        version: `paper`: the two GRUs of the paper, to which the sizes, epochs and learning rate below apply;
            `improved`: the best version in Table 3, which uses none of them.
        target: `metric` learns all of Eq. 4, as the paper does; `accuracy` learns the accuracy and puts the
            exact memory terms into Eq. 4 afterwards.
        embedding_size: Size of an embedded cell.
        hidden_size: State size of the encoding GRU and of the ranking GRU.
        epochs: Passes over all candidates trained so far, after each round.
        learning_rate: Learning rate of Adam.
    """

    version: ControllerVersion
    target: ControllerTarget
    embedding_size: PositiveInt
    hidden_size: PositiveInt
    epochs: PositiveInt
    learning_rate: PositiveFloat


@dataclass(frozen=True, slots=True, config=STRICT)
class FinalSettings:
    """What happens to the chosen network at the end.

    Attributes:
        epochs: Epochs of retraining that network from scratch; null keeps the search's weights.
        all_images: Whether that retraining sees the validation images too, which have chosen the network by then. They
            are copied into memory together with the training images.
    """

    epochs: PositiveInt | None
    all_images: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class ExecutionSettings:
    """Where trainings run, and the limits of each; one that exceeds them is recorded as failed, and the search goes on.

    Attributes:
        runner: `processes` of this machine, or `ray`: a Ray cluster, which memnas starts on this machine or finds
            elsewhere (`docs/ray.md`).
        workers: Parallel trainings, each with one torch thread; null: one per CPU core, or on CUDA as many as the GPUs
            have room for, which is also the most allowed. On Ray, null is as many as the cluster has room for, and any
            more wait.
        gpu_fraction: Share of a GPU that one training takes, and of its memory at most; null: all of it. Every process
            also needs some hundred megabytes on its GPU: four trainings fit better with 0.23 than with 0.25.
        memory_limit_bytes: Memory that a training may take; null: no limit. On a CPU it counts all that its worker
            process holds, some 400 MB before it trains, without libraries and prepared images, which workers share
            (docs/limits.md). On CUDA it counts the GPU memory that torch takes.
        training_seconds: Wall time that a training, also the final retraining, may take; null: no limit.
        ray_address: Address of the cluster: `ray://HOST:10001` or `HOST:6379`, or `auto` on one of its machines; null:
            one is started on this machine and ends with the search.
        ray_cpus: CPUs of the cluster that Ray sets aside for one training.
    """

    runner: Runner
    workers: PositiveInt | None
    gpu_fraction: Annotated[float, Field(ge=0.001, le=1)] | None
    memory_limit_bytes: PositiveInt | None
    training_seconds: PositiveFloat | None
    ray_address: Annotated[str, Field(min_length=1)] | None
    ray_cpus: PositiveFloat


@dataclass(frozen=True, slots=True, config=STRICT)
class Settings:
    """All settings of a search, in sections.

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
    def _go_with_the_aim(self) -> Self:
        aims = imported("memnas_core.search.aim:AIMS")
        assert isinstance(aims, Registry), "a table of aims"
        aims[self.search.aim].check(self)
        return self

    def as_dict(self) -> dict[str, object]:
        """Return the settings as the nested mapping that a YAML file holds."""
        return asdict(self)

    def as_earlier_dict(self) -> dict[str, object]:
        """Return the settings without those that were added later and have the value of what was done before."""
        document = asdict(self)
        for section in fields(self):
            keys = fields(kept) if is_dataclass(kept := getattr(self, section.name)) else ()
            for key in keys:
                if key.default == document[section.name][key.name]:
                    del document[section.name][key.name]
        return document

    def result_digest(self) -> str:
        """Return a digest of the settings that decide a search's result.

        Settings of where things run or are written (`store`, `execution`, `tracking`, `versioning`) are left out, and
        so are those that were added later and have the value that stands for what was done before.
        """
        places = ("store", "execution", "tracking", "versioning")
        deciding = {k: v for k, v in self.as_earlier_dict().items() if k not in places}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]
