"""A prepared data set: three mapped splits and a page of facts about them.

A prepared folder holds `train.arrow`, `validation.arrow`, `test.arrow`, `dataset.json`, which has the digest of the
three, and a checksum of `dataset.json`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from memnas_core.checksums import SUMS_FILE, check_sums
from memnas_core.config import PositiveFloat, PositiveInt
from memnas_core.data.split_file import Shape, Split, map_split
from memnas_core.errors import RecordError
from memnas_core.reading import read_text

INFO_FILE = "dataset.json"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class DatasetInfo:
    """Facts about a prepared data set.

    Attributes:
        name: The data set, as in the settings.
        classes: Name of every class; a label is an index into it.
        shape: Channels, height, width.
        channel_mean: Of the training split for each channel, on the scale where white is 1.
        channel_std: Standard deviation, same scale; 1 where a channel is constant, so that dividing is safe.
        train_size: Images.
        validation_size: Images.
        test_size: Images.
        horizontal_flip: Whether training may mirror images.
        digest: SHA-256 of all that a training sees: classes, shape, flip, images and labels.
        source: Where the images came from, in words.
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

    @model_validator(mode="after")
    def _one_figure_a_channel(self) -> Self:
        if not self.shape[0] == len(self.channel_mean) == len(self.channel_std):
            raise ValueError("expected one mean and one standard deviation for each channel")
        return self

    def to_json(self) -> str:
        """Return the text that `from_json` reads back to an equal object."""
        return _INFO.dump_json(self, indent=2).decode() + "\n"

    @staticmethod
    def from_json(text: str) -> "DatasetInfo":
        """Read what `to_json` wrote.

        Raises:
            RecordError: The text is something else.
        """
        try:
            return _INFO.validate_json(text)
        except ValidationError as error:
            finding = error.errors()[0]
            key = ".".join(str(part) for part in finding["loc"]) or "the text"
            raise RecordError(f"expected facts about a data set, found {key}: {finding['msg']}") from None


_INFO = TypeAdapter(DatasetInfo)


@plain_dataclass(frozen=True, slots=True)
class Dataset:
    """Three mapped splits. Give workers the folder, not this object: pickling would copy the images."""

    info: DatasetInfo
    train: Split
    validation: Split
    test: Split


def open_dataset(folder: Path) -> Dataset:
    """Map a prepared data set; takes milliseconds whatever its size.

    Structure is checked (files, columns, number of images, labels), the pixels are not: `prepare_dataset`
    compares them with their digest.

    Args:
        folder: What `prepare_dataset` returned.

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
    """Compare images, labels and facts with what was written (about 1.5 GB a second).

    Raises:
        RecordError: They differ.
    """
    info = dataset.info
    if (folder / SUMS_FILE).exists():  # an older memnas left none
        try:
            check_sums(folder, [INFO_FILE])
        except RecordError as error:
            raise RecordError(f"{error}; delete {folder} and run again to prepare it anew") from error
    splits = (dataset.train, dataset.validation, dataset.test)
    if content_digest(info.classes, info.shape, info.horizontal_flip, splits) != info.digest:
        raise RecordError(f"{folder}: images or labels were changed; delete it and run again to prepare it anew")


_states: dict[Path, tuple[tuple[int, ...], ...]] = {}


def open_checked(folder: Path) -> Dataset:
    """Map a prepared data set whose images and labels are those that were prepared.

    They are compared with their digest once in a process, and again when a file was written to or replaced.

    Args:
        folder: What `prepare_dataset` returned.

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
    """Return what changes when one of the files does, as far as the file system knows."""
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
