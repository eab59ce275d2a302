"""Copies of a search's versions on the team's DVC remote, made while the search runs.

A thread of its own does the copying, so that a slow remote slows no round. A remote that does not answer causes one
line of warning; what was not copied is tried again with the next version, at the end, and when the search is resumed.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import Self

from memnas_core.errors import MemnasError
from tasks.versioning.repository import Versions


class Pushing:
    """Copies versions to the remote of a store, in the order they arrive; without a remote it does nothing."""

    def __init__(
        self, versions: Versions, publish: Callable[[Sequence[Path]], None], say: Callable[[str], None]
    ) -> None:
        """Start a thread that waits for versions.

        Args:
            versions: The store's repository.
            publish: Called with the folders whose versions have been copied; may raise a `MemnasError`.
            say: Shows a line to the user.
        """
        self._versions = versions
        self._publish = publish
        self._say = say
        self._waiting: list[Path] = []  # used only by the thread
        self._arriving: queue.SimpleQueue[Path | None] = queue.SimpleQueue()  # None: the search has ended
        self._trouble = ""
        # In the caller's context, so that what it says is in the log of the same run.
        self._thread = threading.Thread(target=copy_context().run, args=[self._work], name="pushing", daemon=True)

    def __enter__(self) -> Self:
        if self._versions.remote is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all is copied or was tried once more; a search that fails or is stopped does not wait."""
        if self._versions.remote is None or error is not None:
            return
        self._arriving.put(None)
        self._thread.join(timeout=1)
        if self._thread.is_alive():
            self._say(f"Copying the last versions to {self._versions.remote} ...")
            self._thread.join()
        if self._waiting:
            self._say(
                f"{len(self._waiting)} versions are not yet at the DVC remote ({self._trouble}). Nothing is lost: they "
                f"are in {self._versions.root}; once the remote answers, run `dvc push` there."
            )

    def push(self, path: Path) -> None:
        """Queue the copying of a folder's version and return at once."""
        if self._versions.remote is not None:
            self._arriving.put(path)

    def _work(self) -> None:
        ending = False
        while not ending:
            arrived = [self._arriving.get()]
            while not self._arriving.empty():
                arrived.append(self._arriving.get())
            ending = None in arrived
            self._waiting += [path for path in arrived if path is not None]
            if self._waiting:
                self._try()

    def _try(self) -> None:
        try:
            self._versions.push(self._waiting)
            self._publish(self._waiting)
        except MemnasError as error:
            if not self._trouble:  # warn once, until it has worked again
                self._say(f"{error}. The search goes on, and tries again after each round and at its end.")
            self._trouble = str(error)
        else:
            if self._trouble:
                self._say(f"The DVC remote takes copies again: {len(self._waiting)} versions.")
            self._trouble = ""
            self._waiting.clear()
