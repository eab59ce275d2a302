"""A look at a folder of images: classes, counts, splits, sizes, colours and what is doubtful. Needs no torch."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memnas_core.data.choosing import choose_preprocessing, read_headers, said_of_preprocessing, sizes, spread
from memnas_core.data.copies import mark_files
from memnas_core.data.doubts import refuse_equal_images, said_of_balance, said_of_copies, said_of_validation
from memnas_core.data.in_threads import on_each
from memnas_core.data.layout import Layout, find_layout
from memnas_core.data.preprocessing import MAX_PIXELS, try_image
from memnas_core.data.source import ImageArray
from memnas_core.data.splits import check_counts
from memnas_core.data.statistics import channel_statistics
from memnas_core.errors import DataError
from memnas_core.files.printable import printable
from memnas_core.settings.survey import SizeRange, Survey

__all__ = ["SAMPLE", "SizeRange", "Survey", "survey_folder"]

SAMPLE = 500
"""So many images are opened, evenly spaced over the sorted list."""

_SIDE = 32
_SHOWN = 3
_SIDED = re.compile(r"\b(left|right)\b")


def survey_folder(folder: Path, follow_links: bool = False, copies: bool = True) -> Survey:
    """Look at a folder of images.

    Args:
        folder: The folder.
        follow_links: Whether links may lead out of it.
        copies: Whether to look for copies, for which all files of equal size are read.

    Raises:
        DataError: It cannot be used; the message says why and what to do.
    """
    layout = find_layout(folder, follow_links)
    training = layout.listings["train"]
    counts = np.bincount(training.labels, minlength=len(training.classes))
    check_counts(counts, training.classes, 1 + sum(name not in layout.listings for name in ("validation", "test")))
    sample = spread(layout.paths, SAMPLE)
    headers = read_headers(sample)
    preprocessing = choose_preprocessing(sample, headers, _SIDE, "squash", MAX_PIXELS)
    images, unreadable, seconds = [], [], 0.0

    def timed(path: Path, in_thread: int | None) -> tuple[ImageArray | str, float]:
        begun = time.thread_time()
        return try_image(path, preprocessing, MAX_PIXELS, in_thread), time.thread_time() - begun

    for path, (outcome, taken) in zip(sample, on_each(timed, sample), strict=True):
        seconds += taken
        if isinstance(outcome, str):
            unreadable.append(f"{path.relative_to(folder)} ({outcome})")
        else:
            images.append(outcome)
    if not images:
        raise DataError(f"{folder}: expected images, found none that can be read: {', '.join(unreadable[:_SHOWN])}")
    pixels = np.stack(images)
    refuse_equal_images(pixels, str(folder))
    mean, std = channel_statistics(pixels)
    widths, heights = zip(*sizes(headers), strict=True)
    return Survey(
        folder=folder.resolve(),
        classes=layout.classes,
        counts=layout.counts(),
        splits=layout.places(),
        width=_range(widths),
        height=_range(heights),
        aspect=float(np.median([max(size) / min(size) for size in zip(widths, heights, strict=True)])),
        channels=preprocessing.channels,
        mean=mean,
        std=std,
        decode_seconds=seconds / len(sample),
        is_mirrored=False if _are_sided(layout.classes) else None,
        warnings=tuple(
            printable(warning)
            for warning in [
                *layout.warnings,
                *said_of_preprocessing(headers, preprocessing),
                *_doubts(layout, unreadable, len(sample)),
                *(said_of_copies(mark_files(layout.listings), layout.classes) if copies else ()),
            ]
        ),
    )


def _doubts(layout: Layout, unreadable: Sequence[str], sampled: int) -> list[str]:
    said = []
    if unreadable:
        shown = ", ".join(unreadable[:_SHOWN]) + (", ..." if len(unreadable) > _SHOWN else "")
        said.append(
            f"{len(unreadable)} of {sampled} images that were looked at cannot be read: {shown}; a search stops at "
            "them, or leaves them out with --skip-unreadable"
        )
    said += said_of_balance(layout.listings["train"].counts())
    if "validation" in layout.listings:
        said += said_of_validation(len(layout.listings["validation"].paths))
    return said


def _are_sided(classes: Sequence[str]) -> bool:
    """Whether names of classes tell that a mirrored image is of another class: letters, digits, left and right."""
    words = [name.lower().replace("_", " ") for name in classes]
    return any(_SIDED.search(name) for name in words) or all(len(name) == 1 for name in words)


def _range(values: Sequence[int]) -> SizeRange:
    return SizeRange(min(values), int(np.median(values)), max(values))
