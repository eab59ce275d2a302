"""What a data set is to memnas, and what its reader hands over: labelled images that are read only when asked for.

A reader works in two steps. `find` looks where the data set lies and returns an `Origin`, whose
fingerprint is enough to tell whether the data has been prepared before. If it has not, the origin
is loaded into a `Source`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memnas_core.registry import Registry
from memnas_core.settings.schema import DataSettings

if TYPE_CHECKING:
    from memnas_core.data.layout import Layout
    from memnas_core.data.preprocessing import Preprocessing

ImageArray = NDArray[np.uint8]
LabelArray = NDArray[np.int64]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """Images that belong together, before they are divided into splits.

    Attributes:
        labels: Class of every image, shape (n,).
        read: Function that yields the images at the given indices, in that order, in batches of shape
            (b, channels, side, side).
    """

    labels: LabelArray
    read: Callable[[IndexArray], Iterator[ImageArray]]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set before it is split.

    Attributes:
        words: Origin of the images, in words.
        classes: Name of every class; a label is an index into it.
        channels: Number of channels: 1 for grey, 3 for red, green and blue.
        training: Pool from which splits are taken.
        validation: The data set's own validation set; None if it has none.
        test: The data set's own test set; None if it has none.
        preprocessing: What turns a file into these images; None where they are no files.
        warnings: What was left out or is doubtful, in sentences.
    """

    words: str
    classes: tuple[str, ...]
    channels: int
    training: Pool
    validation: Pool | None
    test: Pool | None
    preprocessing: "Preprocessing | None" = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """A data set that has been found but not read.

    Attributes:
        fingerprint: Text that differs if the images differ.
        load: Function that reads what is needed to make images with the given side in pixels.
        layout: Its files by class and split; None for data sets that are not folders of images.
    """

    fingerprint: str
    load: Callable[[int], Source]
    layout: "Layout | None" = None


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set that settings can name, and what is known of it before it is looked at.

    Attributes:
        own_side: Side of its images in pixels.
        is_mirrored: Whether a mirrored image still shows its class.
        find: Looks where the data set lies, given the settings and a folder for downloads. Raises `DataError`.
        shown: Channels of its images and number of its classes; None: only its images tell.
        is_local: Whether it lies where `data.folder` says, so that a mistake can be seen before anything starts.
    """

    own_side: int
    is_mirrored: bool
    find: Callable[[DataSettings, Path], Origin]
    shown: tuple[int, int] | None = None
    is_local: bool = False


DATASETS: Registry[DataSource] = Registry(
    "data.dataset",
    {
        "digits": "memnas_core.data.digits:DIGITS",
        "fashion-mnist": "memnas_core.data.fashion_mnist:FASHION_MNIST",
        "cifar10": "memnas_core.data.cifar10:CIFAR10",
        "folder": "memnas_core.data.image_folder:FOLDER",
    },
)
"""All data sets, by the name that settings give them."""
