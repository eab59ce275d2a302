"""From any data set to three Arrow files, once."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memnas_core.checksums import write_sums
from memnas_core.config import DataSettings
from memnas_core.data import cifar10, digits, fashion_mnist, image_folder
from memnas_core.data.dataset import (
    INFO_FILE,
    SPLITS,
    DatasetInfo,
    check_contents,
    content_digest,
    open_dataset,
)
from memnas_core.data.source import ImageArray, IndexArray, Origin, Pool, Source
from memnas_core.data.split_file import map_split, write_split
from memnas_core.data.splits import SplitPlan, plan_splits
from memnas_core.data.storage import exclusive, replaced_whole
from memnas_core.errors import DataError, RecordError
from memnas_core.storage import storage_errors

FORMAT = 1  # raise it when the same settings would give other files
_STATISTICS_BATCH = 256  # images; 4 bytes a pixel while they are summed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What memnas knows of a data set before looking at it.

    Attributes:
        own_side: Side of its images in pixels.
        mirrored: Whether a mirrored image still shows its class.
        find: Its reader.
    """

    own_side: int
    mirrored: bool
    find: Callable[[DataSettings, Path], Origin]


# Mirroring: a mirrored 2 is no 2. A mirrored shoe is a shoe, and mirroring is usual in work on Fashion-MNIST,
# though its shoes all point left. What a folder holds is unknown; photographs allow it, and for
# text or traffic signs data.horizontal_flip: false switches it off.
_KINDS = {
    "digits": _Kind(8, False, digits.find),
    "fashion-mnist": _Kind(fashion_mnist.OWN_SIDE, True, fashion_mnist.find),
    "cifar10": _Kind(32, True, cifar10.find),
    "folder": _Kind(32, True, image_folder.find),
}


def check_source(settings: DataSettings) -> None:
    """Refuse a folder of images that cannot be one, before anything is loaded or written.

    Data sets with a name need no such check: their files may still have to be downloaded.

    Raises:
        DataError: As the folder's reader says.
    """
    if settings.dataset == "folder":
        image_folder.find(settings, Path())


def check_image_size(settings: DataSettings, divisible_by: int) -> int:
    """Return the side of the prepared images; costs nothing, so call it before anything is loaded.

    Args:
        settings: `image_size`, or what the data set has by itself.
        divisible_by: Product of the blocks' strides.

    Raises:
        DataError: The strides cannot divide the side into whole pixels.
    """
    own = _KINDS[settings.dataset].own_side
    side = own if settings.image_size is None else settings.image_size
    if side % divisible_by:
        below = side - side % divisible_by
        fitting = [str(size) for size in (below, below + divisible_by) if size]
        origin = f" (the own size of {settings.dataset})" if settings.image_size is None else ""
        raise DataError(
            f"data.image_size: expected a multiple of {divisible_by}, the product of network.strides, found "
            f"{side}{origin}; the nearest that fit: {' and '.join(fitting)}; or change network.strides"
        )
    return side


def prepare_dataset(settings: DataSettings, seed: int, store: Path, divisible_by: int = 1) -> Path:
    """Load, split and convert a data set, unless that has been done.

    Args:
        settings: Which data, and how.
        seed: Decides the validation split and, with `max_training_images`, which images are kept. The test
            split does not depend on it.
        store: Receives `data/DATASET-SIDEpx-KEY/`, and `downloads/` where something is downloaded.
        divisible_by: Product of the blocks' strides.

    Returns:
        The folder with `train.arrow`, `validation.arrow`, `test.arrow` and `dataset.json`. It appears
        whole or not at all. One that is there is compared with its digest, and made anew if it is damaged.

    Raises:
        DataError: The data set is missing, unreadable or too small; no prepared data has been written.
        StorageError: The disk is full or refuses.
    """
    side = check_image_size(settings, divisible_by)
    kind = _KINDS[settings.dataset]
    mirrored = kind.mirrored if settings.horizontal_flip is None else settings.horizontal_flip
    origin = kind.find(settings, store / "downloads")
    key = _key(settings, seed, side, mirrored, origin.fingerprint)
    folder = store / "data" / f"{settings.dataset}-{side}px-{key}"
    if _is_intact(folder):
        return folder
    source = origin.load(side)
    plan = plan_splits(
        source.training.labels,
        source.classes,
        settings,
        seed,
        needs_validation=source.validation is None,
        needs_test=source.test is None,
    )
    with exclusive(folder.with_name(f".{folder.name}.lock")):
        if not _is_intact(folder):  # another process may have made it meanwhile
            with replaced_whole(folder) as draft:
                _write(draft, source, plan, side, mirrored, settings.dataset)
            _log.info("prepared %s", folder)
    return folder


def _key(settings: DataSettings, seed: int, side: int, mirrored: bool, fingerprint: str) -> str:
    """Digest everything that decides the content of the prepared files."""
    deciding = (
        FORMAT,
        settings.dataset,
        settings.validation_fraction,
        settings.max_training_images,
        seed,
        side,
        mirrored,
        fingerprint,
    )
    return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:12]


def _is_intact(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        check_contents(open_dataset(folder), folder)
    except RecordError as error:
        _log.warning("preparing the data again: %s", error)
        return False
    return True


def _write(draft: Path, source: Source, plan: SplitPlan, side: int, mirrored: bool, name: str) -> None:
    shape = (source.channels, side, side)
    parts = (
        (source.training, plan.train),
        _part(source.training, plan.validation, source.validation),
        _part(source.training, plan.test, source.test),
    )
    splits = []
    for split, (pool, indices) in zip(SPLITS, parts, strict=True):
        path, labels = draft / f"{split}.arrow", pool.labels[indices]
        write_split(path, pool.read(indices), labels, shape)
        splits.append(map_split(path, shape, len(labels), len(source.classes)))
    mean, std = channel_statistics(splits[0].images)
    info = DatasetInfo(
        name=name,
        classes=source.classes,
        shape=shape,
        channel_mean=mean,
        channel_std=std,
        train_size=len(splits[0].labels),
        validation_size=len(splits[1].labels),
        test_size=len(splits[2].labels),
        horizontal_flip=mirrored,
        digest=content_digest(source.classes, shape, mirrored, splits),
        source=source.words,
    )
    with storage_errors(draft):
        (draft / INFO_FILE).write_text(info.to_json(), encoding="utf-8")
        write_sums(draft, [INFO_FILE])


def _part(training: Pool, planned: IndexArray | None, own: Pool | None) -> tuple[Pool, IndexArray]:
    """Return the pool and the indices of a split: held out of the training pool, or the data set's own."""
    if planned is not None:
        return training, planned
    assert own is not None, "a split that the data set lacks is planned"
    return own, np.arange(len(own.labels), dtype=np.int64)


def channel_statistics(images: ImageArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every channel on the scale where white is 1.

    Sums are integers, hence exact and independent of the order of images.

    Args:
        images: Shape (n, channels, height, width).

    Returns:
        Means and standard deviations; a standard deviation of 0 is given as 1, so that dividing is safe.
    """
    channels = images.shape[1]
    sums, squares = [0] * channels, [0] * channels
    for start in range(0, len(images), _STATISTICS_BATCH):
        batch = images[start : start + _STATISTICS_BATCH]
        for channel in range(channels):
            values = batch[:, channel].astype(np.uint32)
            sums[channel] += int(values.sum(dtype=np.uint64))
            squares[channel] += int(np.square(values).sum(dtype=np.uint64))
    count = images.size // channels
    means = tuple(total / count / 255 for total in sums)
    stds = tuple(
        ((count * square - total**2) ** 0.5 / count / 255) or 1.0 for total, square in zip(sums, squares, strict=True)
    )
    return means, stds
