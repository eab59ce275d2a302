"""The handwritten digits that come with scikit-learn: a data set that needs no download."""

from pathlib import Path

import numpy as np

from memnas_core.data.resizing import read_resized
from memnas_core.data.source import DataSource, ImageArray, LabelArray, Origin, Pool, Source
from memnas_core.settings.schema import DataSettings

BRIGHTEST = 16  # highest value of a pixel, which is the number of inked pixels in a 4 x 4 field


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


DIGITS = DataSource(own_side=8, is_mirrored=False, find=find, shown=(1, 10))
"""A mirrored 2 is no 2."""
