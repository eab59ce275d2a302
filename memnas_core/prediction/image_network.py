"""A trained network that takes images as libraries and cameras give them."""

import torch
from torch import Tensor, nn

from memnas_core.data import DatasetInfo


class ImageNetwork(nn.Module):
    """A network with the normalisation of its training in front.

    Images are (n, height, width, channels): the order in which Pillow, NumPy's readers, OpenCV and cameras give
    them. Pixels are uint8, so that a caller cannot have divided them by 255 already.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, info: DatasetInfo) -> None:
        """Take a trained network.

        Args:
            network: Takes normalised images, shape (n, channels, height, width).
            info: Facts about the data set; mean and std are used.
        """
        super().__init__()
        self.network = network
        mean = torch.tensor(info.channel_mean, dtype=torch.float64)
        std = torch.tensor(info.channel_std, dtype=torch.float64)
        # (pixel / 255 - mean) / std as one multiplication and one addition, as in training
        self.register_buffer("scale", (1 / (255 * std)).float().view(1, -1, 1, 1))
        self.register_buffer("shift", (-mean / std).float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return scores of classes, shape (n, classes); their softmax adds up to 1.

        Args:
            images: uint8, shape (n, height, width, channels), of the network's own size.
        """
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        scores: Tensor = self.network(pixels * self.scale + self.shift)
        return scores
