"""Mean and standard deviation of channels, exactly."""

import numpy as np

from memnas_core.data.source import ImageArray

_BATCH = 256  # images; a pixel takes 4 bytes while they are summed


def channel_statistics(images: ImageArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every channel on the scale where white is 1.

    Sums are integers, hence exact and independent of the order of images.

    Args:
        images: uint8, shape (n, channels, height, width).

    Returns:
        Means and standard deviations; a standard deviation of 0 is returned as 1, so that dividing is safe.
    """
    channels = images.shape[1]
    sums, squares = [0] * channels, [0] * channels
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for channel in range(channels):
            values = batch[:, channel].astype(np.uint32)
            sums[channel] += int(values.sum(dtype=np.uint64))
            squares[channel] += int(np.square(values).sum(dtype=np.uint64))
    count = images.size // channels
    means = tuple(total / count / 255 for total in sums)
    stds = tuple(
        ((count * square - total**2) ** 0.5 / count / 255) or 1.0 for total, square in zip(sums, squares, strict=True)
    )
    return means, stds
