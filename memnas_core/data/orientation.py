"""How a camera was held, read from EXIF data alone, whatever else these hold.

Phones store the rotation, not rotated pixels. Other tags are often malformed; Pillow's `exif_transpose` reads and
rewrites all of them, and refuses a good photo for one that is odd.

Source: EXIF 2.32, section 4.6.2 (structure of a directory) and 4.6.4 (tag 0x0112).
"""

import re
import struct

from PIL import Image, ImageOps

_TAG = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I"}  # byte, short, long, by the numbers that EXIF gives types
_MAX_TAGS = 1000
_XMP = re.compile(rb"""tiff:Orientation(?:=["']|>)([1-8])""")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """Return an image as it was seen; one whose orientation is unknown stays as it is."""
    if image.format == "TIFF":  # Pillow turns it while it reads the pixels
        image.load()
        return ImageOps.exif_transpose(image)
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return a number from 1 to 8; 1 means upright or unknown."""
    exif, xmp = image.info.get("exif") or _raw_profile(image), image.info.get("xmp")
    found = exif_orientation(exif) if isinstance(exif, bytes) else None
    if found is None and isinstance(xmp, bytes) and (match := _XMP.search(xmp)):
        found = int(match[1])
    return found or 1


def _raw_profile(image: Image.Image) -> bytes:
    """Return EXIF data that a PNG holds as text, in lines after name and length, as ImageMagick writes them."""
    text = image.info.get("Raw profile type exif")
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""
    except ValueError:
        return b""


def exif_orientation(exif: bytes) -> int | None:
    """Return the orientation in EXIF data, from 1 to 8; None if there is none that makes sense.

    Args:
        exif: The data, with or without `Exif` and two zero bytes before them.
    """
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    try:
        start: int = struct.unpack_from(f"{order}I", data, 4)[0]
        count: int = struct.unpack_from(f"{order}H", data, start)[0]
        for number in range(min(count, _MAX_TAGS)):
            place = start + 2 + 12 * number
            tag, kind, _ = struct.unpack_from(f"{order}HHI", data, place)
            if tag == _TAG and kind in _FORMATS:
                value: int = struct.unpack_from(f"{order}{_FORMATS[kind]}", data, place + 8)[0]
                return value if 1 <= value <= 8 else None
    except struct.error:  # the data end before the tag
        pass
    return None
