"""What a folder's own images decide about their preprocessing.

They decide on grey or colour, the range of 16-bit files, and the ground that transparent pixels are put on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from memnas_core.data.in_threads import LargeImageError, on_each, refuse_large
from memnas_core.data.preprocessing import Preprocessing, deep_pixels, is_transparent, opened, refuse_bomb
from memnas_core.errors import DataError
from memnas_core.settings.kinds import Resize

RANGES = (255, 1023, 4095, 16_383, 65_535)
"""White of files with 8, 10, 12, 14 and 16 bits."""

GROUNDS = (255, 0, 127)
"""Grey levels that transparent pixels can be put on; the first of equally good ones is taken."""

SAMPLE = 200  # files with transparency, and with 16 bits in colour, that are decoded
_FAINTEST = 0.05  # share of the images for which a ground is chosen: those that show least on it
_LOOKED_AT_SIDE = 64
_LEAST_DEEP_COLOUR = 64  # upper byte: below it, two or more of 16 bits are unused
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image file says.

    Attributes:
        width: Pixels.
        height: Pixels.
        is_grey: Whether it has no colours.
        is_transparent: Whether it may have transparent pixels.
        is_deep: Whether it is grey with more than 8 bits a pixel.
        is_deep_colour: Whether it is a colour image with 16 bits a channel, of which Pillow reads the upper 8.
    """

    width: int
    height: int
    is_grey: bool
    is_transparent: bool
    is_deep: bool
    is_deep_colour: bool


def read_headers(paths: Sequence[Path]) -> list[Header | None]:
    """Return what the header of every file says; None for a file that cannot be opened, which decoding will name."""
    return on_each(_header, paths)


def _header(path: Path, _in_thread: int | None) -> Header | None:
    try:
        with opened(path) as image:
            return Header(
                image.width,
                image.height,
                image.mode in _GREY_MODES,
                is_transparent(image),
                image.mode.startswith("I"),
                not image.mode.startswith("I") and _is_deep_colour(image),
            )
    except Exception:  # noqa: BLE001 -- as in `try_image`
        return None


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether the pixels in a file have 16 bits a channel, as Pillow's raw modes such as `RGB;16B` say."""
    return isinstance(image, ImageFile) and any("16" in str(tile.args) for tile in image.tile)


def choose_preprocessing(
    paths: Sequence[Path], headers: Sequence[Header | None], side: int, resize: Resize, max_pixels: int
) -> Preprocessing:
    """Return how the images of a data set become unsigned bytes.

    Args:
        paths: All its files, or a sample.
        headers: What their headers say.
        side: Height and width of the result in pixels.
        resize: How a picture becomes a square.
        max_pixels: Largest image that is decoded, in pixels.

    Raises:
        DataError: Colour images with 16 bits a channel use so few of them that nothing is left in the upper 8.
    """
    known = [(path, header) for path, header in zip(paths, headers, strict=True) if header is not None]
    deep = [path for path, header in known if header.is_deep]
    transparent = [path for path, header in known if header.is_transparent]
    deep_colour = [path for path, header in known if header.is_deep_colour]
    highest = max(_looked_at(_highest, deep, max_pixels), default=0)
    shades = _looked_at(_shade, spread(transparent, SAMPLE), max_pixels)
    _refuse_dark_colours(deep_colour, _looked_at(_brightest, spread(deep_colour, SAMPLE), max_pixels))
    return Preprocessing(
        side=side,
        channels=1 if all(header.is_grey for _, header in known) else 3,
        resize=resize,
        background=ground_for(shades),
        white=next(white for white in RANGES if highest <= white) if highest else RANGES[-1],
    )


def said_of_preprocessing(headers: Sequence[Header | None], chosen: Preprocessing) -> list[str]:
    """Return sentences on what was chosen, where there was a choice."""
    said = []
    known = [header for header in headers if header is not None]
    if any(header.is_transparent for header in known):
        name = {255: "white", 0: "black"}.get(chosen.background, "grey")
        said.append(f"Transparent pixels are put on {name}, on which the pictures show best")
    if any(header.is_deep for header in known) and chosen.white < RANGES[-1]:
        said.append(f"Files with 16 bits a pixel use values up to {chosen.white:,} only, which is taken as white")
    return said


def ground_for(shades: Sequence[float]) -> int:
    """Return the grey level on which the faintest pictures show most.

    Args:
        shades: Mean luminance of what each picture shows, in 0 to 255, shape (n,).
    """
    if not shades:
        return GROUNDS[0]
    seen = [float(np.quantile(np.abs(np.asarray(shades) - ground), _FAINTEST)) for ground in GROUNDS]
    return GROUNDS[int(np.argmax(seen))]


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Return at most `count` of the paths, evenly spaced."""
    if len(paths) <= count:
        return list(paths)
    return [paths[int(place)] for place in np.linspace(0, len(paths) - 1, count)]


Figure = TypeVar("Figure", int, float)


def _looked_at(look: Callable[[Image.Image], Figure | None], paths: Sequence[Path], max_pixels: int) -> list[Figure]:
    """Return what is found in images; those that cannot be read are passed over, which decoding will say."""

    def work(path: Path, in_thread: int | None) -> Figure | None:
        try:
            with opened(path) as image:
                refuse_bomb(image, max_pixels)
                refuse_large(image, in_thread)
                return look(image)
        except LargeImageError:
            raise
        except Exception:  # noqa: BLE001 -- as in `try_image`
            return None

    return [found for found in on_each(work, paths) if found is not None]


def _highest(image: Image.Image) -> int:
    """Return the highest value in a deep grey image."""
    return int(deep_pixels(image).max())


def _shade(image: Image.Image) -> float | None:
    """Return the mean luminance of what an image shows; None if it has no transparent pixel, or nothing else."""
    small = image.convert("RGBA").resize((_LOOKED_AT_SIDE, _LOOKED_AT_SIDE), Image.Resampling.NEAREST)
    weights = np.asarray(small.getchannel("A"), dtype=np.float64)
    if weights.min() == 255 or not weights.any():
        return None
    return float((np.asarray(small.convert("RGB").convert("L")) * weights).sum() / weights.sum())


def _brightest(image: Image.Image) -> int:
    """Return the highest value of any channel but alpha."""
    return max(int(np.asarray(image.getchannel(band)).max()) for band in image.getbands() if band != "A")


def _refuse_dark_colours(paths: Sequence[Path], brightest: Sequence[int]) -> None:
    if brightest and max(brightest) < _LEAST_DEEP_COLOUR:
        raise DataError(
            f"{paths[0]}: expected colours that use all of 16 bits, found {len(paths)} images with 16 bits a channel "
            f"whose values stay below {256 * (max(brightest) + 1):,} of 65,536; convert them to 8 bits"
        )


def sizes(headers: Sequence[Header | None]) -> Iterator[tuple[int, int]]:
    """Yield width and height of every image that could be opened."""
    for header in headers:
        if header is not None:
            yield header.width, header.height
