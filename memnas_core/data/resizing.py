"""Resizing to square images of a given side, antialiased.

All data sets are resampled in the same way (Pillow's triangle filter, which is widened when an image shrinks). It
computes with integers, so prepared files are equal on every machine.

Source: section 4.1 rescales ImageNet images and takes the centre crop: the shorter side is scaled to the given side and
the centre square is kept. What lies at the ends of a long picture is lost, so folders can be squashed or letterboxed.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from memnas_core.data.source import ImageArray, IndexArray
from memnas_core.settings.kinds import Resize

BATCH = 1024

FILTER: Literal["triangle"] = "triangle"
"""The name of the filter for those who do the same elsewhere."""

_BILINEAR = Image.Resampling.BILINEAR


def to_square(image: Image.Image, side: int, resize: Resize, fill: int) -> Image.Image:
    """Return an image as a square.

    Args:
        image: Of mode L, RGB or RGBA.
        side: Height and width of the result in pixels.
        resize: How; see `memnas_core.data.preprocessing.Preprocessing`.
        fill: Grey level beside a letterboxed picture, 0 to 255.
    """
    match resize:
        case "center_crop":
            return fit_square(image, side)
        case "squash":
            return image.resize((side, side), _BILINEAR)
        case "letterbox":
            longer = max(image.size)
            size = (max(1, round(image.width * side / longer)), max(1, round(image.height * side / longer)))
            ground = Image.new("L", (side, side), fill).convert(image.mode)
            ground.paste(image.resize(size, _BILINEAR), ((side - size[0]) // 2, (side - size[1]) // 2))
            return ground


def fit_square(image: Image.Image, side: int) -> Image.Image:
    """Return the centre square of an image, resized to `side` x `side` pixels."""
    return ImageOps.fit(image, (side, side), method=_BILINEAR)


def read_resized(images: ImageArray, indices: IndexArray, side: int) -> Iterator[ImageArray]:
    """Yield images of an array in the order of `indices`, resized.

    Args:
        images: uint8, shape (n, channels, height, width).
        indices: Indices of the images to yield, shape (m,).
        side: Height and width of the result in pixels.

    Yields:
        Batches of at most `BATCH` images, shape (b, channels, side, side).
    """
    for start in range(0, len(indices), BATCH):
        batch = images[indices[start : start + BATCH]]
        yield batch if batch.shape[2:] == (side, side) else _resize(batch, side)


def _resize(batch: ImageArray, side: int) -> ImageArray:
    resized = np.empty((*batch.shape[:2], side, side), dtype=np.uint8)
    # Channels are resized one by one: Pillow's filter treats all channels alike, so grey needs no special case.
    for image, target in zip(batch, resized, strict=True):
        for channel, place in zip(image, target, strict=True):
            place[:] = np.asarray(fit_square(Image.fromarray(channel), side))
    return resized
