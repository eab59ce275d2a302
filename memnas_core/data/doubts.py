"""What makes a data set unusable or its accuracies doubtful: equal images, copies, few or unbalanced ones."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError

LEAST_SPREAD = 2.0
"""Standard deviation between images, mean over all pixels, in levels of 255; JPEG's noise alone makes about 1."""

FEW_VALIDATION_IMAGES = 200  # 95 % interval of an accuracy: 7 points to either side at most
FEW_OF_A_CLASS = 20
LARGE_SHARE = 0.9
LARGE_RATIO = 10
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Marked:
    """The images of one split by a mark that equal images share.

    Attributes:
        marks: A mark for each image; None where it is known to have no equal.
        labels: The class of each image.
    """

    marks: Sequence[Hashable | None]
    labels: Sequence[int]


def refuse_equal_images(images: ImageArray, where: str) -> None:
    """Raise an error for images in which there is nothing to tell apart.

    Args:
        images: A sample of all classes, uint8, shape (n, channels, height, width).
        where: The data set, for the message.

    Raises:
        DataError: All images are nearly equal.
    """
    between = float(images.astype(np.float32).std(axis=0).mean())
    if between < LEAST_SPREAD:
        shown = "one colour" if float(images.std()) < LEAST_SPREAD else "nearly equal"
        raise DataError(
            f"{where}: expected images that differ, found {len(images)} that are {shown} once they are prepared (they "
            f"differ by {between:.1f} of 255); look at the files, and if what matters lies at the ends of long "
            "pictures, set data.resize to squash or letterbox"
        )


def said_of_copies(splits: Mapping[str, Marked], classes: Sequence[str]) -> list[str]:
    """Return sentences on images that are there more than once.

    Args:
        splits: The images of each split; `train` is among them.
        classes: Names of the classes.
    """
    said = []
    known = {mark for mark in splits["train"].marks if mark is not None}
    for name in ("validation", "test"):
        if name in splits:
            marks = splits[name].marks
            twice = sum(mark in known for mark in marks if mark is not None)
            if twice:
                said.append(
                    f"{twice} of the {len(marks)} {name} images are training images as well, so that the {name} "
                    "accuracy says too little about new images; remove the copies"
                )
    under: dict[Hashable, set[int]] = {}
    for split in splits.values():
        for mark, label in zip(split.marks, split.labels, strict=True):
            if mark is not None:
                under.setdefault(mark, set()).add(label)
    clashes = Counter(tuple(sorted(labels)) for labels in under.values() if len(labels) > 1)
    if clashes:
        pairs = ", ".join(
            f"{count} in {_named([classes[label] for label in labels])}" for labels, count in clashes.most_common(2)
        )
        said.append(f"Equal images lie in different classes ({pairs}); no network can tell them apart")
    if set(splits) == {"train"}:
        marks = splits["train"].marks
        copies = len(marks) - len(set(marks) - {None}) - sum(mark is None for mark in marks)
        if copies:
            said.append(
                f"{copies} of {len(marks)} images are copies of others; some of a picture's copies will be trained on "
                "and others tested with, so that the test accuracy will be too high; remove them"
            )
    return said


def _named(classes: Sequence[str]) -> str:
    more = [f"{len(classes) - _SHOWN} more"] if len(classes) > _SHOWN else []
    return " and ".join([*classes[:_SHOWN], *more])


def said_of_balance(counts: Mapping[str, int]) -> list[str]:
    """Return sentences on classes with few images or nearly all of them.

    Args:
        counts: Number of training images of every class.
    """
    said = []
    small = sorted((count, name) for name, count in counts.items() if count < FEW_OF_A_CLASS)
    if small:
        shown = ", ".join(f"{name} {count}" for count, name in small[:_SHOWN])
        said.append(
            f"{len(small)} of {len(counts)} classes have fewer than {FEW_OF_A_CLASS} images ({shown}"
            f"{', ...' if len(small) > _SHOWN else ''}); their accuracies will be guesses"
        )
    most, name = max((count, name) for name, count in counts.items())
    share, ratio = most / sum(counts.values()), most / max(1, min(counts.values()))
    if share >= LARGE_SHARE or ratio >= LARGE_RATIO:
        said.append(
            f"The classes are unbalanced: the largest has {ratio:.0f} times the images of the smallest, and always "
            f"answering {name} is right for {share:.1%}; an accuracy near that says nothing"
        )
    return said


def said_of_validation(images: int) -> list[str]:
    """Return a sentence on a validation set that is too small to choose a network by."""
    if images >= FEW_VALIDATION_IMAGES:
        return []
    return [
        f"Only {images} validation images choose the network: each is {100 / images:.1f} points of accuracy, and an "
        f"accuracy on them is uncertain by up to {100 * half_interval(images):.0f} points either way (95 %), so that "
        "the best of many networks looks better than it is; the test accuracy is the one to go by"
    ]


def half_interval(images: int, accuracy: float = 0.5) -> float:
    """Return half the width of the 95 % interval of an accuracy (normal approximation); that of 0.5 is the widest.

    Args:
        images: Number of images on which it was measured.
        accuracy: The accuracy; beyond one image from 0 or 1 it counts as one image away.
    """
    share = min(max(accuracy, 1 / images), 1 - 1 / images)
    return 1.96 * math.sqrt(share * (1 - share) / images)
