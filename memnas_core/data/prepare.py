"""Preparation of a data set: it is converted once into three Arrow files."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from memnas_core.data.dataset import (
    INFO_FILE,
    SPLITS,
    DatasetInfo,
    check_contents,
    content_digest,
    open_dataset,
)
from memnas_core.data.decoding import UnreadableError
from memnas_core.data.doubts import Marked, refuse_equal_images, said_of_balance, said_of_copies, said_of_validation
from memnas_core.data.source import DATASETS, ImageArray, IndexArray, Origin, Pool, Source
from memnas_core.data.split_file import Split, map_split, write_split
from memnas_core.data.splits import SplitPlan, plan_splits
from memnas_core.data.statistics import channel_statistics
from memnas_core.errors import DataError, RecordError
from memnas_core.files.checksums import write_sums
from memnas_core.files.locks import exclusive
from memnas_core.files.printable import printable
from memnas_core.files.writing import new_folder, storage_errors, write_text
from memnas_core.settings.schema import DataSettings

FORMAT = 1  # to be raised when the same settings would give other files
_COMPARED = 2000  # training images that must differ

_log = logging.getLogger(__name__)


def find_local(settings: DataSettings) -> Origin | None:
    """Return the images of a folder before anything is loaded or written; None for data sets that have a name.

    The latter are not looked for: their files may still have to be downloaded.

    Raises:
        DataError: `image_folder.find` finds no images in class folders.
    """
    source = DATASETS[settings.dataset]
    return source.find(settings, Path()) if source.is_local else None


def check_image_size(settings: DataSettings, divisible_by: int) -> int:
    """Return the side of the prepared images; this costs nothing, so call it before anything is loaded.

    Args:
        settings: Settings of the data; the side is `image_size`, or the data set's own if that is None.
        divisible_by: Product of the blocks' strides.

    Raises:
        DataError: The side is not a multiple of `divisible_by`.
    """
    own = DATASETS[settings.dataset].own_side
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


Progress = Callable[[int, int], None]
"""Is told how many images are prepared, and of how many."""


def prepare_dataset(
    settings: DataSettings,
    seed: int,
    store: Path,
    divisible_by: int = 1,
    progress: Progress | None = None,
    origin: Origin | None = None,
) -> Path:
    """Load, split and convert a data set, unless that has been done.

    Args:
        settings: Settings of the data.
        seed: Seed of the validation split and, with `max_training_images`, of the choice of training images. The test
            split does not depend on it.
        store: Folder that receives `data/DATASET-SIDEpx-KEY/`, and `downloads/` if something is downloaded.
        divisible_by: Product of the blocks' strides.
        progress: Is called after every few hundred images.
        origin: What `find_local` returned for these settings a moment ago; None: the data set is looked for.

    Returns:
        Folder with `train.arrow`, `validation.arrow`, `test.arrow` and `dataset.json`. It appears whole or not at
        all. A folder that is already there is compared with its digest, and made anew if it is damaged.

    Raises:
        DataError: The data set is missing, unreadable or too small; no prepared data has been written, but a file in
            `store` lists all images that cannot be read.
        StorageError: The disk is full or cannot be written.
    """
    side = check_image_size(settings, divisible_by)
    kind = DATASETS[settings.dataset]
    mirrored = kind.is_mirrored if settings.horizontal_flip is None else settings.horizontal_flip
    origin = origin or kind.find(settings, store / "downloads")
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
        if not _is_intact(folder):  # another process may have made the folder meanwhile
            for leftover in folder.parent.glob(f".{folder.name}.*/"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with _listing_unreadable(store, settings), new_folder(folder) as draft:
                _write(draft, _watched(source, plan, progress), plan, side, mirrored, settings.dataset)
            _log.info("prepared %s", folder)
    return folder


def check_varied(folder: Path) -> None:
    """Raise an error for prepared images in which there is nothing to tell apart.

    Args:
        folder: Folder that `prepare_dataset` returned.

    Raises:
        DataError: All training images are nearly equal.
    """
    dataset = open_dataset(folder)
    step = max(1, len(dataset.train.labels) // _COMPARED)
    refuse_equal_images(dataset.train.images[::step], dataset.info.source)


@contextmanager
def _listing_unreadable(store: Path, settings: DataSettings) -> Iterator[None]:
    """Write a list of all images that cannot be read, and name it in the error."""
    try:
        yield
    except UnreadableError as error:
        path = store / f"unreadable-{Path(str(settings.folder)).name}.txt"
        write_text(path, "".join(f"{printable(str(file))}\t{printable(why)}\n" for file, why in error.failures))
        raise DataError(
            f"{error}; all of them are in {path}: replace or delete them, or leave them out with --skip-unreadable"
        ) from error


def _watched(source: Source, plan: SplitPlan, progress: Progress | None) -> Source:
    """Return a source that tells how many of its images have been read."""
    if progress is None:
        return source
    planned = [plan.train, plan.validation, plan.test]
    own = [pool for pool in (source.validation, source.test) if pool is not None]
    total = sum(len(part) for part in planned if part is not None) + sum(len(pool.labels) for pool in own)
    done = 0

    def watched(pool: Pool) -> Pool:
        def read(indices: IndexArray) -> Iterator[ImageArray]:
            nonlocal done
            for batch in pool.read(indices):
                done += len(batch)
                progress(done, total)
                yield batch

        return Pool(pool.labels, read)

    return replace(
        source,
        training=watched(source.training),
        validation=None if source.validation is None else watched(source.validation),
        test=None if source.test is None else watched(source.test),
    )


def _key(settings: DataSettings, seed: int, side: int, mirrored: bool, fingerprint: str) -> str:
    """Return a digest of everything that decides the content of the prepared files, 12 hexadecimal digits."""
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
        preprocessing=source.preprocessing,
        warnings=source.warnings + (tuple(_doubts(splits, source.classes)) if DATASETS[name].is_local else ()),
    )
    with storage_errors(draft):
        (draft / INFO_FILE).write_text(info.to_json(), encoding="utf-8")
        write_sums(draft, [INFO_FILE])


def _doubts(splits: Sequence[Split], classes: Sequence[str]) -> list[str]:
    """Return sentences on what makes accuracies doubtful; equal pixels make images equal, whatever their files."""
    marked = {
        name: Marked([hashlib.sha256(image.tobytes()).digest() for image in split.images], split.labels.tolist())
        for name, split in zip(SPLITS, splits, strict=True)
    }
    counts = np.bincount(splits[0].labels, minlength=len(classes)).tolist()
    return [
        *said_of_balance(dict(zip(classes, counts, strict=True))),
        *said_of_validation(len(splits[1].labels)),
        *said_of_copies(marked, classes),
    ]


def _part(training: Pool, planned: IndexArray | None, own: Pool | None) -> tuple[Pool, IndexArray]:
    """Return the pool and the indices of a split: held out of the training pool, or the data set's own."""
    if planned is not None:
        return training, planned
    assert own is not None, "a split that the data set lacks is planned"
    return own, np.arange(len(own.labels), dtype=np.int64)
