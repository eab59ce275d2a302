"""Files that a person names, or that a server writes at length: only plain files are written or replaced.

Somebody else may have put a link there, so that another file would be emptied, or the name may be a device's, which a
rename would remove.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from memnas_core.errors import InputError
from memnas_core.files.writing import storage_errors


def refuse_special(path: Path, what: str) -> None:
    """Raise an error where something other than a plain file has an output's name.

    Args:
        path: Place of the output; nothing need be there.
        what: What names it, such as `--plot`.

    Raises:
        InputError: A link, device, pipe, socket or folder is there.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # nothing is there, or writing will say what is wrong
        return
    if not stat.S_ISREG(mode):
        raise InputError(f"{what}: expected a plain file or none at {path}, found {_kind(mode)}; name another")


def refuse_unplain(path: Path) -> None:
    """Raise an error where something else than a plain file with this one name is at a place that will be written to.

    Args:
        path: Place of a lock or a log; nothing need be there.

    Raises:
        OSError: A link, a second name of another file, a device, pipe, socket or folder is there.
    """
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    _check_plain(facts)


def open_log(path: Path) -> BinaryIO:
    """Return a file to which a log is appended; a link at its place is not followed, and a pipe or device not opened.

    Raises:
        StorageError: Something else than a plain file is there, or it cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_unplain(path)
        # Somebody may have changed it since. A pipe without a reader would block.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            _check_plain(os.fstat(descriptor))
        except OSError:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "ab")


def _check_plain(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        kind = "a second name of another file" if stat.S_ISREG(facts.st_mode) else _kind(facts.st_mode)
        raise OSError(errno.EINVAL, f"expected a plain file, found {kind}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
