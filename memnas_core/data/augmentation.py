"""Normalisation and random augmentation of whole batches.

| symbol | meaning |
|---|---|
| B, C, H, W | images in the batch, channels, height, width |
| p | `crop_padding`: zero pixels around an image before the random crop |
| s | `cutout_size`: side of the square that is set to zero |

Source: section 4.1: channel normalisation, central padding, random crop to the old size, random horizontal flip,
cutout, in this order. So padding happens *after* normalisation: its zeros, like those of cutout, are the colour of
an average pixel, not black.
"""

import torch
from torch import Tensor

from memnas_core.data.dataset import DatasetInfo
from memnas_core.settings.schema import TrainingSettings


class Augmentation:
    """Normalisation and augmentation of batches of uint8 images.

    One gather moves every pixel (crop and flip only change the place to read from) and one mask sets
    padding and cutout to zero. Random numbers are drawn on the generator's own device, so that a CPU
    generator gives the same batches on CPU and CUDA.
    """

    def __init__(self, info: DatasetInfo, training: TrainingSettings, device: torch.device) -> None:
        """Take what is needed from the settings.

        Args:
            info: Facts about the data set; `horizontal_flip`, mean, std and shape are used.
            training: Settings of the training; `crop_padding` and `cutout_size` are used.
            device: Device on which batches are computed.
        """
        self._device = device
        self._padding = training.crop_padding
        self._cutout = training.cutout_size
        self._flip = info.horizontal_flip
        mean = torch.tensor(info.channel_mean, dtype=torch.float64)
        std = torch.tensor(info.channel_std, dtype=torch.float64)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = (1 / (255 * std)).float().view(1, -1, 1, 1).to(device)
        self._shift = (-mean / std).float().view(1, -1, 1, 1).to(device)
        self._rows = torch.arange(info.shape[1], device=device)
        self._columns = torch.arange(info.shape[2], device=device)

    def normalise(self, images: Tensor) -> Tensor:
        """Return the images with mean 0 and standard deviation 1 in each channel, for evaluation.

        Args:
            images: uint8, shape (B, C, H, W), on any device.

        Returns:
            float32, shape (B, C, H, W), on this object's device, channels last in memory.
        """
        pixels = images.to(self._device).to(torch.float32, memory_format=torch.channels_last)
        return pixels.mul_(self._scale).add_(self._shift)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Normalise, pad and crop at random, mirror each image with probability 1/2, and cut out a square.

        The centre of a cutout is a random pixel of the image; a part of it beyond the border is clipped.

        Args:
            images: uint8, shape (B, C, H, W), on any device.
            generator: Only source of randomness.

        Returns:
            float32, shape (B, C, H, W), on this object's device, channels last in memory.
        """
        rows, columns = self._places(len(images), generator)
        zero = ~_outer_and(_inside(rows, len(self._rows)), _inside(columns, len(self._columns)))
        if self._cutout:
            zero |= _outer_and(*self._holes(len(images), generator))
        moved = _read_at(images.to(self._device), rows, columns)
        return self.normalise(moved).masked_fill_(zero.unsqueeze(1), 0.0)

    def _places(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the row and the column to read for every output pixel, shapes (B, H) and (B, W)."""
        rows, columns = self._rows.expand(batch, -1), self._columns.expand(batch, -1)
        if self._flip:
            mirrored = self._draw(0, 2, (batch, 1), generator).bool()
            columns = torch.where(mirrored, columns.flip(1), columns)
        if self._padding:
            shifts = self._draw(-self._padding, self._padding + 1, (2, batch, 1), generator)
            rows, columns = rows + shifts[0], columns + shifts[1]
        return rows, columns

    def _holes(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return which rows and which columns a cutout covers, shapes (B, H) and (B, W)."""
        height, width = len(self._rows), len(self._columns)
        top = self._draw(0, height, (batch, 1), generator) - self._cutout // 2
        left = self._draw(0, width, (batch, 1), generator) - self._cutout // 2
        return _inside(self._rows - top, self._cutout), _inside(self._columns - left, self._cutout)

    def _draw(self, low: int, high: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        drawn = torch.randint(low, high, size, generator=generator, device=generator.device)
        return drawn.to(self._device)


def _inside(positions: Tensor, size: int) -> Tensor:
    return (positions >= 0) & (positions < size)


def _outer_and(rows: Tensor, columns: Tensor) -> Tensor:
    """Combine (B, H) and (B, W) into (B, H, W)."""
    return rows.unsqueeze(2) & columns.unsqueeze(1)


def _read_at(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images[b, c, rows[b, i], columns[b, j]], with positions outside moved to the border."""
    batch, channels, height, width = images.shape
    first = rows.clamp(0, height - 1).mul_(width).unsqueeze(2)
    places = (first + columns.clamp(0, width - 1).unsqueeze(1)).view(batch, 1, height * width)
    flat = images.reshape(batch, channels, height * width)
    return flat.gather(2, places.expand(-1, channels, -1)).view(images.shape)
