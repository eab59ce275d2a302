"""Downloads by torchvision, one process at a time, with errors that say what to do instead."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from memnas_core.data.storage import exclusive
from memnas_core.errors import DataError, StorageError

STALLED_SECONDS = 60
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


@contextmanager
def downloading(name: str, folder: Path, by_hand: str) -> Iterator[None]:
    """Run a block that lets torchvision download into a folder.

    torchvision checks files against their published MD5 sums, completes what a killed download left, and asks
    nobody when all is there.

    Args:
        name: The data set, for messages.
        folder: Made if missing; a lock file in it keeps a second process from downloading at the same time.
        by_hand: What to do without a network, as a clause.

    Raises:
        DataError: The download is impossible or brings the wrong bytes.
        StorageError: The folder cannot be written.
    """
    with exclusive(folder / ".download.lock"):
        # urllib takes no time limit from torchvision and would wait for a silent server for ever.
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
