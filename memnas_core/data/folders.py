"""What lies in a folder of images: its folders and images, without what operating systems and devices leave there."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memnas_core.errors import DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif",
)  # fmt: skip
LITTER = frozenset(
    ("@eadir", "@__thumb", "#recycle", "$recycle.bin", "__macosx", "__pycache__", "lost+found",
     "system volume information")
)  # fmt: skip
"""Folders that Synology, QNAP, Windows, macOS, Python and Linux make by themselves, in lower case."""

TRACES = (".ipynb_checkpoints", ".git", ".dvc", ".cache", ".thumb", ".trash", ".picasa", ".@", "._", ".spotlight")
"""Beginnings of hidden folders that programs make."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not for its user."""
    return name.startswith(".") or name.lower() in LITTER


def is_image(name: str) -> bool:
    """Whether a file is taken for an image."""
    return name.lower().endswith(SUFFIXES) and not is_hidden(name)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder.

    Attributes:
        path: Where.
        kind: What it is, or what a link leads to; `other` for pipes, devices and links that lead nowhere.
        is_link: Whether it is a link.
    """

    path: Path
    kind: Literal["folder", "file", "other"]
    is_link: bool


def entries(folder: Path) -> list[Entry]:
    """Return what lies in a folder, sorted by name; only links are looked at, as the folder itself names the kinds.

    Raises:
        DataError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return [
                Entry(folder / one.name, _kind(one), one.is_symlink())
                for one in sorted(found, key=lambda one: one.name)
            ]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}; correct its permissions") from error


def subfolders(folder: Path) -> list[Path]:
    """Return the sorted folders in a folder.

    Raises:
        DataError: The folder cannot be listed.
    """
    return [one.path for one in entries(folder) if one.kind == "folder" and not is_hidden(one.path.name)]


def hidden_folders(folder: Path) -> list[Path]:
    """Return the sorted folders in a folder that begin with a dot and are none that programs make."""
    found = [one.path for one in entries(folder) if one.kind == "folder" and one.path.name.startswith(".")]
    return [path for path in found if not path.name.lower().startswith(TRACES)]


def own_images(folder: Path) -> int:
    """Return the number of images that lie directly in a folder."""
    return sum(one.kind == "file" and is_image(one.path.name) for one in entries(folder))


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "other"]:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
    except OSError:  # a link that leads back to itself, or to where nobody may look
        return "other"
