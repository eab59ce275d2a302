"""Checks before a search begins or goes on: its name, the size of its images, its budget, its folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from memnas_core.data import check_image_size, find_local
from memnas_core.data.source import DATASETS
from memnas_core.errors import DataError, InputError
from memnas_core.objective.budget import check_budget
from memnas_core.results.checks import damage
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.schema import Settings
from memnas_core.space.layers import Shape, Workload

LONGEST_NAME = 200  # file systems allow 255, and files beside the folder have longer names


@dataclass(frozen=True, slots=True)
class Beginning:
    """A search whose settings fit, and which may begin or go on in its folder.

    Attributes:
        settings: Settings of the search.
        name: Name of the search.
        folder: Folder of its results.
        is_finished: Whether nothing is left to do: the search has ended, its results are undamaged, and its images were
            not changed, as far as they are still there.
    """

    settings: Settings
    name: str
    folder: SearchFolder
    is_finished: bool


def check_beginning(settings: Settings, name: str | None, resume: bool) -> Beginning:
    """Check everything that can be checked without loading data or asking a service.

    Args:
        settings: Settings of the search.
        name: Name of the search; None: the data set's, or its folder's.
        resume: Whether a search of that name may go on.

    Raises:
        InputError: A setting, the name or the folder of results does not fit.
    """
    name, folder = find_search(settings, name)
    side = check_image_size(settings.data, settings.network.reduction)
    shown, objective = DATASETS[settings.data.dataset].shown, settings.objective
    if shown is not None:  # for a folder this is checked once its images are prepared
        channels, classes = shown
        workload = Workload(Shape(channels, side, side), classes, objective.weight_bytes, objective.activation_bytes)
        check_budget(settings.network, objective, workload, settings.search.widths)
    folder.check(settings, resume)
    is_finished = folder.is_finished and damage(folder) is None and not _images_changed(settings, folder)
    return Beginning(settings, name, folder, is_finished)


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


def _images_changed(settings: Settings, folder: SearchFolder) -> bool:
    """Return whether a finished search's folder of images is there and not as it was when they were prepared."""
    before = folder.start().images
    if not before:
        return False
    try:
        origin = find_local(settings.data)
    except DataError:
        return False
    return origin is not None and origin.fingerprint != before
