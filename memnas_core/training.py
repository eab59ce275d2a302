"""Training a candidate: SGD with warm restarts on augmented images, scored on the validation split.

Source: section 4.1 (batch size, learning rate, momentum, epochs; augmentation in `memnas_core.data`). The paper does
not state the restart schedule, weight decay or where accuracy is measured; here it is the validation split at the
end of training.
"""

import ctypes
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.utils.deterministic
from torch import Tensor, nn
from torch.amp import GradScaler, autocast
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.dlpack import from_dlpack

from memnas_core.config import Device, Precision, TrainingSettings
from memnas_core.data import Dataset, Split
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import SettingsError

logger = logging.getLogger(__name__)

EVALUATION_BATCH = 512

STATISTICS_IMAGES, STATISTICS_BATCH = 1024, 256
"""Training images on which statistics of batch norms are measured, and how many at a time."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

_LARGEST_BLOCK = 1 << 30

DIVERGED_LOSS = 3.0
"""A candidate is given up when an epoch's mean loss exceeds so many times that of guessing evenly."""


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One line of a training's history.

    Attributes:
        epoch: From 1; the last one may be a part of an epoch.
        train_loss: Mean cross-entropy over the epoch's batches, augmented.
        train_accuracy: On the same batches while the weights moved, in [0, 1].
        validation_accuracy: After the epoch, in [0, 1].
        learning_rate: At the epoch's end.
        seconds: Wall time of the epoch with its validation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where a running training is.

    Attributes:
        epoch: Epoch from 1.
        images_seen: Training images seen so far.
        images_total: Images of the whole training.
        train_loss: Loss of the last batch.
    """

    epoch: int
    images_seen: int
    images_total: int
    train_loss: float


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """How a training ended.

    Attributes:
        diverged: Whether it was given up because its loss left the finite numbers or exploded.
        history: One line for each finished epoch.
        images_seen: Training images seen.
    """

    diverged: bool
    history: tuple[EpochFigures, ...]
    images_seen: int


def prepare_process() -> None:
    """Make this process one that trains: one thread, the same bits every time, and memory that is used again."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Else torch fills every new tensor before it is written to, a pass over memory that finds mistakes and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at run time
    # glibc hands large blocks back to the system when they are freed, and every step takes them anew, page by page.
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK)


def choose_device(wanted: Device) -> torch.device:
    """Return the device that the settings name; `auto` is CUDA where there is one.

    Raises:
        SettingsError: CUDA is wanted and there is none.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError("training.device: expected a CUDA device, found none that torch can use; set auto or cpu")
    return torch.device(wanted)


def choose_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return what a training step computes with; `auto` is float32 on a CPU and half as long on CUDA.

    Args:
        wanted: As the settings say.
        device: Where the training runs.
    """
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def train(
    network: nn.Module,
    dataset: Dataset,
    settings: TrainingSettings,
    seed: int,
    on_progress: Callable[[TrainingProgress], None] = lambda _progress: None,
    images: int | None = None,
) -> TrainingOutcome:
    """Train a network in place.

    With a shorter precision than float32, only steps use it: the weights, the statistics that are measured at the end
    and accuracies are those of the float32 network that is kept.

    Args:
        network: Maps (batch, C, H, W) to (batch, classes).
        dataset: Images and labels; the test split is not touched.
        settings: The training section.
        seed: Decides the order of images and their augmentation.
        on_progress: Called after every batch.
        images: See so many images, rounded to whole batches, in one cosine cycle; None: as the settings say.

    Returns:
        The outcome; the weights are in the network, which is left in evaluation mode.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    network.to(device).to(memory_format=torch.channels_last)
    pixels, labels = _tensors(dataset.train, device)
    augment = Augmentation(dataset.info, settings, device)
    generator = torch.Generator().manual_seed(seed)
    batch_size = min(settings.batch_size, len(labels))
    steps = len(labels) // batch_size  # the rest of an epoch is left out: batch norm wants full batches
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    # Gradients would vanish in float16's range; bfloat16 has that of float32.
    scaler = GradScaler(device.type, enabled=precision is torch.float16)
    all_steps = settings.epochs * steps if images is None else max(1, round(images / batch_size))
    cycle = all_steps if images is not None or settings.restart_epochs is None else settings.restart_epochs * steps
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=cycle, T_mult=settings.restart_factor)
    limit = DIVERGED_LOSS * math.log(len(dataset.info.classes))
    total = all_steps * batch_size
    history: list[EpochFigures] = []
    seen = 0
    for epoch in range(1, math.ceil(all_steps / steps) + 1):
        started = time.perf_counter()
        epoch_steps = min(steps, all_steps - (epoch - 1) * steps)  # the last may be a part of one
        network.train()
        loss_sum = correct = 0.0
        order = torch.randperm(len(labels), generator=generator)
        for step in range(epoch_steps):
            chosen = order[step * batch_size : (step + 1) * batch_size].to(device)
            batch = augment(pixels[chosen], generator).contiguous(memory_format=torch.channels_last)
            with autocast(device.type, precision, enabled=precision is not torch.float32):
                scores = network(batch)
            loss = cross_entropy(scores.float(), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            rate = optimizer.param_groups[0]["lr"]
            scheduler.step()
            seen += batch_size
            loss_value = loss.item()
            if not math.isfinite(loss_value):
                logger.info("diverged in epoch %d: loss %s", epoch, loss_value)
                network.eval()
                return TrainingOutcome(True, tuple(history), seen)
            loss_sum += loss_value
            correct += (scores.argmax(1) == labels[chosen]).sum().item()
            on_progress(TrainingProgress(epoch, seen, total, loss_value))
        mean_loss = loss_sum / epoch_steps
        if images is not None and epoch * steps >= all_steps:
            measure_statistics(network, dataset, augment, generator)
        history.append(
            EpochFigures(
                epoch=epoch,
                train_loss=mean_loss,
                train_accuracy=correct / (epoch_steps * batch_size),
                validation_accuracy=accuracy(network, dataset.validation, augment, device),
                learning_rate=rate,
                seconds=time.perf_counter() - started,
            )
        )
        if mean_loss > limit:
            logger.info("diverged in epoch %d: mean loss %.3g above %.3g", epoch, mean_loss, limit)
            return TrainingOutcome(True, tuple(history), seen)
    network.eval()
    return TrainingOutcome(False, tuple(history), seen)


@torch.no_grad()
def measure_statistics(network: nn.Module, dataset: Dataset, augment: Augmentation, generator: torch.Generator) -> None:
    """Measure the statistics of all batch norms anew, on training images that are not augmented.

    The running ones are those of the last few batches, and of augmented images. Over short trainings what they are off
    by was more than what networks differ by: up to 0.03 of accuracy on Fashion-MNIST at 16x16.

    Args:
        network: Its weights stay as they are.
        dataset: Gives the images.
        augment: Normalises them.
        generator: Chooses them.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    network.train()
    count = min(STATISTICS_IMAGES, len(dataset.train.labels))
    if count > STATISTICS_BATCH:
        count -= count % STATISTICS_BATCH  # a plain mean wants equal batches, and a batch norm more than one image
    chosen = torch.randperm(len(dataset.train.labels), generator=generator)[:count]
    pixels = from_dlpack(dataset.train.images)
    for part in chosen.split(STATISTICS_BATCH):
        network(augment.normalise(pixels[part]).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def accuracy(network: nn.Module, split: Split, augment: Augmentation, device: torch.device) -> float:
    """Return the share of a split's images that a network classifies correctly, in [0, 1].

    The network is left in evaluation mode.
    """
    network.eval()
    images, labels = _tensors(split, device)
    correct = 0
    for start in range(0, len(labels), EVALUATION_BATCH):
        batch = augment.normalise(images[start : start + EVALUATION_BATCH])
        scores = network(batch.contiguous(memory_format=torch.channels_last))
        correct += int((scores.argmax(1) == labels[start : start + EVALUATION_BATCH]).sum())
    return correct / len(labels)


def _tensors(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a split's images (uint8) and labels; on a CPU they stay in the shared memory map."""
    # DLPack takes read-only memory, which is what lets workers share one copy; nothing here writes to it.
    return from_dlpack(split.images).to(device), from_dlpack(split.labels).to(device)
