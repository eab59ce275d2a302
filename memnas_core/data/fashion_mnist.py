"""Fashion-MNIST from gzipped IDX files: the user's, those of Debian's package, or torchvision's download.

An IDX file has a big-endian 32-bit magic number (0, 0, type 8 = uint8, number of dimensions), one 32-bit size for each
dimension, then the bytes.
"""

import gzip
import hashlib
import struct
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from memnas_core.data.download import downloading
from memnas_core.data.resizing import read_resized
from memnas_core.data.source import DataSource, ImageArray, LabelArray, Origin, Pool, Source
from memnas_core.errors import DataError
from memnas_core.files.untrusted import refuse_endless
from memnas_core.settings.schema import DataSettings

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # folder of Debian's package dataset-fashion-mnist
OWN_SIDE = 28
MAX_BYTES = 2**28  # about five times the bytes of the training images
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip
TRAIN_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST_FILES = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
FILES = TRAIN_FILES + TEST_FILES


def find(settings: DataSettings, downloads: Path) -> Origin:
    """Return Fashion-MNIST from `data.folder`, else from Debian's folder, else from a download.

    Args:
        settings: Settings of the data; `folder` holds the four files, or receives the download.
        downloads: Folder that receives the download if `settings.folder` is None.

    Raises:
        DataError: Some but not all of the four files are there, or the download is impossible.
        StorageError: The download cannot be written.
    """
    place = _locate(settings.folder, downloads)
    digest = hashlib.sha256()
    for name in FILES:
        with _opened(place / name) as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return Origin(fingerprint=digest.hexdigest(), load=lambda side: _load(place, side))


def read_idx(path: Path, dimensions: int) -> ImageArray:
    """Return the array in a gzipped IDX file of unsigned bytes.

    Args:
        path: The IDX file.
        dimensions: Expected number of dimensions.

    Raises:
        DataError: The file is missing, truncated, not gzipped, or holds something else.
    """
    try:
        with _opened(path) as file, gzip.open(file) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, "a whole gzip file", str(error)) from error
    if len(content) > MAX_BYTES:  # gzip packs zeros to a thousandth, so a small file may unpack to very much
        raise _damaged(path, f"at most {MAX_BYTES:,} bytes once unpacked", "more")
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic or len(content) < header:
        raise _damaged(path, f"IDX magic {magic.hex()}", content[:4].hex() or "an empty file")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod(shape, dtype=object))
    if len(content) - header != expected:
        raise _damaged(path, f"{expected} bytes for shape {shape}", f"{len(content) - header}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _locate(chosen: str | None, downloads: Path) -> Path:
    folder = None if chosen is None else Path(chosen).expanduser()
    for place in (folder, DEBIAN_FOLDER):
        missing = [name for name in FILES if place is None or not (place / name).exists()]
        if place is not None and len(missing) < len(FILES):
            if missing:
                raise DataError(f"{place}: expected four Fashion-MNIST files, {', '.join(missing)} not found; add them")
            return place
    return _download(downloads if folder is None else folder)


def _download(root: Path) -> Path:
    raw = root / "FashionMNIST" / "raw"
    if all((raw / name).exists() for name in FILES):
        return raw  # no lock file is taken, because the folder may be read-only
    by_hand = (
        f"put {', '.join(FILES)} into a folder and set data.folder to it, "
        "or on Debian install the package dataset-fashion-mnist"
    )
    with downloading("Fashion-MNIST", root, by_hand):
        from torchvision.datasets import FashionMNIST  # takes seconds to import

        FashionMNIST(str(root), download=True)
    return raw


def _load(place: Path, side: int) -> Source:
    return Source(
        words="Fashion-MNIST (Zalando), 28x28",
        classes=CLASSES,
        channels=1,
        training=_pool(place, TRAIN_FILES, side),
        validation=None,
        test=_pool(place, TEST_FILES, side),
    )


def _pool(place: Path, names: tuple[str, str], side: int) -> Pool:
    images, labels = read_idx(place / names[0], 3), read_idx(place / names[1], 1)
    if images.shape[1:] != (OWN_SIDE, OWN_SIDE):
        raise _damaged(place / names[0], f"{OWN_SIDE}x{OWN_SIDE} images", "x".join(map(str, images.shape[1:])))
    if len(labels) != len(images):
        raise _damaged(place / names[1], f"{len(images)} labels, one for each image", str(len(labels)))
    missing = set(range(len(CLASSES))) ^ set(np.unique(labels).tolist())
    if missing:
        raise _damaged(
            place / names[1], f"all labels from 0 to {len(CLASSES) - 1}", f"a difference at {sorted(missing)}"
        )
    wide: LabelArray = labels.astype(np.int64)
    return Pool(wide, lambda indices: read_resized(images[:, None], indices, side))


def _opened(path: Path) -> BufferedReader:
    try:
        refuse_endless(path)
        return path.open("rb")
    except OSError as error:
        raise _damaged(path, "a Fashion-MNIST file", error.strerror or str(error)) from error


def _damaged(path: Path, expected: str, found: str) -> DataError:
    return DataError(
        f"{path}: expected {expected}, found {found}; replace it with an intact copy, or delete it if it was downloaded"
    )


FASHION_MNIST = DataSource(own_side=OWN_SIDE, is_mirrored=True, find=find, shown=(1, len(CLASSES)))
"""A mirrored shoe is a shoe. Mirroring is usual in work on Fashion-MNIST, though its shoes all point left."""
