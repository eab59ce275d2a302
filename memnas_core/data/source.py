"""What a reader hands over: labelled images that are read only when asked for.

A reader works in two steps. `find` looks where the data set lies and returns an `Origin`, whose
fingerprint is enough to tell whether the data has been prepared before. Only if it has not is the origin
loaded into a `Source`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ImageArray = NDArray[np.uint8]
LabelArray = NDArray[np.int64]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """Images that belong together, before they are divided into splits.

    Attributes:
        labels: Class of every image, shape (n,).
        read: Yields the images at the given indices, in that order, in batches (b, channels, side, side).
    """

    labels: LabelArray
    read: Callable[[IndexArray], Iterator[ImageArray]]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set before it is split.

    Attributes:
        words: Where the images come from, for people.
        classes: Name of every class; a label is an index into it.
        channels: 1 for grey, 3 for red, green and blue.
        training: The pool that splits are taken from.
        validation: A validation set of the data set's own, if it has one.
        test: A test set of the data set's own, if it has one.
    """

    words: str
    classes: tuple[str, ...]
    channels: int
    training: Pool
    validation: Pool | None
    test: Pool | None


@dataclass(frozen=True, slots=True)
class Origin:
    """A data set that has been found but not read.

    Attributes:
        fingerprint: Differs where the images differ.
        load: Reads what is needed to make images with the given side in pixels.
    """

    fingerprint: str
    load: Callable[[int], Source]
