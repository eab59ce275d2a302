"""What is said of files that are not used as images."""

from collections import Counter

_SHOWN = 6
_REMEDIES = {
    ".heic": "convert them to JPEG, for example with the package pillow-heif",
    ".heif": "convert them to JPEG, for example with the package pillow-heif",
    ".hif": "convert them to JPEG, for example with the package pillow-heif",
    ".avif": "convert them to JPEG or PNG, for example with the package Pillow from 11.3 on",
    ".jxl": "convert them to JPEG or PNG, for example with the package pillow-jxl-plugin",
    ".jp2": "convert them to PNG, for example with the package Pillow",
    ".svg": "draw them as PNG, for example with the package cairosvg",
    ".dng": "develop them as JPEG, for example with the package rawpy",
    ".cr2": "develop them as JPEG, for example with the package rawpy",
    ".nef": "develop them as JPEG, for example with the package rawpy",
    ".arw": "develop them as JPEG, for example with the package rawpy",
    ".dcm": "convert them to 16-bit PNG, for example with the package pydicom",
    ".npy": "write them as PNG",
    ".zip": "unpack them",
}


def said_of_suffixes(counts: Counter[str]) -> str:
    """Return how many files of each suffix are left out and, for images, what reads them.

    Args:
        counts: Number of files by suffix, in lower case.
    """
    parts = [
        f"{count} {suffix}" + (f" ({_REMEDIES[suffix]})" if suffix in _REMEDIES else "")
        for suffix, count in sorted(counts.items(), key=lambda item: (item[0] not in _REMEDIES, -item[1]))[:_SHOWN]
    ]
    more = len(counts) - len(parts)
    return ", ".join(parts) + (f" and {more} more kinds" if more > 0 else "")


def format_by_content(start: bytes) -> str | None:
    """Return the name of an image format that is not read, by the first bytes of a file; None if it is none of them."""
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
            return "HEIC"
    return None
