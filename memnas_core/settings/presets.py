"""Settings that come with memnas, by name."""

from pathlib import Path

from memnas_core.errors import SettingsError
from memnas_core.files.shipped import shipped

PRESETS = {
    "digits": "params.yaml",
    "fashion": "params.fashion.yaml",
    "paper": "params.paper.yaml",
    "imagenet": "params.imagenet.yaml",
}
"""Name -> settings file."""


def preset_file(name: str) -> Path:
    """Return the settings file of a preset.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in PRESETS:
        raise SettingsError(f"preset: expected one of {', '.join(PRESETS)}, or a settings file, found {name}")
    return shipped(PRESETS[name])
