"""A guard that ends all processes of a search that was killed.

What a search starts normally ends with it, except for Prefect's server, where none was running, and agents of a Ray
cluster: they outlive SIGKILL, which no process can handle. A small process of its own waits until the search
is gone and ends what is left of it.

Processes are recognised by an environment variable, which children inherit, even those whose parent is gone.
"""

import atexit
import os
import subprocess
import sys
import time
from contextlib import suppress
from uuid import uuid4

import psutil

MARK = "MEMNAS_SEARCH"
"""Variable that holds the id of the process tree of a search."""

SECONDS = 3.0
"""Time in which a process that was being started when the search was killed may still appear."""


def guard_this_process() -> None:
    """Make sure that all processes that this one starts from now on, and their children, end if this one is killed."""
    mark = uuid4().hex
    reader, writer = os.pipe()  # the system closes the writer, however this process ends; no child inherits it
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    # By its file, as it needs nothing else of this package, and a module of this name may be somebody else's.
    # The guard has its own session, so that whatever kills the search's process group spares it.
    guard = subprocess.Popen(
        [sys.executable, "-P", __file__, mark], stdin=reader, env=environment, start_new_session=True
    )
    os.close(reader)
    os.environ[MARK] = mark
    atexit.register(_dismiss, guard, writer)  # runs last: functions registered later run earlier


def _dismiss(guard: "subprocess.Popen[bytes]", writer: int) -> None:
    guard.kill()
    guard.wait()
    os.close(writer)


def end_marked(mark: str, seconds: float) -> None:
    """End all processes that carry a mark, including those that appear within the next seconds."""
    deadline = time.monotonic() + seconds
    while True:
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended meanwhile, or belongs to another user
                if process.environ().get(MARK) == mark:
                    process.kill()
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_marked(sys.argv[1], SECONDS)
