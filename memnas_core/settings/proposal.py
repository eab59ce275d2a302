"""Settings that are proposed for a folder of images, with a sentence on each.

The images decide resolution, strides, padding, batch size and lengths of trainings; all other values hold for small
photographs in general. `python -m benchmarks.own_images` compares what they lead to with a ResNet-8.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from memnas_core.settings.survey import Survey

SIDES = (8, 16, 32, 64)
"""Proposed sides in pixels: the largest that does not enlarge the median image."""

HALVED = (0, 2, 4, 1, 3)
"""Blocks that halve the image, the first that does so first."""

STEM_HALVES = 3
"""From so many halvings on, the stem does one of them."""

SMALLEST_MAPS = (4, 7)
"""Strides halve an image until another halving would make it smaller than a quarter of its side, within these."""

FINAL_IMAGES = 300_000
FINAL_EPOCHS = (10, 150)
"""The final training sees so many images, within so many epochs."""

SEARCH_SHARE = 40
"""The final training is so many times as long as one of the search."""

MOST_BYTES = 480_000
"""Proposed budget, up to the largest of `SIDES`; of larger images, the first tensors alone may need more."""

MANY_IMAGES = 5_000
"""So many training images leave enough to choose by in a tenth of them, and are not seen often enough to be learnt by
heart."""

FEW_IMAGES = 640
"""Fewer training images are taken in smaller batches."""

LONG = 2.0
"""Aspect ratio beyond which a centre crop loses more than half of a picture (docs/images.md)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings for a folder of images.

    Attributes:
        values: The settings as a settings file holds them: sections of keys, and keys of their own.
        reasons: Dotted key -> one sentence on why the key has its value.
    """

    values: Mapping[str, object]
    reasons: Mapping[str, str]


def propose(survey: Survey, side: int | None = None) -> Proposal:
    """Return settings for a folder of images.

    Args:
        survey: What is known of the folder.
        side: Side of the square images in pixels; None: the largest of `SIDES` that does not enlarge them.
    """
    pixels = min(survey.width.median, survey.height.median)
    if side is None:
        side = max((one for one in SIDES if one <= pixels), default=SIDES[0])
    images = survey.images("train")
    is_small = images < MANY_IMAGES
    fraction = 0.2 if is_small else 0.1
    trained, validated = survey.train_and_validation(fraction)
    at_the_end = trained + is_small * validated
    halvings = halved(side)
    final_epochs = max(FINAL_EPOCHS[0], min(FINAL_EPOCHS[1], FINAL_IMAGES // at_the_end))
    passes = final_epochs * at_the_end / SEARCH_SHARE / trained
    epochs = max(1, round(passes))
    rungs = [min(1.0, round(passes, 2))]
    batch_size = 64 if trained >= FEW_IMAGES else 32
    table: dict[str, tuple[object, str]] = {
        "store": ("store", "Folder that receives prepared images, searches and the MLflow database."),
        "data.dataset": ("folder", "Images in class folders."),
        "data.folder": (str(survey.folder), f"{survey.images():,} images of {len(survey.classes)} classes."),
        "data.image_size": (
            side,
            f"Pixels a side; the median image has {survey.width.median} x {survey.height.median}. Twice as many take "
            "four times the time and activation memory.",
        ),
        "data.validation_fraction": (
            fraction,
            f"Share of {images:,} training images that choose networks"
            + ("." if "test" in survey.counts else " and, once more, that test the one at the end."),
        ),
        "data.max_training_images": (None, "All training images are used."),
        "data.horizontal_flip": (
            survey.is_mirrored,
            "Trains on mirrored images too; null: yes, as for photographs. Say false where left and right tell classes "
            "apart, such as letters or traffic signs.",
        ),
        "data.resize": (
            "squash" if survey.aspect > LONG else "center_crop",
            f"center_crop keeps the middle, squash keeps all, letterbox too; the median is {survey.aspect:.2g}:1.",
        ),
        "data.skip_unreadable": (False, "true leaves out images that cannot be read; false stops at them."),
        "data.follow_links": (False, "true lets links lead out of the folder."),
        "data.max_pixels": (89_478_485, "Largest image that is read; photos of 108 megapixels have 108000000."),
        "network.filters": (
            12,
            "Filters of the largest first network's stem; every halving of the image doubles them.",
        ),
        "network.strides": (
            strides(halvings),
            f"Blocks that halve the image, with the stem from {side} pixels a side to {side >> halvings}.",
        ),
        "network.stem_stride": (stem_stride(halvings), "2: the first convolution halves the image, and saves memory."),
        "search.seed": (0, "Decides every random choice."),
        "search.moves": ("grow_and_trim", "As in the paper."),
        "search.selection": ("controller", "A learnt controller chooses what is trained."),
        "search.aim": ("front", "The whole front of accuracy and memory; or score: one network by Eq. 4."),
        "search.seed_cells": (
            [["conv_3x3", "identity"]],
            "First networks: a convolution and a shortcut in every block.",
        ),
        "search.seed_rungs": (rungs, "The first networks train as long as the others."),
        "search.weights": ("fresh", "Each network is trained from nothing, as at the end."),
        "search.warm_learning_rate": (None, "Without effect: nothing begins with the weights of another."),
        "search.rungs": (rungs, "Length of each training, as a share of training.epochs."),
        "search.keep": (1.0, "Without effect: there is one training for each network."),
        "search.top_k": (4, "Candidates trained in a round."),
        "search.rounds": (3, "More rounds find more networks; a finished search can't be prolonged."),
        "search.max_cells": (6, "Ends a search whose blocks have so many cells."),
        "search.max_training_images": (None, "No limit on the images that all candidates see."),
        "search.patience": (None, "Rounds without progress do not end the search."),
        "search.widths": (True, "The filters of each block are searched too."),
        "search.seed_shares": ([1.0, 0.5], "Sizes of the first networks, as shares of the largest one."),
        "search.choice": (
            "controller",
            "What is handed over is chosen by the controller's estimates, which chance moves less than single figures.",
        ),
        "objective.accuracy_weight": (
            0.99,
            "The paper's lambda: half the weights and activations are worth 1 % of the accuracy. With a budget, 1 "
            "takes the most accurate network within it.",
        ),
        "objective.accuracy_floor": ("auto", "Networks far below the best one are not chosen."),
        "objective.accuracy": (
            "plain",
            "Share of images that are right; balanced: mean recall, for classes of unlike size.",
        ),
        "objective.activation_convention": ("arena", "What a runtime reserves for activations."),
        "objective.weight_bytes": (4, "float32; 1 for a file made with --int8."),
        "objective.activation_bytes": (4, "float32; 1 for a file made with --int8."),
        "objective.device": (None, "A device whose memory is the budget, such as stm32f746."),
        "objective.max_param_bytes": (None, "Budget of the weights, such as 64000."),
        "objective.max_activation_bytes": (None, "Budget of the activations."),
        "objective.max_total_bytes": (
            MOST_BYTES if side <= SIDES[-1] else None,
            "Budget of both together, somewhat less than a ResNet-8 of MLPerf Tiny needs in float32; null: none.",
        ),
        "training.epochs": (
            epochs,
            f"Length of a training in the search, over {trained:,} images; search.rungs may shorten it.",
        ),
        "training.batch_size": (batch_size, f"{max(1, trained // batch_size)} steps an epoch."),
        "training.learning_rate": (0.05, "Peak of the cosine."),
        "training.momentum": (0.9, "Of SGD."),
        "training.weight_decay": (
            0.002 if is_small else 0.0005,
            "Of SGD; the fewer images there are, the more of it a long training needs.",
        ),
        "training.restart_epochs": (None, "One cosine without restarts."),
        "training.restart_factor": (1, "Without effect: there are no restarts."),
        "training.crop_padding": (side // 8, "An eighth of the image: crops begin so many pixels around it."),
        "training.cutout_size": (0, "None: it costs small networks accuracy."),
        "training.device": ("auto", "CUDA if there is a GPU."),
        "training.precision": ("auto", "float32 on a CPU."),
        "controller.version": ("improved", "The best of the project's own comparison."),
        "controller.target": ("accuracy", "It predicts accuracy; memory is known exactly."),
        "controller.embedding_size": (100, "Used by version paper alone, as the three below."),
        "controller.hidden_size": (100, "As above."),
        "controller.epochs": (60, "As above."),
        "controller.learning_rate": (0.003, "As above."),
        "final.epochs": (
            final_epochs,
            f"The chosen network is trained anew, on {final_epochs * at_the_end:,} images; null keeps it as it is.",
        ),
        "final.all_images": (
            is_small,
            "true trains it on the validation images too, which have chosen it by then: more images, more accuracy.",
        ),
        "execution.runner": ("processes", "Of this machine; or ray."),
        "execution.workers": (None, "One a CPU core."),
        "execution.gpu_fraction": (None, "A training takes a whole GPU, if there is one."),
        "execution.memory_limit_bytes": (None, "No limit on the memory of a training."),
        "execution.training_seconds": (None, "No limit on the time of a training."),
        "execution.ray_address": (None, "Without ray, unused."),
        "execution.ray_cpus": (1.0, "Without ray, unused."),
        "tracking.uri": (None, "MLflow writes to an SQLite file in the store."),
        "tracking.experiment": ("memnas", "Name of the MLflow experiment."),
        "versioning.remote": (None, "No second copy on a DVC remote."),
    }
    values: dict[str, object] = {}
    for key, (value, _) in table.items():
        section, _, name = key.rpartition(".")
        place = values.setdefault(section, {}) if section else values
        assert isinstance(place, dict), "sections and single keys have different names"
        place[name] = value
    return Proposal(values, {key: reason for key, (_, reason) in table.items()})


def halved(side: int) -> int:
    """Return how often strides halve an image of this side: each halving is exact, and leaves a map to look at."""
    smallest = max(SMALLEST_MAPS[0], min(SMALLEST_MAPS[1], side // 4))
    counts = range(len(HALVED) + 1)
    return max(n for n in counts if n == 0 or (side % (1 << n) == 0 and side >> n >= smallest))


def stem_stride(halvings: int) -> int:
    """Return the stride of the stem, for so many halvings in all."""
    return 2 if halvings >= STEM_HALVES else 1


def strides(halvings: int) -> list[int]:
    """Return the stride of each block.

    Args:
        halvings: Number of halvings by the stem and the blocks together.
    """
    halving = HALVED[: halvings - (stem_stride(halvings) == 2)]
    return [2 if block in halving else 1 for block in range(len(HALVED))]
