"""Writing that a kill, a full disk or a second process cannot spoil."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memnas_core.storage import storage_errors

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block; the operating system frees the lock of a dead one.

    Args:
        lock: Lock file, made with its folder and left there (removing it would let two processes in).

    Raises:
        StorageError: The lock file cannot be made.
    """
    with storage_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        try:
            held.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process that works on %s", lock.parent)
            held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def replaced_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `folder` only if the block succeeds.

    Only for a caller that holds the lock of `folder`: then a draft that is there was left by a killed
    process.

    Raises:
        StorageError: A folder cannot be made or renamed.
    """
    draft, old = folder.with_name(f".{folder.name}.draft"), folder.with_name(f".{folder.name}.old")
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with storage_errors(folder):
        draft.mkdir(parents=True)
    try:
        yield draft
        with storage_errors(folder):
            for path in (*draft.iterdir(), draft):
                _sync(path)
            if folder.exists():
                folder.rename(old)
            draft.rename(folder)
            _sync(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until the disk has it: a rename must not be on disk before what it renames."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
