"""Training of a candidate: SGD with warm restarts on augmented images, scored on the validation split.

Source: section 4.1 (batch size, learning rate, momentum, epochs; augmentation in `memnas_core.data`). The paper does
not state the restart schedule, the weight decay or where accuracy is measured; here accuracy is measured on the
validation split at the end of training.
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

from memnas_core.data import Dataset, Split
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import SettingsError
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.trainings import EpochFigures, TrainingProgress
from memnas_core.settings.kinds import AccuracyMeasure, Device, Precision
from memnas_core.settings.schema import TrainingSettings

logger = logging.getLogger(__name__)

EVALUATION_BATCH = 512

STATISTICS_IMAGES, STATISTICS_BATCH = 1024, 256
"""Number of training images on which batch norm statistics are measured, and of images in a batch."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants from glibc's malloc.h."""

_LARGEST_BLOCK = 1 << 30

DIVERGED_LOSS = 3.0
"""Factor by which an epoch's mean loss may exceed that of uniform guessing before a candidate is given up."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The outcome of a training.

    Attributes:
        diverged: Whether the training was given up because its loss was not finite or too large.
        history: Figures of each finished epoch.
        images_seen: Number of training images seen.
        validation: Results on the validation images by class, after the last epoch; None if it diverged, or if none
            were wanted.
    """

    diverged: bool
    history: tuple[EpochFigures, ...]
    images_seen: int
    validation: ClassCounts | None = None


def prepare_process() -> None:
    """Prepare this process for training: one thread, deterministic results, and memory that is used again."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise torch fills every new tensor before it is written to; this pass over memory finds mistakes, but is slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # made at run time
    # By default glibc returns large blocks to the system when they are freed, and every step takes them page by page.
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK)


def choose_device(wanted: Device) -> torch.device:
    """Return the device that the settings name; `auto` is CUDA if it is available.

    Raises:
        SettingsError: CUDA is wanted but not available.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingsError("training.device: expected a CUDA device, found none that torch can use; set auto or cpu")
    return torch.device(wanted)


def choose_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return the number format of training steps; `auto` is float32 on a CPU and a 16-bit format on CUDA.

    Args:
        wanted: Precision from the settings.
        device: Device on which the training runs.
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
    measure: AccuracyMeasure | None = "plain",
) -> TrainingOutcome:
    """Train a network in place.

    A lower precision than float32 is used only in training steps: the weights, the statistics that are measured at the
    end and accuracies are those of the float32 network that is kept.

    Args:
        network: Network from images, shape (batch, C, H, W), to class scores, shape (batch, classes).
        dataset: Images and labels; the test split is not used.
        settings: Settings of the training.
        seed: Seed of the order of images and of their augmentation.
        on_progress: Function that is called after every batch.
        images: Number of images to see, rounded to whole batches, in one cosine cycle; None for the epochs and restarts
            of the settings.
        measure: Measure of the validation accuracy, which does not influence the weights; None: none is measured.

    Returns:
        Outcome of the training. The trained weights are in the network, which is left in evaluation mode.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    network.to(device).to(memory_format=torch.channels_last)
    pixels, labels = _tensors(dataset.train, device)
    augment = Augmentation(dataset.info, settings, device)
    generator = torch.Generator().manual_seed(seed)
    batch_size = min(settings.batch_size, len(labels))
    steps = len(labels) // batch_size  # an incomplete last batch is left out, because batch norm needs full ones
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    # Small gradients would become 0 in float16; bfloat16 has the range of float32.
    scaler = GradScaler(device.type, enabled=precision is torch.float16)
    all_steps = settings.epochs * steps if images is None else max(1, round(images / batch_size))
    cycle = all_steps if images is not None or settings.restart_epochs is None else settings.restart_epochs * steps
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=cycle, T_mult=settings.restart_factor)
    limit = DIVERGED_LOSS * math.log(len(dataset.info.classes))
    total = all_steps * batch_size
    history: list[EpochFigures] = []
    validation: ClassCounts | None = None
    seen = 0
    for epoch in range(1, math.ceil(all_steps / steps) + 1):
        started = time.perf_counter()
        epoch_steps = min(steps, all_steps - (epoch - 1) * steps)  # the last epoch may be incomplete
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
        validated = None
        if measure is not None:
            validation = class_counts(network, dataset.validation, augment, device)
            validated = validation.accuracy(measure)
        history.append(
            EpochFigures(
                epoch=epoch,
                train_loss=mean_loss,
                train_accuracy=correct / (epoch_steps * batch_size),
                validation_accuracy=validated,
                learning_rate=rate,
                seconds=time.perf_counter() - started,
            )
        )
        if mean_loss > limit:
            logger.info("diverged in epoch %d: mean loss %.3g above %.3g", epoch, mean_loss, limit)
            return TrainingOutcome(True, tuple(history), seen)
    network.eval()
    return TrainingOutcome(False, tuple(history), seen, validation)


@torch.no_grad()
def measure_statistics(network: nn.Module, dataset: Dataset, augment: Augmentation, generator: torch.Generator) -> None:
    """Measure the statistics of all batch norms anew, on training images that are not augmented.

    The running statistics are those of the last few batches, and of augmented images. In short trainings their effect
    on accuracy, up to 0.03 on Fashion-MNIST at 16x16, was larger than the differences between networks.

    Args:
        network: The network; its weights stay as they are.
        dataset: Data set that has the training images.
        augment: Object that normalises the images.
        generator: Generator that chooses the images.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    network.train()
    count = min(STATISTICS_IMAGES, len(dataset.train.labels))
    if count > STATISTICS_BATCH:
        count -= count % STATISTICS_BATCH  # equal batches for the mean, none of them of a single image
    chosen = torch.randperm(len(dataset.train.labels), generator=generator)[:count]
    pixels = from_dlpack(dataset.train.images)
    for part in chosen.split(STATISTICS_BATCH):
        network(augment.normalise(pixels[part]).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def accuracy(network: nn.Module, split: Split, augment: Augmentation, device: torch.device) -> float:
    """Return the share of a split's images that a network classifies correctly, in [0, 1].

    The network is left in evaluation mode.
    """
    return class_counts(network, split, augment, device).accuracy("plain")


@torch.no_grad()
def class_counts(network: nn.Module, split: Split, augment: Augmentation, device: torch.device) -> ClassCounts:
    """Return how many of a split's images a network classifies correctly, by class.

    The network is left in evaluation mode.
    """
    network.eval()
    images, labels = _tensors(split, device)
    right = []
    for start in range(0, len(labels), EVALUATION_BATCH):
        batch = augment.normalise(images[start : start + EVALUATION_BATCH])
        scores = network(batch.contiguous(memory_format=torch.channels_last))
        wanted = labels[start : start + EVALUATION_BATCH]
        right.append(wanted[scores.argmax(1) == wanted])
    found, every = (torch.bincount(each.cpu(), minlength=scores.shape[1]) for each in (torch.cat(right), labels))
    return ClassCounts(tuple(every.tolist()), tuple(found.tolist()))


def _tensors(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a split's images (uint8) and labels; on a CPU they stay in the shared memory map."""
    # DLPack accepts read-only memory, so that workers can share one copy; nothing here writes to it.
    return from_dlpack(split.images).to(device), from_dlpack(split.labels).to(device)
