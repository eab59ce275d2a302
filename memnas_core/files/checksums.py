"""Checksums of a record's files, in a file beside them that `sha256sum --check` can read too.

A file may look whole to its reader and still differ from what was written: a bit has flipped, a disk was full,
somebody edited it. Files from which a search goes on are therefore compared with their checksums.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.files.untrusted import read_text, refuse_endless
from memnas_core.files.writing import write_text

SUMS_FILE = "SHA256SUMS"


def write_sums(folder: Path, names: Collection[str] | None = None) -> None:
    """Write the checksums of a folder's files.

    Args:
        folder: Folder of the record.
        names: Paths in the folder; None for all files but hidden ones.

    Raises:
        StorageError: The disk is full or the folder not writable.
        OSError: A file cannot be read.
    """
    found = {name: _digest(folder / name) for name in sorted(_names(folder) if names is None else names)}
    write_text(folder / SUMS_FILE, "".join(f"{digest}  {name}\n" for name, digest in found.items()))


def check_sums(folder: Path, names: Collection[str] | None = None) -> None:
    """Compare a folder's files with their checksums (about 1.5 GB a second).

    Args:
        folder: Folder of the record.
        names: Paths in the folder, each of which must have a checksum; None for all files that have a checksum, in
            which case there must be no other files but hidden ones.

    Raises:
        RecordError: A file or a checksum is missing or was changed.
    """
    sums = read_sums(folder)
    wanted = sorted(sums if names is None else names)
    for name in wanted:
        if name not in sums:
            raise RecordError(f"{folder / SUMS_FILE}: expected a checksum of {name}, found none")
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise RecordError(f"{folder / name}: expected the file that was written, found {error}") from error
        if found != sums[name]:
            raise RecordError(
                f"{folder / name}: expected the file that was written (SHA-256 {sums[name][:12]}), found a changed one "
                f"({found[:12]})"
            )
    if names is None and (others := sorted(_names(folder) - set(sums))):
        raise RecordError(f"{folder / SUMS_FILE}: expected a checksum of {others[0]}, found none")


def read_sums(folder: Path) -> Mapping[str, str]:
    """Return the checksums of a folder's files, path in the folder -> SHA-256.

    Raises:
        RecordError: There are no checksums, or they are damaged.
    """
    path = folder / SUMS_FILE
    try:
        pairs = [line.split("  ", 1) for line in read_text(path).splitlines()]
        sums = {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: expected checksums, found {error}") from error
    for name in sums:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise RecordError(f"{path}: expected files of this folder, found {name!r}")
    return sums


def _names(folder: Path) -> set[str]:
    paths = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    hidden = {path for path in paths if any(part.startswith(".") for part in path.parts)}
    return {path.as_posix() for path in paths - hidden} - {SUMS_FILE}


def _digest(path: Path) -> str:
    refuse_endless(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
