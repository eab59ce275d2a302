"""CIFAR-10, read by torchvision, which checks every file against its published MD5 sum."""

from pathlib import Path

import numpy as np

from memnas_core.data.download import downloading
from memnas_core.data.resizing import read_resized
from memnas_core.data.source import DataSource, ImageArray, LabelArray, Origin, Pool, Source
from memnas_core.settings.schema import DataSettings


def find(settings: DataSettings, downloads: Path) -> Origin:
    """Return CIFAR-10; the MD5 sums fix its content, wherever it lies.

    Args:
        settings: Settings of the data; `folder` is the parent of `cifar-10-batches-py`, or receives the download.
        downloads: Folder to use in place of `settings.folder` if that is None.
    """
    root = downloads if settings.folder is None else Path(settings.folder).expanduser()
    return Origin(fingerprint="cifar10", load=lambda side: _load(root, side))


def _load(root: Path, side: int) -> Source:
    from torchvision import datasets  # takes seconds to import

    by_hand = (
        f"fetch {datasets.CIFAR10.url} elsewhere, unpack it into {root}, so that its files are unchanged in "
        f"{datasets.CIFAR10.base_folder} there, and set data.folder to {root}"
    )
    try:
        train = datasets.CIFAR10(str(root), train=True)
    except RuntimeError:  # missing or damaged; the first try needs no lock file, as the folder may be read-only
        with downloading("CIFAR-10", root, by_hand):
            train = datasets.CIFAR10(str(root), train=True, download=True)
    test = datasets.CIFAR10(str(root), train=False)
    return Source(
        words="CIFAR-10 (Toronto), 32x32",
        classes=tuple(train.classes),
        channels=3,
        training=_pool(train.data, train.targets, side),
        validation=None,
        test=_pool(test.data, test.targets, side),
    )


def _pool(data: ImageArray, targets: list[int], side: int) -> Pool:
    """Return a pool of images given in shape (n, height, width, channels)."""
    images: ImageArray = data.transpose(0, 3, 1, 2)
    labels: LabelArray = np.asarray(targets, dtype=np.int64)
    return Pool(labels, lambda indices: read_resized(images, indices, side))


CIFAR10 = DataSource(own_side=32, is_mirrored=True, find=find, shown=(3, 10))
"""Photographs allow mirroring."""
