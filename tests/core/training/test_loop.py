"""Training, judged from outside: its weights, its history, the steps it takes and the images it shows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from memnas_core.data import Dataset, DatasetInfo, Split
from memnas_core.data.augmentation import Augmentation
from memnas_core.records.trainings import TrainingProgress
from memnas_core.training.loop import EVALUATION_BATCH, accuracy, class_counts, measure_statistics, train
from tests.core.training.watched_training import PLAIN, USUAL, Watching, network_for, numbered, small


@contextmanager
def learning_rates() -> Iterator[list[float]]:
    """Collect the learning rate of every step that any optimizer takes."""
    rates: list[float] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: rates.append(optimizer.param_groups[0]["lr"])  # noqa: ARG005
    )
    try:
        yield rates
    finally:
        handle.remove()


def without_seconds(history: object) -> list[object]:
    return [replace(line, seconds=0.0) for line in history]  # type: ignore[attr-defined]


def test_one_seed_gives_the_same_bits(digits: Dataset) -> None:
    data = small(digits, 200)
    first, second, other = (network_for(data.info) for _ in range(3))
    outcomes = [train(first, data, USUAL, 7), train(second, data, USUAL, 7), train(other, data, USUAL, 8)]
    weights = [network.state_dict() for network in (first, second, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert without_seconds(outcomes[0].history) == without_seconds(outcomes[1].history)
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert without_seconds(outcomes[0].history) != without_seconds(outcomes[2].history)


def test_it_learns(digits: Dataset) -> None:
    """Ten classes, so that guessing gives 0.1."""
    network = network_for(digits.info)
    outcome = train(network, digits, replace(USUAL, epochs=8, learning_rate=0.1), 0)
    assert not outcome.diverged
    assert outcome.history[-1].validation_accuracy > 0.7
    assert outcome.history[-1].train_loss < 0.6 * outcome.history[0].train_loss
    assert outcome.history[-1].train_accuracy > outcome.history[0].train_accuracy
    assert [line.epoch for line in outcome.history] == list(range(1, 9))


def test_validation_accuracy_is_that_of_the_final_weights(digits: Dataset) -> None:
    network = network_for(digits.info)
    outcome = train(network, digits, replace(USUAL, epochs=3), 0)
    assert not network.training
    assert outcome.history[-1].validation_accuracy == by_hand(network, digits.info, digits.validation)
    assert len({line.validation_accuracy for line in outcome.history}) > 1
    # more images than fit a batch of the evaluation
    augment = Augmentation(digits.info, USUAL, torch.device("cpu"))
    found = accuracy(network, digits.train, augment, torch.device("cpu"))
    assert found == by_hand(network, digits.info, digits.train)


def test_the_measure_changes_the_accuracy_and_nothing_else(digits: Dataset) -> None:
    """Of the validation images nine in ten of the digits 0 to 4 are left out; scikit-learn has the right values."""
    split = digits.validation
    kept = np.flatnonzero((split.labels > 4) | (np.arange(len(split.labels)) % 10 == 0))
    uneven = replace(digits, validation=Split(split.images[kept], split.labels[kept]))
    plain, balanced = network_for(digits.info), network_for(digits.info)
    first = train(plain, uneven, replace(USUAL, epochs=2), 0)
    second = train(balanced, uneven, replace(USUAL, epochs=2), 0, measure="balanced")
    assert all(torch.equal(plain.state_dict()[name], tensor) for name, tensor in balanced.state_dict().items())
    true, found = uneven.validation.labels, classes_by_hand(plain, digits.info, uneven.validation)
    assert first.history[-1].validation_accuracy == accuracy_score(true, found)
    assert second.history[-1].validation_accuracy == pytest.approx(balanced_accuracy_score(true, found))
    assert first.validation == second.validation is not None
    assert first.validation.recalls == pytest.approx(recall_score(true, found, average=None))


def test_counts_by_class(digits: Dataset) -> None:
    """More images than fit a batch of the evaluation, and a class without images."""
    network, split = network_for(digits.info), digits.train
    kept = np.flatnonzero(split.labels < 9)
    part = Split(split.images[kept], split.labels[kept])
    counts = class_counts(network, part, Augmentation(digits.info, USUAL, torch.device("cpu")), torch.device("cpu"))
    assert len(kept) > EVALUATION_BATCH
    table = confusion_matrix(part.labels, classes_by_hand(network, digits.info, part), labels=range(10))
    assert counts.right == tuple(table.diagonal())
    assert counts.images == tuple(table.sum(axis=1))
    assert counts.images[9] == 0


def by_hand(network: nn.Module, info: DatasetInfo, split: Split) -> float:
    return float(np.mean(classes_by_hand(network, info, split) == split.labels))


def classes_by_hand(network: nn.Module, info: DatasetInfo, split: Split) -> npt.NDArray[np.int64]:
    """Classify one image after the other, normalised with numpy."""
    mean, std = (np.array(figure).reshape(-1, 1, 1) for figure in (info.channel_mean, info.channel_std))
    pixels: npt.NDArray[np.float32] = ((split.images / 255 - mean) / std).astype(np.float32)
    with torch.no_grad():
        best = [int(network.eval()(torch.from_numpy(image[None])).argmax()) for image in pixels]
    return np.array(best)


def test_the_test_split_is_not_touched(digits: Dataset) -> None:
    class Forbidden:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"the test split was asked for its {name}")

    data = replace(small(digits, 64), test=Forbidden())  # type: ignore[arg-type]
    assert len(train(network_for(data.info), data, USUAL, 0).history) == 2


def test_torch_s_own_generator_is_left_alone(digits: Dataset) -> None:
    data = small(digits, 64)
    network = network_for(data.info)
    before = torch.get_rng_state()
    first = train(network, data, USUAL, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12345)  # ... and decides nothing
    assert without_seconds(train(network_for(data.info), data, USUAL, 0).history) == without_seconds(first.history)


def test_steps_and_images_of_an_epoch() -> None:
    """19 images in batches of 4: four steps, and another three images left out in each epoch."""
    network, seen = Watching(), []
    outcome = train(network, numbered(19), replace(PLAIN, epochs=3), 0, seen.append)
    assert outcome.images_seen == 3 * 4 * 4
    assert [(p.epoch, p.images_seen, p.images_total) for p in seen] == [
        (1 + step // 4, 4 * (step + 1), 48) for step in range(12)
    ]
    assert all(isinstance(progress, TrainingProgress) for progress in seen)
    epochs = [[*chain(*network.shown[start : start + 4])] for start in (0, 4, 8)]
    assert len(network.shown) == 12
    for images in epochs:
        assert len(set(images)) == 16
        assert set(images) <= set(range(19))
    assert len({tuple(images) for images in epochs}) == 3
    assert len({frozenset(images) for images in epochs}) > 1


def test_fewer_images_than_a_batch() -> None:
    network = Watching()
    outcome = train(network, numbered(3), replace(PLAIN, epochs=2, batch_size=64), 0)
    assert [sorted(images) for images in network.shown] == [[0, 1, 2], [0, 1, 2]]
    assert outcome.images_seen == 6
    assert len(outcome.history) == 2


def test_train_figures_are_means_over_the_epoch() -> None:
    """With a learning rate too small to move anything, every batch is judged by the same weights."""
    data, network, losses = numbered(16), Watching(), []
    outcome = train(
        network, data, replace(PLAIN, learning_rate=1e-30), 0, lambda progress: losses.append(progress.train_loss)
    )
    scores = network(torch.arange(16.0)[:, None])
    labels = torch.arange(16) % 2
    (line,) = outcome.history
    assert line.train_loss == pytest.approx(nn.functional.cross_entropy(scores, labels).item(), rel=1e-5)
    assert line.train_loss == pytest.approx(sum(losses) / 4)
    assert line.train_accuracy == (scores.argmax(1) == labels).float().mean().item() == line.validation_accuracy


def sgdr(peak: float, cycles: list[int]) -> list[float]:
    """Return Loshchilov and Hutter's Eq. 5 with a minimum of 0, one step after the other."""
    return [peak / 2 * (1 + math.cos(math.pi * step / length)) for length in cycles for step in range(length)]


def test_first_cycle_by_hand() -> None:
    """Four steps: cos 0 = 1, cos 45 degrees = 0.70711, cos 90 = 0, cos 135 = -0.70711."""
    with learning_rates() as rates:
        outcome = train(Watching(), numbered(16), PLAIN, 0)
    assert rates == pytest.approx([0.8, 0.682843, 0.4, 0.117157], abs=1e-6)
    assert outcome.history[0].learning_rate == pytest.approx(0.117157, abs=1e-6)


@pytest.mark.parametrize(
    ("epochs", "restart_epochs", "factor", "cycles"),
    [
        (3, None, 1, [12]),  # null: one cycle over all epochs
        (3, None, 2, [12]),
        (4, 2, 1, [8, 8]),
        (7, 1, 2, [4, 8, 16]),
        (4, 1, 3, [4, 12]),
        (2, 5, 2, [20]),  # cut off in its first cycle
    ],
)
def test_warm_restarts(epochs: int, restart_epochs: int | None, factor: int, cycles: list[int]) -> None:
    """16 images in batches of 4: an epoch has four steps."""
    settings = replace(PLAIN, epochs=epochs, restart_epochs=restart_epochs, restart_factor=factor)
    with learning_rates() as rates:
        outcome = train(Watching(), numbered(16), settings, 0)
    expected = sgdr(0.8, cycles)[: 4 * epochs]
    assert rates == pytest.approx(expected, abs=1e-9)
    ends = [line.learning_rate for line in outcome.history]
    assert ends == pytest.approx(expected[3::4], abs=1e-9)


def test_sgd_by_hand() -> None:
    """Two steps with momentum and weight decay on all images at once, so that their order does not matter."""
    settings = replace(PLAIN, epochs=2, batch_size=8, learning_rate=0.5, momentum=0.9, weight_decay=0.1)
    network, twin = Watching(), nn.Linear(1, 2)
    twin.load_state_dict(network.linear.state_dict())
    train(network, numbered(8), settings, 0)
    images, labels = torch.arange(8.0)[:, None] / 100, torch.arange(8) % 2
    velocity = [torch.zeros_like(weight) for weight in twin.parameters()]
    for rate in (0.5, 0.25):
        loss = nn.functional.cross_entropy(twin(images), labels)
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for weight, gradient, speed in zip(twin.parameters(), gradients, velocity, strict=True):
                speed.mul_(0.9).add_(gradient + 0.1 * weight)
                weight.sub_(rate * speed)
    for ours, theirs in zip(network.linear.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_training(digits: Dataset) -> None:
    data, network = small(digits, 128), network_for(digits.info)
    outcome = train(network, data, replace(USUAL, epochs=50, learning_rate=1e38), 0)
    assert outcome.diverged
    assert len(outcome.history) < 3
    assert outcome.images_seen <= 3 * 128
    assert not network.training


class Shouting(Watching):
    """Finite but absurd scores."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 1e4


def test_a_loss_that_explodes_ends_the_training() -> None:
    settings = replace(PLAIN, epochs=50, learning_rate=1e-30)
    network = Shouting()
    outcome = train(network, numbered(16), settings, 0)
    assert outcome.diverged
    assert [line.epoch for line in outcome.history] == [1]
    assert outcome.history[0].train_loss > 3 * math.log(2)
    assert outcome.images_seen == 16
    assert not network.training
    assert not train(Watching(), numbered(16), settings, 0).diverged


def test_augmentation_follows_the_settings(digits: Dataset) -> None:
    """Without augmentation the batches hold the very images; with it they do not."""
    data = small(digits, 32)
    mean, std = data.info.channel_mean[0], data.info.channel_std[0]
    originals = {image.tobytes() for image in data.train.images}

    class Collecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(10))
            self.images: list[bytes] = []

        def forward(self, images: Tensor) -> Tensor:
            if self.training:
                pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
                self.images += [image.contiguous().numpy().tobytes() for image in pixels]
            return self.weight.expand(len(images), 10)

    shares = []
    for settings in (replace(USUAL, crop_padding=0, cutout_size=0), USUAL):
        network = Collecting()
        train(network, data, settings, 0)
        shares.append(sum(image in originals for image in network.images) / len(network.images))
    assert shares[0] == 1.0
    assert shares[1] < 0.5


def test_the_images_are_not_changed() -> None:
    data = numbered(16)
    before = data.train.images.copy()
    train(Watching(), data, replace(PLAIN, crop_padding=1, cutout_size=1), 0)
    assert np.array_equal(data.train.images, before)


def test_statistics_are_measured_on_equal_batches(digits: Dataset) -> None:
    """Of 257 images one would be left over, and a batch norm over a single pixel of a single image fails."""
    data = small(digits, 257)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1))
    batches: list[int] = []
    network.register_forward_pre_hook(lambda _module, inputs: batches.append(len(inputs[0])))
    augment = Augmentation(data.info, PLAIN, torch.device("cpu"))
    measure_statistics(network, data, augment, torch.Generator().manual_seed(0))
    assert batches == [256]
    chosen = torch.randperm(257, generator=torch.Generator().manual_seed(0))[:256]
    means = augment.normalise(torch.from_numpy(data.train.images[chosen.numpy()])).mean(dim=(2, 3))
    assert torch.allclose(network[1].running_mean, means.mean(0), atol=1e-5)
    assert network[1].momentum == 0.1
