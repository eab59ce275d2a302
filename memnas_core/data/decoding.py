"""Image files to squares of pixels, many at a time, with one message about all that cannot be read."""

import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memnas_core.data.resizing import fit_square
from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError

Mode = Literal["L", "RGB"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Whatever a file is called, it is read as one of these. Pillow knows more, among them PostScript, for which it starts
an interpreter that runs what the file says."""

MAX_FILE_BYTES = 2**29
MAX_PIXELS = 89_478_485  # Pillow's own limit, at which it only warns: 256 MiB as RGB
LARGE_PIXELS = 2**24  # larger images are decoded one at a time, so that memory does not grow with the number of cores
BATCH = 256  # images decoded before they are written; about 40 MB at 224 x 224
SHOWN_FAILURES = 5
MAX_FAILURES = 20  # after so many the rest is not looked at
_alone = Lock()
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


def common_mode(paths: Sequence[Path]) -> Mode:
    """Return `L` if all images are grey, else `RGB`; reads headers only, up to the first in colour.

    A file that cannot be opened does not count: decoding will name it.
    """
    with _no_bomb_warnings():
        return "L" if all(_is_grey(path) for path in paths) else "RGB"


def decode(
    paths: Sequence[Path], side: int, mode: Mode, everything: Sequence[Path], root: Path
) -> Iterator[ImageArray]:
    """Yield images in order, resized to squares; never more than a batch is in memory.

    Args:
        paths: Files to decode.
        side: Height and width of the result in pixels.
        mode: Colour or grey.
        everything: All files of the data set; looked through when one cannot be read, so that one message
            names all that are bad.
        root: Messages name files relative to it.

    Yields:
        Shape (b, channels, side, side).

    Raises:
        DataError: A file is no image, truncated, larger than `MAX_FILE_BYTES` or `MAX_PIXELS`, or of a kind that is
            not supported.
    """
    attempt = _attempt(side, mode)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in _batches(paths):
            with _no_bomb_warnings():
                outcomes = list(pool.map(attempt, batch))
                if any(isinstance(outcome, str) for outcome in outcomes):
                    raise DataError(_account(everything, attempt, pool, root))
            yield np.stack([outcome for outcome in outcomes if not isinstance(outcome, str)])


def _attempt(side: int, mode: Mode) -> Callable[[Path], ImageArray | str]:
    """Return a function from a path to its pixels or, if it cannot be read, the reason."""

    def attempt(path: Path) -> ImageArray | str:
        try:
            return _decode_one(path, side, mode)
        except UnidentifiedImageError:
            return "no image of a known format"
        # Pillow's decoders raise nearly anything for damaged bytes; whatever it is, it is about this file.
        except Exception as error:  # noqa: BLE001
            return str(error) or type(error).__name__

    return attempt


def _decode_one(path: Path, side: int, mode: Mode) -> ImageArray:
    with _opened(path) as image:
        _refuse_bomb(image)
        image.draft(None, (2 * side, 2 * side))  # a large JPEG is decoded at half, a quarter or an eighth
        with _alone if image.width * image.height > LARGE_PIXELS else nullcontext():
            upright = ImageOps.exif_transpose(image)  # phones store the rotation, not rotated pixels
            pixels = np.asarray(fit_square(_converted(upright, mode), side))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _opened(path: Path) -> Image.Image:
    """Read the header of an image; a pipe or device is not opened, as it may have no end."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("a pipe or device, no file")
    if facts.st_size > MAX_FILE_BYTES:
        raise ValueError(f"{facts.st_size:,} bytes are more than {MAX_FILE_BYTES:,}")
    return Image.open(path, formats=FORMATS)


def _converted(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels; convert it to 8 bits")
    if image.mode.startswith("I"):  # Pillow clips 16-bit grey at 255 instead of scaling it
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65_535:
            raise ValueError("more than 16 bits a pixel; convert it to 8 bits")
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    return image.convert(mode)


def _refuse_bomb(image: Image.Image) -> None:
    """Refuse an image for the size in its header, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are more than {MAX_PIXELS}")


def _is_grey(path: Path) -> bool:
    try:
        with _opened(path) as image:
            return image.mode in _GREY_MODES
    except Exception:  # noqa: BLE001 - as in `_attempt`
        return True


def _account(
    paths: Sequence[Path], attempt: Callable[[Path], ImageArray | str], pool: ThreadPoolExecutor, root: Path
) -> str:
    failures: list[str] = []
    for batch in _batches(paths):
        for path, outcome in zip(batch, pool.map(attempt, batch), strict=True):
            if isinstance(outcome, str):
                failures.append(f"{path.relative_to(root)} ({outcome})")
        if len(failures) >= MAX_FAILURES:
            break
    count = f"at least {len(failures)}" if len(failures) >= MAX_FAILURES else str(len(failures))
    shown = ", ".join(failures[:SHOWN_FAILURES]) + (", ..." if len(failures) > SHOWN_FAILURES else "")
    return (
        f"{root}: expected {len(paths)} readable images, found {count} that cannot be read: {shown}; "
        "replace or delete them"
    )


def _batches(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), BATCH):
        yield paths[start : start + BATCH]


@contextmanager
def _no_bomb_warnings() -> Iterator[None]:
    """Silence Pillow's warning about large images: they are refused here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
