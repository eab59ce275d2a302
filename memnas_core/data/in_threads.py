"""The same work on many image files: in threads, but on large images in one, so that one at a time is in memory.

What a thread frees often stays with that thread. So a lock would not do: memory would grow with the number of threads.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PIL import Image

LARGE_PIXELS = 2**24
"""Larger images are decoded in one thread; JPEG's decoder may shrink them before they count."""

_TOGETHER = 16  # files that a thread is handed at once; handing over one takes about as long as reading a small one
Result = TypeVar("Result")


class LargeImageError(Exception):
    """An image is to be decoded in the one thread for large images."""


def on_each(work: Callable[[Path, int | None], Result], paths: Sequence[Path]) -> list[Result]:
    """Return what a function makes of each file, in order; Pillow's own limits and warnings are off meanwhile.

    Args:
        work: Is given a file and the largest number of pixels that it may decode; beyond, it raises `LargeImageError`
            and is called again in this thread, with None.
        paths: The files.
    """

    def first(part: Sequence[Path]) -> list[Result | LargeImageError]:
        return [_tried(work, path) for path in part]

    size = max(1, min(_TOGETHER, len(paths) // (4 * threads())))
    with own_limits(), ThreadPoolExecutor(threads()) as pool:
        found = pool.map(first, (paths[start : start + size] for start in range(0, len(paths), size)))
        tried = [result for part in found for result in part]
        return [
            work(path, None) if isinstance(result, LargeImageError) else result
            for path, result in zip(paths, tried, strict=True)
        ]


def _tried(work: Callable[[Path, int | None], Result], path: Path) -> Result | LargeImageError:
    try:
        return work(path, LARGE_PIXELS)
    except LargeImageError as error:
        return error.with_traceback(None)  # a traceback would keep the image


def refuse_large(image: Image.Image, most: int | None) -> None:
    """Raise an error for an image that is to be decoded in the one thread for large ones.

    Args:
        image: Of which only the header is read.
        most: Largest number of pixels that may be decoded in this thread; None: any.
    """
    if most is not None and image.width * image.height > most:
        raise LargeImageError


@contextmanager
def own_limits() -> Iterator[None]:
    """Switch Pillow's own limit of pixels off, as sizes are compared with `max_pixels`, and its warnings."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def threads() -> int:
    """Return how many files are worked on at once; Pillow decodes without Python's lock."""
    return os.cpu_count() or 1
