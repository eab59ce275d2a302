"""What turns an image file into the unsigned bytes that a network is trained on, one file at a time.

In this order: the file is decoded, turned upright as its EXIF orientation says, scaled to 8 bits, resized to a square,
put on a ground where it is transparent, and converted to grey or RGB. What comes after (1/255, mean, standard
deviation) is the network's part and stands in `DatasetInfo`.
"""

import stat
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from memnas_core.data.in_threads import LargeImageError, own_limits, refuse_large
from memnas_core.data.leftovers import format_by_content
from memnas_core.data.orientation import upright
from memnas_core.data.resizing import FILTER, to_square
from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError
from memnas_core.settings.kinds import Resize, Side

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that a file may have, whatever its name. Pillow knows more, among them PostScript, for which it starts
an interpreter that runs the file as a program."""

MAX_FILE_BYTES = 2**29
MAX_PIXELS = 89_478_485  # Pillow's own limit, 256 MiB as RGB

Level = Annotated[int, Field(ge=0, le=255)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class Preprocessing:
    """Everything that decides which bytes a file becomes.

    Attributes:
        side: Height and width of the result in pixels.
        channels: 1 for grey, 3 for red, green and blue in this order.
        resize: How a picture that is no square becomes one: `center_crop` scales the shorter side and cuts the centre
            out, `squash` scales both sides, `letterbox` scales the longer side and fills the rest.
        filter: The resampling filter: Pillow's `Image.Resampling.BILINEAR`, a triangle that widens as an image shrinks.
        letterbox_fill: Grey level of what letterbox fills, 0 to 255.
        exif_rotation: Whether the picture is turned upright as its EXIF orientation says.
        background: Grey level that transparent pixels are put on, 0 to 255.
        white: Value that stands for white in grey files with 16 bits a pixel; their values are multiplied by
            255 / white. Files with 8 bits are not touched.
    """

    side: Side
    channels: Literal[1, 3]
    resize: Resize
    filter: Literal["triangle"] = FILTER
    letterbox_fill: Level = 127
    exif_rotation: bool = True
    background: Level = 255
    white: Annotated[int, Field(ge=1, le=65_535)] = 65_535


def read_image(path: Path, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Return the bytes that a network is given for one file, before normalisation.

    Args:
        path: The file.
        preprocessing: As recorded with the images that the network was trained on.
        max_pixels: Largest image that is decoded, in pixels.

    Returns:
        uint8, shape (channels, side, side).

    Raises:
        DataError: The file is no image that can be read; the message says why.
    """
    with own_limits():
        found = try_image(path, preprocessing, max_pixels)
    if isinstance(found, str):
        raise DataError(f"{path}: expected an image, found {found}; replace it")
    return found


def try_image(
    path: Path, preprocessing: Preprocessing, max_pixels: int, in_thread: int | None = None
) -> ImageArray | str:
    """Return as `read_image`, or the reason why the file cannot be read; to be called within `own_limits`.

    Raises:
        LargeImageError: The image has more pixels than `in_thread`.
    """
    try:
        return _read(path, preprocessing, max_pixels, in_thread)
    except UnidentifiedImageError:
        return unidentified(path)
    except LargeImageError:
        raise
    # Pillow's decoders raise nearly anything for damaged bytes; whatever it is, this file is the cause.
    except Exception as error:  # noqa: BLE001
        return str(error) or type(error).__name__


def _read(path: Path, preprocessing: Preprocessing, max_pixels: int, in_thread: int | None) -> ImageArray:
    side = preprocessing.side
    image = _turned(path, preprocessing, max_pixels, in_thread)
    image = _eight_bits(image, preprocessing.white)  # under one name, as each may take hundreds of megabytes
    working = _working_mode(image, preprocessing.channels)
    if image.mode != working:  # `convert` would copy
        image = image.convert(working)
    square = to_square(image, side, preprocessing.resize, preprocessing.letterbox_fill)
    mode = "L" if preprocessing.channels == 1 else "RGB"
    pixels = np.asarray(_on_ground(square, preprocessing.background).convert(mode))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _turned(path: Path, preprocessing: Preprocessing, max_pixels: int, in_thread: int | None) -> Image.Image:
    """Return a decoded image, as its camera was held."""
    with opened(path) as image:
        refuse_bomb(image, max_pixels)
        image.draft(None, (2 * preprocessing.side, 2 * preprocessing.side))  # a JPEG at half, a quarter or an eighth
        refuse_large(image, in_thread)
        image.load()
        return upright(image) if preprocessing.exif_rotation else image


def opened(path: Path) -> Image.Image:
    """Return an image of which only the header is read; a pipe or device is not opened, as it may have no end."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("a pipe or device, no file")
    if facts.st_size > MAX_FILE_BYTES:
        raise ValueError(f"{facts.st_size:,} bytes are more than {MAX_FILE_BYTES:,}")
    return Image.open(path, formats=FORMATS)


def refuse_bomb(image: Image.Image, max_pixels: int) -> None:
    """Raise an error if the header of an image gives too large a size, before anything is decoded."""
    if image.width * image.height > max_pixels:
        raise ValueError(
            f"{image.width}x{image.height} pixels are more than {max_pixels}; raise data.max_pixels if it is yours"
        )


def unidentified(path: Path) -> str:
    """Return why a file is no image that is read."""
    try:
        with path.open("rb") as file:
            name = format_by_content(file.read(16))
    except OSError:
        name = None
    return f"{name}, whatever its name says; convert it to JPEG" if name else "no image of a known format"


def is_transparent(image: Image.Image) -> bool:
    """Whether an image may have transparent pixels, by its header."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def deep_pixels(image: Image.Image) -> ImageArray:
    """Return the values of a grey image with more than 8 bits a pixel, int, shape (height, width).

    Raises:
        ValueError: They are not within 16 bits.
    """
    wide = np.asarray(image)
    if wide.min() < 0 or wide.max() > 65_535:
        raise ValueError("more than 16 bits a pixel; convert it to 8 bits")
    return wide


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels; convert it to 8 bits")
    if not image.mode.startswith("I"):
        return image
    levels = (np.arange(2**16).clip(max=white) * 255 + white // 2) // white
    return Image.fromarray(levels.astype(np.uint8)[deep_pixels(image)])


def _working_mode(image: Image.Image, channels: int) -> str:
    """Return the mode to resize in: with transparency where there is any, so that hidden colours do not bleed."""
    if is_transparent(image):
        return "RGBA"
    return "L" if channels == 1 else "RGB"


def _on_ground(image: Image.Image, level: int) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (level, level, level, 255)), image)
