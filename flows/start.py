"""What is checked before anything starts or is written: settings, image size, the folder of results."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memnas_core.budget import check_budget
from memnas_core.config import Settings
from memnas_core.data import check_image_size, check_source
from memnas_core.errors import InputError
from memnas_core.graph import Shape
from memnas_core.grow_trim import seed_architecture
from memnas_core.result_checks import damage
from memnas_core.result_folder import SearchFolder
from memnas_core.settings_file import load_settings
from tasks.tracking_store import check_reachable
from tasks.worker_pool import check_workers

LONGEST_NAME = 200  # file systems allow 255, and files beside the folder have longer names

IMAGES = {"digits": (1, 10), "fashion-mnist": (1, 10), "cifar10": (3, 10)}
"""Channels and classes of the data sets that have a name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A search that may start.

    Attributes:
        settings: What it is told.
        name: Its name.
        folder: Where its results go.
        is_finished: Whether there is nothing left to do: it was brought to its end, and what it left is as it was.
    """

    settings: Settings
    name: str
    folder: SearchFolder
    is_finished: bool


def plan_search(params: Path, overrides: Sequence[str], name: str | None, resume: bool) -> Plan:
    """Check everything that can be checked without loading data.

    Args:
        params: Settings file.
        overrides: `section.key=value` strings.
        name: Name of the search; None: the data set's, or its folder's.
        resume: Whether a search of that name may go on.

    Raises:
        InputError: A setting, the name, the images or the folder of results does not fit, or the DVC remote refuses.
        TrackingError: The tracking server does not answer.
    """
    settings = load_settings(params, overrides)
    name, folder = find_search(settings, name)
    strides = seed_architecture(settings.network.strides, settings.network.filters)
    side = check_image_size(settings.data, strides.reduction)
    if settings.data.dataset in IMAGES:  # what a folder holds is known, and checked, once the images are prepared
        channels, classes = IMAGES[settings.data.dataset]
        check_budget(settings.network, settings.objective, Shape(channels, side, side), classes)
    folder.check(settings, resume)
    is_finished = folder.is_finished and damage(folder) is None
    if not is_finished:  # a finished search needs no images, device or server any more
        check_workers(settings)
        check_source(settings.data)
        if settings.tracking.uri is not None:
            check_reachable(settings.tracking.uri)
        if settings.versioning.remote is not None:
            from tasks.remote import check_remote

            check_remote(settings.versioning.remote)
    return Plan(settings, name, folder, is_finished)


def find_search(settings: Settings, name: str | None) -> tuple[str, SearchFolder]:
    """Return a search's name and folder.

    Raises:
        InputError: The name is no plain file name.
    """
    name = name or (Path(settings.data.folder).name if settings.data.folder else settings.data.dataset)
    is_plain = name.isprintable() and Path(name).name == name and not name.startswith(".")
    if not name or not is_plain or len(os.fsencode(name)) > LONGEST_NAME:
        raise InputError(
            f"--name {name!a}: expected a plain file name of at most {LONGEST_NAME} bytes without slashes, control "
            "characters or a leading dot"
        )
    return name, SearchFolder(Path(settings.store) / "searches" / name)
