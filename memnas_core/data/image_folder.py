"""Any folder of images in class folders, the way torchvision's ImageFolder and ImageNet lay them out.

Two layouts:

    folder/CLASS/**/IMAGE                     validation and test are held out
    folder/{train,val,test}/CLASS/**/IMAGE    as given; ImageNet has no test labels: `val` without `test` is
                                              the test set, and validation is held out of `train`

Hidden files and folders are skipped. Links are followed within the folder; one that leaves it is an error, because a
folder from somebody else must not bring the user's own files into a store that is shared. Transparency is dropped, of
an animation the first frame counts.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memnas_core.config import DataSettings
from memnas_core.data.decoding import Mode, common_mode, decode
from memnas_core.data.source import LabelArray, Origin, Pool, Source
from memnas_core.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")
_VALIDATION_NAMES = ("val", "valid", "validation")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Image files of one set of class folders, sorted by class and path."""

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: LabelArray


def find(settings: DataSettings, _downloads: Path) -> Origin:
    """List the images of `data.folder`.

    The fingerprint is made of relative paths, sizes and times of change.

    Raises:
        DataError: The folder is missing, or has no class folders, only one, or one without images.
    """
    assert settings.folder is not None, "checked by DataSettings"
    root = Path(settings.folder).expanduser()
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(f"data.folder: expected a folder at {root}, found {found}; correct the path")
    given = _given_splits(root)
    top = root.resolve()
    training = _list_classes(given.get("train", root), top)
    validation, test = (
        _list_like(training, given[name], top) if name in given else None for name in ("validation", "test")
    )
    listings = [listing for listing in (training, validation, test) if listing is not None]
    everything = [path for listing in listings for path in listing.paths]

    def load(side: int) -> Source:
        mode = common_mode(everything)

        def pool(listing: _Listing) -> Pool:
            return _pool(listing, side, mode, everything, root)

        return Source(
            words=f"{len(everything)} images in the folder {ascii(root.resolve().name)[1:-1]}",
            classes=training.classes,
            channels=1 if mode == "L" else 3,
            training=pool(training),
            validation=None if validation is None else pool(validation),
            test=None if test is None else pool(test),
        )

    return Origin(_fingerprint(everything, root), load)


def _pool(listing: _Listing, side: int, mode: Mode, everything: Sequence[Path], root: Path) -> Pool:
    paths = listing.paths
    return Pool(listing.labels, lambda indices: decode([paths[i] for i in indices], side, mode, everything, root))


def _given_splits(root: Path) -> dict[str, Path]:
    """Return the folders of the splits that the data set comes with; empty for plain class folders."""
    folders = {path.name: path for path in _subfolders(root)}
    train = folders.get("train")
    # A class may be called train too; then it has images of its own.
    if train is None or _own_images(train) or not _subfolders(train):
        return {}
    given = {"train": train}
    validation = next((folders[name] for name in _VALIDATION_NAMES if name in folders), None)
    test = folders.get("test")
    if test is not None:
        given["test"] = test
        if validation is not None:
            given["validation"] = validation
    elif validation is not None:
        given["test"] = validation
    ignored = sorted(folders.keys() - {path.name for path in given.values()})
    if ignored:
        _log.warning("%s: beside train, these folders are not used: %s", root, ", ".join(ignored))
    return given


def _list_classes(root: Path, top: Path) -> _Listing:
    """List the images of class folders, sorted by class name and path; none may lie outside `top`."""
    folders = _subfolders(root)
    if len(folders) < 2:
        found = f"only {folders[0].name}" if folders else f"none, and {len(_own_images(root))} images directly in it"
        raise DataError(
            f"{root}: expected two or more folders, one for each class with its images inside, "
            f"found {found}; sort the images into class folders"
        )
    paths: list[Path] = []
    labels: list[int] = []
    unused: Counter[str] = Counter()
    for label, folder in enumerate(folders):
        if not folder.name.isprintable():  # nor are bytes that are no UTF-8, which no JSON can hold
            raise DataError(f"{root}: expected class names in plain text, found {folder.name!a}; rename the folder")
        images, others = _files_below(folder, top)
        if not images:
            raise DataError(
                f"{folder}: expected images ({', '.join(SUFFIXES)}), found {len(others)} other files; "
                "add images or remove the folder"
            )
        unused.update(path.suffix or path.name for path in others)
        paths += images
        labels += [label] * len(images)
    if unused:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in unused.most_common(5))
        _log.warning("%s: files that are not used as images: %s", root, counts)
    return _Listing(tuple(folder.name for folder in folders), tuple(paths), np.asarray(labels, dtype=np.int64))


def _list_like(training: _Listing, root: Path, top: Path) -> _Listing:
    """List a given validation or test set, which must have the classes of the training set."""
    listing = _list_classes(root, top)
    differing = sorted(set(listing.classes) ^ set(training.classes))
    if differing:
        raise DataError(
            f"{root}: expected the same class folders as in train, found a difference at "
            f"{', '.join(differing[:5])}; add or remove these folders"
        )
    return listing


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}; correct its permissions") from error


def _own_images(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _is_image(path.name) and path.is_file()]


def _files_below(folder: Path, top: Path) -> tuple[list[Path], list[Path]]:
    """Return the sorted images and the other files of a folder and of all folders in it."""
    images: list[Path] = []
    others: list[Path] = []
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}; correct its permissions") from error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        _refuse_outside(Path(place), top)
        identity = Path(place).stat()
        if (identity.st_dev, identity.st_ino) in seen:  # a link back up would bring the same images again
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in names if _is_image(name)):
            if path.is_symlink():
                _refuse_outside(path, top)
            images.append(path)
        others += [Path(place, name) for name in names if not _is_image(name) and not name.startswith(".")]
    return sorted(images), others


def _refuse_outside(path: Path, top: Path) -> None:
    """Refuse a link that leaves the data set's folder.

    Raises:
        DataError: It does.
    """
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(top):
        raise DataError(
            f"{path}: expected links that stay within {top}, found one to {target}; put the images themselves there, "
            "or set data.folder to the folder that holds them"
        )


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _fingerprint(paths: Sequence[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            facts = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; replace or delete it") from error
        digest.update(os.fsencode(path.relative_to(root)))
        digest.update(f"\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()
