"""Test vectors beside a file: three test images, what the file is given for them, and what it gives back."""

from dataclasses import dataclass

import numpy as np
import torch

from memnas_core.data import open_dataset
from memnas_core.export.file_format import OpenedFile
from memnas_core.export.images import normalised
from memnas_core.export.store import TrainedNetwork

COUNT = 3
ARRAYS = ("images", "inputs", "outputs")
"""Names of the arrays, which are in the names of their files; all are little-endian."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Three images on their way through a file.

    Attributes:
        places: Places of the images in the test split.
        images: uint8, shape (3, height, width, channels).
        inputs: float32, shape (3, *the shape of an image in the file's input); the images, if it takes bytes.
        is_channels_last: Whether an input has its channels last.
        outputs: float32, or int8 if the file takes bytes, shape (3, classes).
    """

    places: tuple[int, ...]
    images: np.ndarray
    inputs: np.ndarray
    is_channels_last: bool
    outputs: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return each array, little-endian, by its name."""
        found = zip(ARRAYS, (self.images, self.inputs, self.outputs), strict=True)
        return {name: array.astype(array.dtype.newbyteorder("<")) for name, array in found}


def make_vectors(trained: TrainedNetwork, opened: OpenedFile) -> Vectors:
    """Run a file on test images that are evenly spread over the split, and return what went in and out.

    Args:
        trained: The network and its record.
        opened: The file.
    """
    split = open_dataset(trained.dataset).test
    places = np.unique(np.linspace(0, len(split.labels) - 1, COUNT).round().astype(int))
    pixels = split.images[places]
    inputs = normalised(trained.info, torch.from_numpy(pixels))
    outputs = torch.cat([opened.run(image) for image in inputs.split(1)]).numpy()
    laid_out = inputs.permute(0, 2, 3, 1) if opened.channels_last else inputs
    images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    return Vectors(
        tuple(int(place) for place in places),
        images,
        np.ascontiguousarray(laid_out.numpy()) if opened.scores is None else images,
        opened.channels_last,
        outputs if opened.scores is None else opened.scores.integers(outputs),
    )
