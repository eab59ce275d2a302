"""Any folder of images in class folders, the way torchvision's ImageFolder and ImageNet lay them out.

`memnas_core.data.layout` tells which images are of which class and split, `memnas_core.data.preprocessing` what
becomes of a file. Hidden files and folders are skipped, and only the first frame of an animation is read.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from memnas_core.data.choosing import choose_preprocessing, read_headers, said_of_preprocessing
from memnas_core.data.decoding import UnreadableError, decode, find_unreadable
from memnas_core.data.layout import Layout, Listing, find_layout
from memnas_core.data.preprocessing import Preprocessing
from memnas_core.data.source import DataSource, Origin, Pool, Source
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

_READER = 3  # to be raised when the same files would give other images

OWN_SIDE = 32


def find(settings: DataSettings, _downloads: Path) -> Origin:
    """Return the images of `data.folder`, listed but not read.

    The fingerprint is made of relative paths, sizes and times of change, and of the settings that decide what is read.

    Raises:
        DataError: The folder is missing, has fewer than two classes with images, or can be understood in two ways.
    """
    root = folder_of(settings)
    layout = find_layout(root, settings.follow_links)

    def load(side: int) -> Source:
        paths = layout.paths
        headers = read_headers(paths)
        preprocessing = choose_preprocessing(paths, headers, side, settings.resize, settings.max_pixels)
        readable, warnings = layout, (*layout.warnings, *said_of_preprocessing(headers, preprocessing))
        if settings.skip_unreadable:
            failures = find_unreadable(paths, preprocessing, settings.max_pixels)
            if failures:
                unreadable = {path for path, _ in failures}
                readable = layout.without(unreadable)
                account = UnreadableError(root, len(paths), failures)
                warnings = (*warnings, f"{account}; they are left out")

        def pool(listing: Listing) -> Pool:
            return _pool(listing, preprocessing, readable.paths, root, settings.max_pixels)

        pools = {name: pool(listing) for name, listing in readable.listings.items()}
        return Source(
            words=f"{len(readable.paths)} images in the folder {ascii(root.resolve().name)[1:-1]}",
            classes=readable.classes,
            channels=preprocessing.channels,
            training=pools["train"],
            validation=pools.get("validation"),
            test=pools.get("test"),
            preprocessing=preprocessing,
            warnings=warnings,
        )

    return Origin(_fingerprint(layout, settings), load, layout)


def folder_of(settings: DataSettings) -> Path:
    """Return the folder that the settings name."""
    assert settings.folder is not None, "checked by DataSettings"
    return Path(settings.folder).expanduser()


def _pool(
    listing: Listing, preprocessing: Preprocessing, everything: Sequence[Path], root: Path, max_pixels: int
) -> Pool:
    paths = listing.paths
    return Pool(
        listing.labels,
        lambda indices: decode([paths[i] for i in indices], preprocessing, everything, root, max_pixels),
    )


def _fingerprint(layout: Layout, settings: DataSettings) -> str:
    splits = {name: listing.folder for name, listing in layout.listings.items()}
    deciding = (_READER, settings.resize, settings.skip_unreadable, settings.max_pixels, sorted(splits))
    digest = hashlib.sha256(repr(deciding).encode())
    root = len(os.fsencode(layout.root / "x")) - 1
    for path in layout.paths:
        digest.update(os.fsencode(path)[root:])
        try:
            facts = path.stat()
            digest.update(f"\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
        except OSError as error:
            if not settings.skip_unreadable:
                raise DataError(f"{path}: cannot be read: {error.strerror}; replace or delete it") from error
            digest.update(b"\0unreadable\0")
    return digest.hexdigest()


FOLDER = DataSource(own_side=OWN_SIDE, is_mirrored=True, find=find, is_local=True)
"""Photographs allow mirroring; for text or traffic signs `data.horizontal_flip: false` switches it off."""
