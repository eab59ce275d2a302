"""Downloads by torchvision, one process at a time, with errors that say what to do instead."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from memnas_core.errors import DataError, StorageError
from memnas_core.files.locks import exclusive

STALLED_SECONDS = 60
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


@contextmanager
def downloading(name: str, folder: Path, by_hand: str) -> Iterator[None]:
    """Run a block that lets torchvision download into a folder.

    torchvision checks files against their published MD5 sums, completes a download that was killed, and downloads
    nothing if all files are there.

    Args:
        name: Name of the data set, for messages.
        folder: Folder of the download, made if missing; a lock file in it lets only one process download at a time.
        by_hand: Clause for messages that says how to get the files without a network.

    Raises:
        DataError: The download fails or brings the wrong bytes.
        StorageError: The folder cannot be written.
    """
    with exclusive(folder / ".download.lock"):
        # torchvision gives urllib no time limit, so it would wait for a silent server forever.
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(STALLED_SECONDS)
        try:
            yield
        except (OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise StorageError(f"{folder}: cannot be written: {reason}; free some space there") from error
            raise DataError(
                f"{name}: expected intact files in {folder} or a working download, found: {reason}; {by_hand}"
            ) from error
        finally:
            socket.setdefaulttimeout(before)
