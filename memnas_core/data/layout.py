"""Which images of a folder are of which class and split, by names of folders and files alone; no image is opened.

Two layouts:

    folder/CLASS/**/IMAGE            validation and test are held out
    folder/SPLIT/CLASS/**/IMAGE      splits as given, whatever the case and affixes of their names; a validation set
                                     without a test set, as in ImageNet, which has no test labels, is the test set, and
                                     validation is held out of `train`

A folder around all of it (`dataset/train/...`) is looked into. Whatever could be meant in two ways is refused with what
to do about it, since a search would succeed on the wrong classes.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from memnas_core.data.folders import Entry, entries, hidden_folders, is_hidden, is_image, own_images, subfolders
from memnas_core.data.leftovers import said_of_suffixes
from memnas_core.data.source import LabelArray
from memnas_core.data.split_names import SplitName, split_named
from memnas_core.errors import DataError
from memnas_core.files.printable import printable

SUFFIXES_SHOWN = "png, jpg, webp, bmp, tif, ppm, gif"
_SHOWN = 5
_DEEPEST_WRAPPER = 4
_PICTURES = {"image", "images", "img", "imgs", "jpegimages", "photos", "pictures"}
_ANNOTATIONS = {"mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "gt"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Image files of one set of class folders, sorted by class and path.

    Attributes:
        folder: The folder that holds the class folders.
        classes: Names of the classes, sorted.
        paths: The images.
        labels: Class of every image, shape (n,).
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: LabelArray

    def counts(self) -> dict[str, int]:
        """Return how many images every class has."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Layout:
    """The images of a folder.

    Attributes:
        root: The folder that was named.
        listings: The images of each split that the folder comes with; `train` alone if all others are held out of it.
        warnings: What was left out, in sentences.
    """

    root: Path
    listings: Mapping[SplitName, Listing]
    warnings: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.listings["train"].classes

    @property
    def paths(self) -> list[Path]:
        """All images."""
        return [path for listing in self.listings.values() for path in listing.paths]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images by split and class."""
        return {name: listing.counts() for name, listing in self.listings.items()}

    def places(self) -> dict[str, str]:
        """Return where each split was taken from, relative to the folder that was named."""
        return {name: str(listing.folder.relative_to(self.root)) for name, listing in self.listings.items()}

    def without(self, paths: Collection[Path]) -> "Layout":
        """Return the layout without some of its images.

        Raises:
            DataError: A class of a split has no others.
        """
        kept = {}
        for name, listing in self.listings.items():
            keeps = [path not in paths for path in listing.paths]
            left = tuple(path for path, keep in zip(listing.paths, keeps, strict=True) if keep)
            kept[name] = replace(listing, paths=left, labels=listing.labels[keeps])
            lost = [one for one, count in kept[name].counts().items() if count == 0]
            if lost:
                raise DataError(
                    f"{listing.folder}: expected images of {_list(lost)} that can be read, found none; add some, or "
                    "remove the folders"
                )
        return replace(self, listings=kept)


def find_layout(root: Path, follow_links: bool = False) -> Layout:
    """Return the images of a folder.

    Args:
        root: The folder.
        follow_links: Whether links may lead out of it.

    Raises:
        DataError: It is missing, has no two classes with images, or can be understood in two ways.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(f"data.folder: expected a folder at {root}, found {found}; correct the path")
    return _Reader(root, None if follow_links else root.resolve()).read()


class _Reader:
    """Reads one folder and collects what it leaves out."""

    def __init__(self, root: Path, top: Path | None) -> None:
        self.root = root
        self.top = top
        self.warnings: list[str] = []
        self.unused: Counter[str] = Counter()

    def read(self) -> Layout:
        """Return the folder's images."""
        inside = _unwrapped(self.root)
        folders = self._given_splits(inside)
        training = self._classes(folders.get("train", inside))
        listings: dict[SplitName, Listing] = {"train": training}
        for name in ("validation", "test"):
            if name in folders:
                listings[name] = self._classes_like(training, folders[name])
        if self.unused:
            self.warnings.append(f"{self.root}: files that are not used as images: {said_of_suffixes(self.unused)}")
        return Layout(self.root, listings, tuple(printable(warning) for warning in self.warnings))

    def _given_splits(self, root: Path) -> dict[SplitName, Path]:
        """Return the folder of every split that the data set comes with; empty for plain class folders."""
        inner = {folder: _class_names(folder) for folder in subfolders(root)}
        _refuse_annotations(root, [folder.name for folder in inner])
        _refuse_flat_splits(root, inner)
        named: dict[SplitName, list[Path]] = {}
        for folder, classes in inner.items():
            split = split_named(folder.name)
            if split is not None and classes:
                named.setdefault(split, []).append(folder)
        if "train" not in named:
            _refuse_equal_folders(root, inner)
            return {}
        for split, folders in named.items():
            if len(folders) > 1:
                raise DataError(
                    f"{root}: expected one folder for {split}, found {_list(folder.name for folder in folders)}; put "
                    "their images together, or move the others elsewhere"
                )
        given = {split: folders[0] for split, folders in named.items()}
        if "test" not in given and "validation" in given:
            given["test"] = given.pop("validation")
        for split in ("validation", "test"):
            if split in given and _is_unlabelled(given[split], given["train"]):
                del given[split]
        ignored = [folder for folder in inner if folder not in given.values()]
        if ignored:
            self.warnings.append(
                f"{root}: beside {given['train'].name}, these folders are not used: "
                f"{_list(_said_of_ignored(folder) for folder in ignored)}"
            )
        return {split: _unwrapped(folder) for split, folder in given.items()}

    def _classes(self, folder: Path) -> Listing:
        """Return the images of class folders."""
        found, empty = self._images_by_class(folder)
        _refuse_annotations(folder, [*found, *empty])
        if len(found) + len(empty) < 2:
            seen = f"only {[*found, *empty][0]}" if found or empty else f"none, and {own_images(folder)} images"
            raise DataError(
                f"{folder}: expected two or more folders, one for each class with its images inside, found {seen}"
                f"{'' if found or empty else ' directly in it'}; sort the images into class folders"
            )
        if empty:
            name, others = next(iter(empty.items()))
            raise DataError(
                f"{folder / name}: expected images ({SUFFIXES_SHOWN}), found {others} other files; add images or "
                "remove the folder"
            )
        return _listing(folder, found)

    def _classes_like(self, training: Listing, folder: Path) -> Listing:
        """Return the images of a given validation or test set, which must have the classes of the training set."""
        found, _ = self._images_by_class(folder)
        lacking = [name for name in training.classes if name not in found]
        surplus = [name for name in found if name not in training.classes]
        if not lacking and not surplus:
            return _listing(folder, found)
        there = training.folder.name
        for name in surplus:
            for other in lacking:
                if _plain(name) == _plain(other):
                    raise DataError(
                        f"{folder}: expected the same class folders as in {there}, found {name!a} where {there} has "
                        f"{other!a}, which differ only in case or accents; give both the same name"
                    )
        parts = [f"no images of {_list(lacking)}"] if lacking else []
        parts += [f"{_list(surplus)}, which {there} lacks"] if surplus else []
        raise DataError(
            f"{folder}: expected the same class folders as in {there}, found {' and '.join(parts)}; add or remove "
            f"these folders, or move {folder.name} elsewhere, so that its images are held out of {there} instead"
        )

    def _images_by_class(self, folder: Path) -> tuple[dict[str, list[Path]], dict[str, int]]:
        """Return the images of every class, and the number of other files of every class without images."""
        found: dict[str, list[Path]] = {}
        empty: dict[str, int] = {}
        folders = subfolders(folder)
        for place in folders:
            if not place.name.isprintable():  # this also refuses names that are not UTF-8, which JSON cannot hold
                raise DataError(
                    f"{folder}: expected class names in plain text, found {place.name!a}; rename the folder"
                )
        _refuse_twins(folder, [place.name for place in folders])
        for place in folders:
            images, others = self._files_below(place)
            if images:
                found[place.name] = images
                self.unused.update(Path(name).suffix.lower() or name for name in others)
            else:
                empty[place.name] = len(others)
        hidden = [path for path in hidden_folders(folder) if own_images(path)]
        if hidden:
            self.warnings.append(
                f"{folder}: folders whose names begin with a dot are not used: {_list(path.name for path in hidden)}; "
                "rename those that are classes"
            )
        return found, empty

    def _files_below(self, folder: Path) -> tuple[list[Path], list[str]]:
        """Return the images, sorted by path, and names of the other files of a folder and of all folders in it."""
        images: list[Path] = []
        others: list[str] = []
        seen: set[tuple[int, int]] = set()
        left = [Entry(folder, "folder", folder.is_symlink())]
        while left:
            entry = left.pop()
            if entry.kind == "folder":
                self._refuse_outside(entry.path)
                inside = entries(entry.path)
                facts = entry.path.stat()
                if (facts.st_dev, facts.st_ino) not in seen:  # a link to a folder above would bring the same images
                    seen.add((facts.st_dev, facts.st_ino))
                    left += (one for one in reversed(inside) if not is_hidden(one.path.name))
            elif is_image(entry.path.name):
                if entry.is_link:
                    self._refuse_outside(entry.path)
                images.append(entry.path)
            else:
                others.append(entry.path.name)
        return images, others

    def _refuse_outside(self, path: Path) -> None:
        """Raise an error if a link leaves the data set's folder: it might bring the user's own files into a store.

        Raises:
            DataError: The link leaves the folder.
        """
        target = Path(os.path.realpath(path))
        if self.top is not None and not target.is_relative_to(self.top):
            raise DataError(
                f"{path}: expected links that stay within {self.top}, found one to {target}; put the images themselves "
                "there, or allow it with data.follow_links=true if you trust whoever made the folder"
            )


def _unwrapped(folder: Path) -> Path:
    """Return the folder inside that holds all there is, where a folder holds nothing but one with folders in it."""
    for _ in range(_DEEPEST_WRAPPER):
        inside = subfolders(folder)
        if len(inside) != 1 or own_images(folder) or own_images(inside[0]) or not subfolders(inside[0]):
            return folder
        if split_named(inside[0].name) is not None and split_named(folder.name) is None:
            return folder  # training images alone
        folder = inside[0]
    return folder


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders that would be classes if a folder were a split; none if it has images itself."""
    inside = _unwrapped(folder)
    return () if own_images(inside) else tuple(path.name for path in subfolders(inside))


def _refuse_annotations(folder: Path, names: Sequence[str]) -> None:
    """Raise an error for pictures beside their masks or labels, as for segmentation and detection."""
    kinds = {name.lower() for name in names}
    if kinds & _PICTURES and kinds & _ANNOTATIONS and kinds <= _PICTURES | _ANNOTATIONS:
        raise DataError(
            f"{folder}: expected a folder for each class, found {_list(names)}, which look like pictures and their "
            "masks or labels; memnas classifies whole images: sort them into class folders"
        )


def _refuse_flat_splits(root: Path, inner: Mapping[Path, Sequence[str]]) -> None:
    """Raise an error for `train/IMAGE` beside `test/IMAGE` or `test/CLASS/IMAGE`, which would become two classes."""
    flat = [folder.name for folder, classes in inner.items() if not classes and own_images(folder)]
    named = {split_named(folder.name): bool(classes) for folder, classes in inner.items()}
    if flat and not named.get("train") and len(named) == len(inner) > 1 and None not in named:
        raise DataError(
            f"{root}: expected a folder for each class in {_list(flat)}, found images without one; sort the images "
            "into class folders"
        )


def _refuse_equal_folders(root: Path, inner: Mapping[Path, Sequence[str]]) -> None:
    """Raise an error where folders that no split is named by hold the same folders, as in `fold0/cat`, `fold1/cat`."""
    times = Counter(name for names in inner.values() for name in set(names))
    shared = {name for name, count in times.items() if count > 1}
    if len(inner) > 1 and all(2 <= len(shared & set(names)) >= len(names) / 2 for names in inner.values()):
        raise DataError(
            f"{root}: expected classes or splits, found the folders {_list(folder.name for folder in inner)} that hold "
            f"the same folders ({_list(sorted(shared))}); if these are the classes, name the outer folders train, val "
            "and test, or put folds together; if the outer folders are the classes, put their images directly into them"
        )


def _is_unlabelled(split: Path, train: Path) -> bool:
    """Whether a split has a single folder that is no class, as in `test/unknown/IMAGE`."""
    names = _class_names(split)
    return len(names) == 1 and names[0] not in _class_names(train)


def _said_of_ignored(folder: Path) -> str:
    images = own_images(folder)
    if not images:
        return folder.name
    return f"{folder.name} ({images} images without class folders, which nobody can score)"


def _refuse_twins(folder: Path, names: Sequence[str]) -> None:
    """Raise an error for two class names that differ in case or in how accents are written."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_plain(name), name)
        if other != name:
            raise DataError(
                f"{folder}: expected class names that differ, found {other!a} and {name!a}, which differ only in case "
                "or in how accents are written; put their images together, or rename one"
            )


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _listing(folder: Path, found: Mapping[str, Sequence[Path]]) -> Listing:
    labels = np.repeat(np.arange(len(found), dtype=np.int64), [len(paths) for paths in found.values()])
    return Listing(folder, tuple(found), tuple(path for paths in found.values() for path in paths), labels)


def _list(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_SHOWN]) + (f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")
