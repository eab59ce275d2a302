"""A prepared data set: three memory-mapped splits and facts about them.

A prepared folder holds `train.arrow`, `validation.arrow`, `test.arrow`, `dataset.json` with the digest of these three,
and a checksum of `dataset.json`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from memnas_core.data.preprocessing import Preprocessing
from memnas_core.data.split_file import Shape, Split, map_split
from memnas_core.errors import RecordError
from memnas_core.files.checksums import SUMS_FILE, check_sums
from memnas_core.files.untrusted import parse_record, read_text
from memnas_core.settings.kinds import PositiveFloat, PositiveInt
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space import layers
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import Graph, lower

INFO_FILE = "dataset.json"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DatasetInfo:
    """Facts about a prepared data set.

    Attributes:
        name: Name of the data set, as in the settings.
        classes: Name of every class; a label is an index into it.
        shape: Channels, height and width of an image.
        channel_mean: Mean of each channel over the training split, on the scale where white is 1.
        channel_std: Standard deviation of each channel, on the same scale; 1 for a constant channel, so that dividing
            is safe.
        train_size: Number of training images.
        validation_size: Number of validation images.
        test_size: Number of test images.
        horizontal_flip: Whether training may mirror images.
        digest: SHA-256 of everything that a training sees: classes, shape, flip, images and labels.
        source: Origin of the images, in words.
        preprocessing: What turns an image file into such an image; None where no files were read, and in data that an
            older memnas prepared.
        warnings: What was left out or is doubtful about the images, in sentences.
    """

    name: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    channel_mean: tuple[float, ...]
    channel_std: tuple[PositiveFloat, ...]
    train_size: PositiveInt
    validation_size: PositiveInt
    test_size: PositiveInt
    horizontal_flip: bool
    digest: str
    source: str
    preprocessing: Preprocessing | None = None
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_figure_a_channel(self) -> Self:
        if not self.shape[0] == len(self.channel_mean) == len(self.channel_std):
            raise ValueError("expected one mean and one standard deviation for each channel")
        return self

    def for_files(self) -> Preprocessing:
        """Return what turns an image file into such an image, as recorded or, without a record, as near as is known."""
        return self.preprocessing or Preprocessing(self.shape[1], 1 if self.shape[0] == 1 else 3, "center_crop")

    def graph(self, architecture: Architecture) -> Graph:
        """Return the layers of an architecture that classifies these images."""
        return lower(architecture, layers.Shape(*self.shape), len(self.classes))

    def workload(self, objective: ObjectiveSettings) -> layers.Workload:
        """Return what a network for these images is made and measured for.

        Args:
            objective: The widths of elements.
        """
        shape, classes = layers.Shape(*self.shape), len(self.classes)
        return layers.Workload(shape, classes, objective.weight_bytes, objective.activation_bytes)

    def to_json(self) -> str:
        """Return the text that `from_json` reads back to an equal object."""
        return _INFO.dump_json(self, indent=2).decode() + "\n"

    @staticmethod
    def from_json(text: str) -> "DatasetInfo":
        """Return the object that `to_json` wrote.

        Raises:
            RecordError: The text is something else.
        """
        try:
            return parse_record(text, DatasetInfo)
        except ValueError as error:
            raise RecordError(f"expected facts about a data set, found {error}") from None


_INFO = TypeAdapter(DatasetInfo)


@plain_dataclass(frozen=True, slots=True)
class Dataset:
    """Three memory-mapped splits. Give workers the folder, not this object: pickling would copy the images."""

    info: DatasetInfo
    train: Split
    validation: Split
    test: Split

    def with_all_to_train(self) -> "Dataset":
        """Return the same data, whose training images are those of the training and of the validation split."""
        images, labels = (
            np.concatenate([getattr(split, name) for split in (self.train, self.validation)])
            for name in ("images", "labels")
        )
        return replace(self, train=Split(images, labels))


def open_dataset(folder: Path) -> Dataset:
    """Map a prepared data set into memory; this takes milliseconds whatever its size.

    The structure is checked (files, columns, number of images, labels). The pixels are not: `prepare_dataset`
    compares them with their digest.

    Args:
        folder: Folder that `prepare_dataset` returned.

    Raises:
        RecordError: A file is missing, truncated or was changed.
    """
    try:
        try:
            text = read_text(folder / INFO_FILE)
        except FileNotFoundError:
            raise RecordError(f"{folder / INFO_FILE}: expected a prepared data set, found none") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"{folder / INFO_FILE}: cannot be read: {error}") from error
        info = DatasetInfo.from_json(text)
        sizes = (info.train_size, info.validation_size, info.test_size)
        train, validation, test = (
            map_split(folder / f"{name}.arrow", info.shape, size, len(info.classes))
            for name, size in zip(SPLITS, sizes, strict=True)
        )
    except RecordError as error:
        raise RecordError(f"{error}; delete {folder} and run again to prepare it anew") from error
    return Dataset(info, train, validation, test)


def check_contents(dataset: Dataset, folder: Path) -> None:
    """Check that images, labels and facts are those that were written (about 1.5 GB a second).

    Raises:
        RecordError: Images, labels or facts were changed.
    """
    info = dataset.info
    if (folder / SUMS_FILE).exists():  # data prepared by an older memnas have none
        try:
            check_sums(folder, [INFO_FILE])
        except RecordError as error:
            raise RecordError(f"{error}; delete {folder} and run again to prepare it anew") from error
    splits = (dataset.train, dataset.validation, dataset.test)
    if content_digest(info.classes, info.shape, info.horizontal_flip, splits) != info.digest:
        raise RecordError(f"{folder}: images or labels were changed; delete it and run again to prepare it anew")


_states: dict[Path, tuple[tuple[int, ...], ...]] = {}


def open_checked(folder: Path) -> Dataset:
    """Map a prepared data set into memory and check that its images and labels are those that were prepared.

    They are compared with their digest once per process, and again after a file was written to or replaced.

    Args:
        folder: Folder that `prepare_dataset` returned.

    Raises:
        RecordError: A file is missing, truncated or was changed.
    """
    state = _state(folder)
    dataset = open_dataset(folder)
    if _states.get(folder) != state:
        check_contents(dataset, folder)
        _states[folder] = state
    return dataset


def _state(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Return inode, size and modification time of each file, which change when the file does."""
    paths = [folder / INFO_FILE, *(folder / f"{name}.arrow" for name in SPLITS)]
    found = [path.stat() for path in paths if path.exists()]
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


def content_digest(classes: Sequence[str], shape: Shape, horizontal_flip: bool, splits: Sequence[Split]) -> str:
    """Return the SHA-256 of everything that a training sees, as 64 hexadecimal digits."""
    digest = hashlib.sha256(repr((tuple(classes), tuple(shape), horizontal_flip)).encode())
    for split in splits:
        digest.update(f"{len(split.labels)} images".encode())
        digest.update(split.labels.astype("<i8", copy=False).data)
        digest.update(np.ascontiguousarray(split.images).data)  # already contiguous: no copy
    return digest.hexdigest()
