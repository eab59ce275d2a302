"""Square images of a given side, antialiased.

One resampling (Pillow's triangle filter, widened when it shrinks) for all data sets: it computes with
integers, so prepared files are equal on every machine.

Source: section 4.1 rescales ImageNet images and takes the centre crop. Here the shorter side becomes the
asked side and the centre square is kept.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from memnas_core.data.source import ImageArray, IndexArray

BATCH = 1024


def fit_square(image: Image.Image, side: int) -> Image.Image:
    """Return the centre square of an image, resized to `side` x `side` pixels."""
    return ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)


def read_resized(images: ImageArray, indices: IndexArray, side: int) -> Iterator[ImageArray]:
    """Yield images of an array in the order of `indices`, resized.

    Args:
        images: Shape (n, channels, height, width).
        indices: Shape (m,).
        side: Height and width of the result in pixels.

    Yields:
        Batches of at most `BATCH` images, shape (b, channels, side, side).
    """
    for start in range(0, len(indices), BATCH):
        batch = images[indices[start : start + BATCH]]
        yield batch if batch.shape[2:] == (side, side) else _resize(batch, side)


def _resize(batch: ImageArray, side: int) -> ImageArray:
    resized = np.empty((*batch.shape[:2], side, side), dtype=np.uint8)
    # Channels are resized one by one: Pillow's filter treats them alike, and grey needs no special case.
    for image, target in zip(batch, resized, strict=True):
        for channel, place in zip(image, target, strict=True):
            place[:] = np.asarray(fit_square(Image.fromarray(channel), side))
    return resized
