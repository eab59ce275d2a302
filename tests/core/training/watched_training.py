"""Trainings of which every step can be seen."""

from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from memnas_core.data import Dataset, DatasetInfo, Split
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training.network import Network, build_network
from tests.core.short_training import SHORT_TRAINING

USUAL = replace(SHORT_TRAINING, epochs=2)
PLAIN = replace(
    SHORT_TRAINING, batch_size=4, learning_rate=0.8, momentum=0.0, weight_decay=0.0, crop_padding=0, cutout_size=0
)


def network_for(info: DatasetInfo, seed: int = 0) -> Network:
    graph = lower(seed_architecture((1, 2), 8), Shape(*info.shape), len(info.classes))
    return build_network(graph, seed)


def small(digits: Dataset, images: int) -> Dataset:
    """Return the digits with fewer training images."""
    train = Split(digits.train.images[:images], digits.train.labels[:images])
    return replace(digits, info=replace(digits.info, train_size=images), train=train)


def numbered(count: int) -> Dataset:
    """Return images that are their own numbers: image i is one pixel of value i. Two classes in turn."""
    images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    split = Split(images, np.arange(count, dtype=np.int64) % 2)
    info = DatasetInfo(
        name="digits",
        classes=("even", "odd"),
        shape=(1, 1, 1),
        channel_mean=(0.0,),
        channel_std=(1 / 255,),
        train_size=count,
        validation_size=count,
        test_size=count,
        horizontal_flip=False,
        digest="n" * 64,
        source="numbers",
    )
    return Dataset(info, split, split, split)


class Watching(nn.Module):
    """Remembers which numbered images it is shown in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 2)
        self.shown: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.shown.append(images.flatten().round().int().tolist())
        scores: Tensor = self.linear(images.flatten(1) / 100)
        return scores
