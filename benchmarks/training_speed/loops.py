"""Training loops to compare with memnas's: a plain one as people write it, and the steps from it to ours.

| loop | augmentation | memory format | optimiser |
|---|---|---|---|
| plain | torchvision, image by image, in a DataLoader | default | default |
| batched | `memnas_core.data.augmentation`, whole batches | default | default |
| channels_last | whole batches | channels last | default |
| fused | whole batches | channels last | fused |
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from memnas_core.data import Dataset, Split
from memnas_core.data.augmentation import Augmentation
from memnas_core.settings.schema import TrainingSettings


@dataclass(frozen=True, slots=True)
class Loop:
    """How a loop differs from the plain one.

    Attributes:
        name: Name of the loop.
        batched: Whether whole batches are augmented.
        channels_last: Whether network and images are stored with their channels last.
        fused: Whether the optimiser updates each weight in one pass.
    """

    name: str
    batched: bool = False
    channels_last: bool = False
    fused: bool = False


LOOPS = (
    Loop("plain"),
    Loop("batched", batched=True),
    Loop("channels_last", batched=True, channels_last=True),
    Loop("fused", batched=True, channels_last=True, fused=True),
)


class Images(TorchDataset[tuple[Tensor, int]]):
    """A split in the form that torch's DataLoader needs, one image at a time."""

    def __init__(self, split: Split, transform: v2.Compose) -> None:
        self.images = split.images
        self.labels = split.labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(np.array(self.images[index]))  # a copy, as the memory map is read-only
        return self.transform(image), int(self.labels[index])


def image_transform(dataset: Dataset, settings: TrainingSettings) -> v2.Compose:
    """Return the augmentation of `memnas_core.data.augmentation` as torchvision's transforms of one image."""
    info = dataset.info
    side = info.shape[1]
    steps: list[nn.Module] = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(info.channel_mean, info.channel_std)]
    if settings.crop_padding:
        steps.append(v2.RandomCrop(side, padding=settings.crop_padding))
    if info.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    if settings.cutout_size:
        share = (settings.cutout_size / side) ** 2
        steps.append(v2.RandomErasing(p=1.0, scale=(share, share), ratio=(1.0, 1.0)))
    return v2.Compose(steps)


def train(network: nn.Module, dataset: Dataset, settings: TrainingSettings, loop: Loop) -> int:
    """Train a network in place for the settings' epochs and return the number of images seen."""
    if loop.channels_last:
        network.to(memory_format=torch.channels_last)
    loader = DataLoader(
        Images(dataset.train, image_transform(dataset, settings)),
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=True,
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=loop.fused,
    )
    scheduler = CosineAnnealingLR(optimizer, T_max=settings.epochs * len(loader))
    seen = 0
    network.train()
    for _ in range(settings.epochs):
        running_loss, correct = 0.0, 0
        for images, labels in _batches(dataset, settings) if loop.batched else loader:
            if loop.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)  # noqa: PLW2901
            optimizer.zero_grad()
            outputs = network(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running_loss += loss.item()
            correct += (outputs.argmax(1) == labels).sum().item()
            seen += len(labels)
    return seen


def _batches(dataset: Dataset, settings: TrainingSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches, augmented as whole batches, in torch's default memory format."""
    images = torch.from_numpy(np.array(dataset.train.images))
    labels = torch.from_numpy(np.array(dataset.train.labels))
    augment = Augmentation(dataset.info, settings, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for chosen in torch.randperm(len(labels), generator=generator).split(settings.batch_size):
        if len(chosen) == settings.batch_size:
            yield augment(images[chosen], generator).contiguous(), labels[chosen]
