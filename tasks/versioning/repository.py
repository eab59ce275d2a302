"""DVC: versions of the prepared data and of each round's record.

The store is a DVC repository of its own, without git. So nothing appears in the user's git checkout, a search works
outside git, and `dvc status`, `dvc checkout` and `dvc push` work inside the store. A DVC project around it, such as the
one with this project's `dvc.yaml`, skips it, as DVC does with every repository inside another.

DVC's cache and the store hold the same files as hard links, so a version costs no second copy on disk. DVC makes them
read-only. To change such a file, put a new one in its place, as `memnas_core.files.writing` does; writing into it would
change the version too. DVC trusts the name of a read-only file in its cache, and so would overwrite a repaired file
with a damaged one from the cache. Therefore everything that is added is compared with the cache's file of that name.

A pointer (`PATH.dvc`) names the git commit of the project in which its version was made, where there is one:
`grep -r COMMIT --include='*.dvc' STORE` finds the versions of a commit.

A store may have a remote, which receives copies of its versions.
"""

import errno
import hashlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.ui import ui
from dvc_data.hashfile.db import get_index
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree
from rich.console import Console

from memnas_core.errors import VersioningError
from memnas_core.files.outputs import refuse_unplain
from memnas_core.files.writing import storage_errors, write_text
from tasks.versioning.project import project_of
from tasks.versioning.remote import CONFIG, READ_SECONDS, REMOTE, name_remote, name_site_cache, remote_config

# DVC must not draw on the terminal, which the search uses: neither bars, which depend on the level of the loggers, nor
# spinners. Errors arrive as exceptions.
for _name in ("dvc", "dvc_data", "dvc_objects"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
ui.error_console = Console(quiet=True)

LOCK_SECONDS = 20.0
"""Time that others wait for their turn, as DVC lets only one process at a time into a repository."""

# DVC looks for versions in every folder of the store. These folders hold none and grow large.
_IGNORED = """\
/mlartifacts
/mlflow*
/searches/*/trainings
.*.lock
"""

_DVC_LOCKS = ("lock", "rwlock", "rwlock.lock")
"""Files in `.dvc/tmp` that DVC writes to, following links."""

Result = TypeVar("Result")


class Versions:
    """The DVC repository of a store.

    Attributes:
        root: The store.
        remote: URL of the remote that `push` copies to; None for none.
        project: The git commit of this process's working directory, by its name in pointers; empty for none.
    """

    def __init__(self, root: Path, remote: str | None, lock_seconds: float) -> None:
        self.root = root
        self.remote = remote
        self.project = project_of(Path.cwd())
        self._lock_seconds = lock_seconds

    @classmethod
    def open(cls, store: Path, remote: str | None = None, lock_seconds: float = LOCK_SECONDS) -> Self:
        """Open the DVC repository of a store, creating it the first time.

        Args:
            store: The store.
            remote: URL of the remote that `push` copies to; None if nothing is to be pushed.
            lock_seconds: How long to wait while another process uses the repository.

        Raises:
            StorageError: The disk is full or the store not writable.
        """
        with storage_errors(store):
            store.mkdir(parents=True, exist_ok=True)
        root = store.resolve()
        # The configuration makes a folder a repository, so it is written last and atomically.
        for path, text in ((root / ".dvcignore", _IGNORED), (root / ".dvc" / "config", CONFIG)):
            if not path.is_file():
                write_text(path, text)
        with storage_errors(root):
            _keep_to_ourselves(_site_cache(root) / "repo")
            for name in _DVC_LOCKS:  # locking empties the file
                refuse_unplain(root / ".dvc" / "tmp" / name)
        name_site_cache(root / ".dvc" / "config", _site_cache(root))
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
            return self._run(lambda repository: self._add(repository, target))

    def _add(self, repository: Repo, target: Path) -> str:
        pointer = f"{target}.dvc"
        known = repository.stage.load_one(pointer).outs[0].hash_info if Path(pointer).exists() else None
        (stage,) = repository.add(str(target))
        if self.project and (known != stage.outs[0].hash_info or not stage.meta):
            stage.meta = self.project
            with repository.lock:
                stage.dump()
        return str(stage.outs[0].hash_info.value)

    def _remove_damaged(self, target: Path) -> None:
        """Remove from the cache every file that has the name of one of these files but other content."""
        for path in (target,) if target.is_file() else target.rglob("*"):
            if path.is_file() and path.stat().st_nlink == 1:  # a second link would be the cache's: the same file
                digest = _md5(path)
                cached = self.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
                if cached.is_file() and _md5(cached) != digest:
                    cached.unlink()

    def push(self, paths: Sequence[Path]) -> None:
        """Copy the versions of folders or files to the remote, unless they are already there.

        Nothing is locked meanwhile: versions never change, and a slow remote must not keep others from adding.

        Args:
            paths: Folders or files that were added.

        Raises:
            VersioningError: The remote does not answer or refuses, or a version is no longer in DVC's cache.
        """
        assert self.remote is not None, "asked for where there is one"
        config = self._own_config() | remote_config(self.remote, READ_SECONDS)
        try:
            with Repo(str(self.root), config=config) as repository:
                hashes = [out.hash_info for path in paths for out in repository.stage.load_one(f"{path}.dvc").outs]
                cache, remote = repository.cache.local, repository.cloud.get_remote_odb(REMOTE)
                # DataCloud.push would leave out the contents of folders.
                result = transfer(cache, remote, hashes, dest_index=get_index(remote), cache_odb=cache, shallow=False)
                # What transfer says of the contents of a folder that the cache lacks is not the same every time.
                wanted = {found.value for found in hashes}
                for folder in (found for found in hashes if found.isdir):
                    wanted |= {entry.value for _, _, entry in Tree.load(cache, folder)}
                there = set(remote.oids_exist(list(wanted)))
        except Exception as error:  # each kind of remote has its own exceptions
            found = " ".join(str(error).split()) or type(error).__name__
            raise VersioningError(f"cannot copy to {self.remote}: {found}") from error
        if result.failed or not wanted <= there:
            raise VersioningError(
                f"cannot copy to {self.remote}: it did not take some files, or they are no longer in the store's cache"
            )

    def _own_config(self) -> dict[str, object]:
        return {"core": {"site_cache_dir": str(_site_cache(self.root))}}

    def _inside(self, path: Path) -> Path:
        target = path.resolve()
        if not target.is_relative_to(self.root) or target == self.root:
            raise VersioningError(f"{path}: expected something inside the store {self.root}")
        return target

    def _run(self, operation: Callable[[Repo], Result]) -> Result:
        """Run an operation on the repository as soon as no other process uses it."""
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
        """Turn DVC's exceptions into errors that say what to do."""
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


def _site_cache(root: Path) -> Path:
    """Return the folder of DVC's index, which holds pickles; by default everybody on the machine may write to it."""
    return root / ".dvc" / "tmp"


def _keep_to_ourselves(folder: Path) -> None:
    """Make a folder that not everybody may write to; DVC itself would make it for everybody."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_mode & stat.S_IWOTH and facts.st_uid == os.geteuid():
        folder.chmod(stat.S_IMODE(facts.st_mode) & ~stat.S_IWOTH)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _raise_storage_cause(error: BaseException) -> None:
    """Raise the full disk or missing permission that caused one of DVC's errors, if there is one."""
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
            raise OSError(errno.ENOSPC, str(cause)) from cause  # raised by DVC's index, which is an SQLite file
        cause = cause.__cause__ or cause.__context__
