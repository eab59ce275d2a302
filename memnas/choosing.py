"""Settings of a search: from a preset, a file, other settings or a folder of images, with changes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from memnas_core.errors import InputError

if TYPE_CHECKING:
    from memnas_core.settings.schema import Settings

PathName: TypeAlias = str | os.PathLike[str]

Source: TypeAlias = "Settings | str | os.PathLike[str]"
"""Settings, the name of a preset, or a settings file."""

_FILES = (".yaml", ".yml")


def settings(
    source: "Source | None" = None,
    changes: Mapping[str, object] | None = None,
    *,
    images: PathName | None = None,
) -> "Settings":
    """Return the settings of a search, checked and frozen.

    `memnas_core/settings/schema.py` explains every key.

    Args:
        source: Name of a preset (`digits`, `fashion`, `paper`, `imagenet`), a settings file, or settings. None: what
            follows from the images, as `memnas init` proposes it, or `digits` where there are none.
        changes: Dotted key -> value, such as `{"search.rounds": 6, "objective.max_param_bytes": 64_000}`.
        images: Folder with a folder of PNG or JPEG files for each class; it takes the place of the source's data set.

    Raises:
        SettingsError: A key or value is wrong; the message says what was expected.
        DataError: The folder of images cannot be used.
    """
    from memnas_core.settings.file import changed_settings
    from memnas_core.settings.presets import PRESETS, preset_file
    from memnas_core.settings.schema import Settings

    changes = dict(changes or {})
    folder = None if images is None else Path(images).expanduser().resolve()
    if folder is not None and source is None:
        return changed_settings(_proposed(folder, changes), "the proposed settings", changes)
    if folder is not None:
        changes |= {"data.dataset": "folder", "data.folder": str(folder)}
    if source is None:
        source = "digits"
    if isinstance(source, Settings):
        return changed_settings(source.as_dict(), "the given settings", changes)
    is_name = isinstance(source, str) and (source in PRESETS or not source.endswith(_FILES))
    return changed_settings(preset_file(str(source)) if is_name else Path(source), "", changes)


def resolved(
    source: "Source | None", images: PathName | None, store: PathName | None, workers: int | None
) -> "Settings":
    """Return the settings that a function of this package is given.

    Args:
        source: As in `settings`.
        images: As in `settings`.
        store: Folder of the store; None: as in the settings.
        workers: Number of worker processes; None: as in the settings.

    Raises:
        InputError: There are neither settings nor images, or they cannot be used.
    """
    if source is None and images is None:
        raise InputError('settings: expected settings, such as memnas.settings("digits"), or images, found neither')
    changes: dict[str, object] = {}
    if store is not None:
        changes["store"] = str(Path(store).expanduser())
    if workers is not None:
        changes["execution.workers"] = workers
    return settings(source, changes, images=images)


def _proposed(folder: Path, changes: Mapping[str, object]) -> Mapping[str, object]:
    """Return the sections that are proposed for a folder of images; a changed resolution changes all that follows."""
    from memnas_core.data.survey import survey_folder
    from memnas_core.settings.proposal import propose

    side = changes.get("data.image_size")
    if side is not None and (type(side) is not int or side < 1):
        raise InputError(f"changes: data.image_size: expected a number of pixels, found {side!r}")
    survey = survey_folder(folder, changes.get("data.follow_links") is True, copies=False)  # preparing looks for copies
    return propose(survey, side).values
