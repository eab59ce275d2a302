"""The images that an export needs: training images for the calibration of int8, test images to check the file."""

import numpy as np
import torch
from torch import Tensor

from memnas_core.data import DatasetInfo, Split, open_dataset
from memnas_core.export.check import CHECK_IMAGES
from memnas_core.export.quantise import CALIBRATION_IMAGES
from memnas_core.export.store import TrainedNetwork

EMULATED_IMAGES = 100
"""Images that a core is emulated on, a matter of seconds for a small network."""


def calibration_images(trained: TrainedNetwork) -> Tensor:
    """Return normalised training images, evenly spread over the training split, shape (n, channels, height, width)."""
    return _images(trained, open_dataset(trained.dataset).train, CALIBRATION_IMAGES)[0]


def check_images(trained: TrainedNetwork) -> tuple[Tensor, Tensor]:
    """Return normalised test images, evenly spread over the test split, and their classes.

    Returns:
        Images, shape (n, channels, height, width), and classes, shape (n,).
    """
    return _images(trained, open_dataset(trained.dataset).test, CHECK_IMAGES)


def emulated_pixels(trained: TrainedNetwork) -> np.ndarray:
    """Return test images as bytes, evenly spread over the test split, uint8 of shape (n, height, width, channels)."""
    split = open_dataset(trained.dataset).test
    return np.ascontiguousarray(split.images[_places(len(split.labels), EMULATED_IMAGES)].transpose(0, 2, 3, 1))


def _places(size: int, count: int) -> np.ndarray:
    """Return places that are evenly spread over a split."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).round().astype(int))


def _images(trained: TrainedNetwork, split: Split, count: int) -> tuple[Tensor, Tensor]:
    places = _places(len(split.labels), count)
    return normalised(trained.info, torch.from_numpy(split.images[places])), torch.from_numpy(split.labels[places])


def normalised(info: DatasetInfo, images: Tensor) -> Tensor:
    """Return images as a network takes them: (pixel / 255 - mean) / std in each channel, as in training.

    Args:
        info: Facts about the data set; mean and std are used.
        images: uint8, shape (n, channels, height, width).

    Returns:
        float32, same shape.
    """
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (info.channel_mean, info.channel_std))
    return (images.float() / 255 - mean) / std
