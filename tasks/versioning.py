"""DVC: versions of the prepared data and of each round's record.

The store is a DVC repository of its own, without git. So nothing appears in the user's git checkout, a search
works outside git, and `dvc status`, `dvc checkout` and `dvc push` work inside the store. A DVC project around
it, such as the one with this project's `dvc.yaml`, skips it, as DVC does with every repository inside
another.

DVC's cache and the store hold the same files as hard links, so a version costs no second copy on disk. DVC
makes them read-only. Whoever changes such a file must put a new one in its place, as `memnas_core.storage`
does, and never write into it: that would change the version too. DVC takes a read-only file of its cache for what
its name says and would put a damaged one back into the place of a repaired one; so whatever is added is compared
with what the cache has under its name.

A store may have a remote, which gets copies of its versions.
"""

import errno
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Self, TypeVar

from memnas_core.errors import VersioningError
from memnas_core.storage import storage_errors, write_text
from tasks.remote import CONFIG, READ_SECONDS, REMOTE, name_remote, remote_config

os.environ.setdefault("DVC_NO_ANALYTICS", "1")

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.ui import ui
from dvc_data.hashfile.db import get_index
from dvc_data.hashfile.transfer import transfer
from rich.console import Console

# The search draws on the terminal and DVC must not: neither bars, for which it asks the loggers' level, nor
# spinners. What goes wrong arrives as an exception.
for _name in ("dvc", "dvc_data", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
ui.error_console = Console(quiet=True)

LOCK_SECONDS = 20.0
"""DVC lets one process at a time into a repository; so long others wait for their turn."""

# DVC looks for versions in every folder of the store. These hold none and grow large.
_IGNORED = """\
/mlartifacts
/mlflow*
/searches/*/trainings
.*.lock
"""

Result = TypeVar("Result")


class Versions:
    """The DVC repository of a store."""

    def __init__(self, root: Path, remote: str | None, lock_seconds: float) -> None:
        self.root = root
        self.remote = remote
        self._lock_seconds = lock_seconds

    @classmethod
    def open(cls, store: Path, remote: str | None = None, lock_seconds: float = LOCK_SECONDS) -> Self:
        """Open the DVC repository of a store; the first time, make it.

        Args:
            store: The store.
            remote: URL of the remote that `push` copies to; None: nothing is pushed.
            lock_seconds: How long to wait for other processes.

        Args:
            store: The store.
            lock_seconds: How long to wait while another process uses the repository.

        Raises:
            StorageError: The disk is full or the store not writable.
        """
        with storage_errors(store):
            store.mkdir(parents=True, exist_ok=True)
        root = store.resolve()
        # The configuration makes a folder a repository, so it comes last and as a whole.
        for path, text in ((root / ".dvcignore", _IGNORED), (root / ".dvc" / "config", CONFIG)):
            if not path.is_file():
                write_text(path, text)
        if remote is not None:
            remote = name_remote(root / ".dvc" / "config", remote)
        return cls(root, remote, lock_seconds)

    def add(self, path: Path) -> str:
        """Make a version of a folder or file of the store.

        Its files become read-only. `PATH.dvc`, written beside it, names the version.

        Returns:
            DVC's hash of the content; that of a folder ends in `.dir`.

        Raises:
            VersioningError: The path is missing, outside the store or holds other versions, or the repository
                stays locked.
            StorageError: The disk is full or the store not writable.
        """
        target = self._inside(path)
        if not target.exists():
            raise VersioningError(f"{path}: expected a folder or file to version, found nothing")
        with self._translated(f"add {path}"):
            self._remove_damaged(target)
            return self._run(lambda repository: str(repository.add(str(target))[0].outs[0].hash_info.value))

    def restore(self, path: Path) -> None:
        """Bring back what is missing of a folder or file, from the version that `PATH.dvc` names.

        Raises:
            VersioningError: There is no version, its content is lost, or a file there was changed since; then
                nothing is overwritten.
            StorageError: The disk is full or the store not writable.
        """
        target = self._inside(path)
        pointer = target.with_name(f"{target.name}.dvc")
        if not pointer.is_file():
            raise VersioningError(f"{path}: expected a version to restore, found no {pointer}")
        # On a terminal DVC would ask whether to overwrite changed files; without one it refuses.
        with self._translated(f"restore {path}"), redirect_stdout(StringIO()):
            self._run(lambda repository: repository.checkout(targets=[str(pointer)]))

    def _remove_damaged(self, target: Path) -> None:
        """Remove from the cache what goes by the name of one of these files and is another."""
        for path in (target,) if target.is_file() else target.rglob("*"):
            if path.is_file() and path.stat().st_nlink == 1:  # a second link is the cache's: the same file
                digest = _md5(path)
                cached = self.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
                if cached.is_file() and _md5(cached) != digest:
                    cached.unlink()

    def push(self, paths: Sequence[Path]) -> None:
        """Copy the versions of folders or files to the remote, unless they are there.

        Nothing is locked meanwhile: a version never changes, and a slow remote must not keep others from adding.

        Args:
            paths: What was added.

        Raises:
            VersioningError: The remote does not answer or refuses, or a version is no longer in DVC's cache.
        """
        assert self.remote is not None, "asked for where there is one"
        config = self._own_config() | remote_config(self.remote, READ_SECONDS)
        try:
            with Repo(str(self.root), config=config) as repository:
                hashes = [out.hash_info for path in paths for out in repository.stage.load_one(f"{path}.dvc").outs]
                cache, remote = repository.cache.local, repository.cloud.get_remote_odb(REMOTE)
                # DataCloud.push would leave out what is in folders.
                result = transfer(cache, remote, hashes, dest_index=get_index(remote), cache_odb=cache, shallow=False)
                there = remote.oids_exist([found.value for found in hashes])
        except Exception as error:  # each kind of remote has its own
            found = " ".join(str(error).split()) or type(error).__name__
            raise VersioningError(f"cannot copy to {self.remote}: {found}") from error
        if result.failed or len(set(there)) < len({found.value for found in hashes}):
            raise VersioningError(
                f"cannot copy to {self.remote}: it did not take some files, or they are no longer in the store's cache"
            )

    def _own_config(self) -> dict[str, object]:
        # DVC would keep its index in a folder that all projects of the machine share.
        return {"core": {"site_cache_dir": str(self.root / ".dvc" / "tmp")}}

    def _inside(self, path: Path) -> Path:
        target = path.resolve()
        if not target.is_relative_to(self.root) or target == self.root:
            raise VersioningError(f"{path}: expected something inside the store {self.root}")
        return target

    def _run(self, operation: Callable[[Repo], Result]) -> Result:
        """Do something with the repository as soon as no other process uses it."""
        deadline = time.monotonic() + self._lock_seconds
        while True:
            try:
                with Repo(str(self.root), config=self._own_config()) as repository:
                    return operation(repository)
            except LockError:  # DVC itself has waited for 3 s
                if time.monotonic() > deadline:
                    raise

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        """Turn what DVC raises into errors that say what to do."""
        try:
            yield
        except LockError as error:
            raise VersioningError(
                f"cannot {action}: another process keeps the DVC repository {self.root} locked; let it "
                "finish and go on with --resume"
            ) from error
        except (DvcException, OSError, sqlite3.Error) as error:
            with storage_errors(self.root):
                _raise_storage_cause(error)
            raise VersioningError(f"cannot {action}: {' '.join(str(error).split())}") from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _raise_storage_cause(error: BaseException) -> None:
    """Raise the full disk or the missing permission behind one of DVC's errors, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EACCES,
            errno.EROFS,
        ):
            raise cause
        if isinstance(cause, sqlite3.Error) and ("full" in str(cause) or "disk I/O" in str(cause)):
            raise OSError(errno.ENOSPC, str(cause)) from cause  # met by DVC's index, which is an SQLite file
        cause = cause.__cause__ or cause.__context__
