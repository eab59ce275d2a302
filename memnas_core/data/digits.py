"""The handwritten digits that scikit-learn ships: the data set that needs no download."""

from pathlib import Path

import numpy as np

from memnas_core.config import DataSettings
from memnas_core.data.resizing import read_resized
from memnas_core.data.source import ImageArray, LabelArray, Origin, Pool, Source

BRIGHTEST = 16  # the files count inked pixels of a 4 x 4 field


def find(_settings: DataSettings, _downloads: Path) -> Origin:
    """Return the digits; they are always there and never change."""
    return Origin(fingerprint="digits", load=_load)


def _load(side: int) -> Source:
    from sklearn.datasets import load_digits  # takes a second to import

    bunch = load_digits()
    images: ImageArray = np.round(bunch.images * (255 / BRIGHTEST)).astype(np.uint8)[:, None]
    labels: LabelArray = bunch.target.astype(np.int64)
    return Source(
        words="1,797 handwritten 8x8 digits that come with scikit-learn",
        classes=tuple("0123456789"),
        channels=1,
        training=Pool(labels, lambda indices: read_resized(images, indices, side)),
        validation=None,
        test=None,
    )
