"""Writing files so that a reader sees a whole file or none, whatever is interrupted."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memnas_core.errors import StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors in writing into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{path}: the disk is full; free some space and go on with --resume") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(f"{path}: no permission to write; change it or set another store") from error
        raise StorageError(f"{path}: cannot be written: {error}; put that right or set another store") from error


@contextmanager
def errors_inside(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors about files in a folder into a `StorageError`, and leave other errors."""
    try:
        yield
    except OSError as error:
        path = None if error.filename is None else Path(os.fsdecode(error.filename))
        if path is None or not path.absolute().is_relative_to(folder.absolute()):
            raise
        with storage_errors(path):
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole: a reader sees the old file or the new one.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    with storage_errors(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` and rename it to `path` if the block succeeds.

    A folder that is already there is replaced; a reader sees the old one, none, or the new one.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                _flush(file)
            temporary.chmod(0o755)
            _flush(temporary)
            if path.exists():  # renamed first, because removing it file by file would show a reader a partial folder
                path.rename(temporary.with_name(f"{temporary.name}.old"))
            temporary.replace(path)
            _flush(path.parent)
            shutil.rmtree(temporary.with_name(f"{temporary.name}.old"), ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until the disk has a file or a folder: a rename must not be on disk before what it renames."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
