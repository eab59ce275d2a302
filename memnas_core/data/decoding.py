"""Decoding of many image files, with one account of all that cannot be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from memnas_core.data.in_threads import on_each
from memnas_core.data.preprocessing import MAX_PIXELS, Preprocessing, try_image
from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError

BATCH = 256  # images decoded before they are written; about 40 MB at 224 x 224
SHOWN_FAILURES = 5


class UnreadableError(DataError):
    """Images of a folder cannot be read.

    Attributes:
        failures: Path of each, relative to the folder, and the reason.
    """

    def __init__(self, root: Path, images: int, failures: Sequence[tuple[Path, str]]) -> None:
        self.failures = tuple((path.relative_to(root), reason) for path, reason in failures)
        shown = ", ".join(f"{path} ({reason})" for path, reason in self.failures[:SHOWN_FAILURES])
        super().__init__(
            f"{root}: expected {images} readable images, found {len(self.failures)} that cannot be read: "
            f"{shown}{', ...' if len(self.failures) > SHOWN_FAILURES else ''}"
        )


def decode(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    everything: Sequence[Path],
    root: Path,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[ImageArray]:
    """Yield images in order; never more than a batch is in memory.

    Args:
        paths: Files to decode.
        preprocessing: What is done to each.
        everything: All files of the data set; if a file cannot be read, all of them are tried, so that one message
            counts all unreadable ones.
        root: Folder to which the paths in messages are relative.
        max_pixels: Largest image that is decoded, in pixels.

    Yields:
        Batches of images, uint8, shape (b, channels, side, side).

    Raises:
        UnreadableError: A file is no image, truncated, too large, or of a kind that is not supported.
    """
    for batch in _batches(paths):
        outcomes = _tried(batch, preprocessing, max_pixels)
        if any(isinstance(outcome, str) for outcome in outcomes):
            failures = find_unreadable(everything, preprocessing, max_pixels)
            raise UnreadableError(root, len(everything), failures)
        yield np.stack([outcome for outcome in outcomes if not isinstance(outcome, str)])


def find_unreadable(paths: Sequence[Path], preprocessing: Preprocessing, max_pixels: int) -> list[tuple[Path, str]]:
    """Decode every file and return those that cannot be read, each with the reason.

    Args:
        paths: The files.
        preprocessing: What is done to each.
        max_pixels: Largest image that is decoded, in pixels.
    """
    failures: list[tuple[Path, str]] = []
    for batch in _batches(paths):
        outcomes = zip(batch, _tried(batch, preprocessing, max_pixels), strict=True)
        failures += ((path, outcome) for path, outcome in outcomes if isinstance(outcome, str))
    return failures


def _tried(paths: Sequence[Path], preprocessing: Preprocessing, max_pixels: int) -> list[ImageArray | str]:
    return on_each(lambda path, in_thread: try_image(path, preprocessing, max_pixels, in_thread), paths)


def _batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), BATCH):
        yield paths[start : start + BATCH]
