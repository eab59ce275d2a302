"""One process at a time; the operating system frees the lock of a process that has died."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memnas_core.errors import MemnasError
from memnas_core.files.outputs import refuse_unplain
from memnas_core.files.writing import storage_errors

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(lock: Path, busy: MemnasError | None = None) -> Iterator[None]:
    """Let one process at a time into the block.

    Args:
        lock: Lock file. It is made with its folder and left there: removing it would let two processes in.
        busy: Error to raise if another process is in the block; None: wait for that process.

    Raises:
        StorageError: The lock file cannot be made, or something else than a plain file is there.
    """
    with storage_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        refuse_unplain(lock)  # locking empties the file
        held = FileLock(lock)
        try:
            held.acquire(timeout=0)
        except Timeout:
            if busy is not None:
                raise busy from None
            _log.warning("Waiting for another process that works on %s (its lock is %s).", lock.parent, lock)
            held.acquire()
    try:
        yield
    finally:
        held.release()
