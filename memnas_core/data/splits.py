"""Stratified, seeded division of labelled images into training, validation and test.

The test split is taken first, with a seed of its own, so that it is the same for every search seed, image
size and validation fraction: networks of different searches can be compared on it. Every split gets at
least one image of every class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memnas_core.data.source import IndexArray, LabelArray
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

TEST_FRACTION = 0.2
TEST_SEED = 20_200_614


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Division of the training pool into splits.

    Attributes:
        train: Indices of the training images in random order, shape (n,).
        validation: Indices of the validation images; None if the data set has a validation set of its own.
        test: Indices of the test images; None if the data set has a test set of its own.
    """

    train: IndexArray
    validation: IndexArray | None
    test: IndexArray | None


def plan_splits(
    labels: LabelArray,
    classes: Sequence[str],
    settings: DataSettings,
    seed: int,
    *,
    needs_validation: bool,
    needs_test: bool,
) -> SplitPlan:
    """Divide a training pool.

    Args:
        labels: Classes of the pool's images, shape (n,).
        classes: Names of the classes.
        settings: Settings of the data; `validation_fraction` and `max_training_images` are used.
        seed: Seed of the choice of validation and training images; the test images do not depend on it.
        needs_validation: Whether to hold out a validation split.
        needs_test: Whether to hold out a test split.

    Returns:
        Disjoint index arrays. Without `max_training_images` they cover the pool.

    Raises:
        DataError: A class has too few images, or fewer training images are asked for than there are classes.
    """
    check_counts(np.bincount(labels, minlength=len(classes)), classes, 1 + needs_validation + needs_test)
    validation = test = None
    rest: IndexArray = np.arange(len(labels), dtype=np.int64)
    if needs_test:
        total = round(TEST_FRACTION * len(rest))
        test, rest = _take(labels, rest, total, 1 + needs_validation, np.random.default_rng(TEST_SEED))
    random = np.random.default_rng(seed)
    if needs_validation:
        validation, rest = _take(labels, rest, round(settings.validation_fraction * len(rest)), 1, random)
    limit = settings.max_training_images
    if limit is not None and limit < len(classes):
        raise DataError(
            f"data.max_training_images: expected at least {len(classes)}, one image of each class, "
            f"found {limit}; raise it"
        )
    total = len(rest) if limit is None else min(limit, len(rest))
    train, _ = _take(labels, rest, total, 0, random)
    return SplitPlan(train, validation, test)


def apportion(counts: IndexArray, total: int, least: int, leave: int) -> IndexArray:
    """Distribute `total` places among classes in proportion to their sizes (largest remainder method).

    Args:
        counts: Number of images in every class, each at least `least + leave`, shape (classes,).
        total: Number of places; moved to the nearest number that the bounds allow.
        least: Smallest number of places for a class.
        leave: Smallest number of images left over in a class.

    Returns:
        Number of places for every class, shape (classes,).
    """
    highest = counts - leave
    total = min(max(total, least * len(counts)), int(highest.sum()))
    ideal = total * counts / counts.sum()
    places: IndexArray = np.clip(np.floor(ideal).astype(np.int64), least, highest)
    while missing := total - int(places.sum()):
        step = 1 if missing > 0 else -1
        can_move = places < highest if step > 0 else places > least
        places[np.argmax(np.where(can_move, step * (ideal - places), -np.inf))] += step
    return places


def _take(
    labels: LabelArray, indices: IndexArray, total: int, leave: int, random: np.random.Generator
) -> tuple[IndexArray, IndexArray]:
    """Draw `total` of `indices`, stratified, and return them and the remaining indices, both shuffled."""
    shuffled = random.permutation(indices)
    shuffled_labels = labels[shuffled]
    counts = np.bincount(shuffled_labels)
    places = apportion(counts.astype(np.int64), total, 1, leave)
    by_class = np.argsort(shuffled_labels, kind="stable")
    first_of_class = np.cumsum(counts) - counts
    rank = np.arange(len(shuffled)) - np.repeat(first_of_class, counts)
    taken = np.zeros(len(shuffled), dtype=np.bool_)
    taken[by_class] = rank < np.repeat(places, counts)
    return shuffled[taken], shuffled[~taken]


def check_counts(counts: IndexArray, classes: Sequence[str], needed: int) -> None:
    """Raise an error for a class that has too few images to be divided.

    Args:
        counts: Number of training images of every class, shape (classes,).
        classes: Names of the classes.
        needed: Smallest number that can be divided: one for each split that is made from them.

    Raises:
        DataError: A class has fewer.
    """
    small = [f"{name} has {count}" for name, count in zip(classes, counts, strict=True) if count < needed]
    if small:
        shown = ", ".join(small[:5]) + (f" and {len(small) - 5} more" if len(small) > 5 else "")
        raise DataError(
            f"expected at least {needed} training images of every class, one for each split made from them; "
            f"found too few: class {shown}; add images or remove the class"
        )
