"""No process outlives a search that was killed.

What a search starts ends with it, but for the server that Prefect starts where none is running, and agents of a Ray
cluster: SIGKILL lets nobody stop those. A small process of its own waits for the search to be gone and ends what is
left of it then.

Processes are known by a variable in their environment, which children inherit, also those whose parent is gone.
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
"""So long a process may take to appear that was being started when the search was killed."""


def guard_this_process() -> None:
    """Have all processes that this one starts from now on, and theirs, ended should this one be killed."""
    mark = uuid4().hex
    reader, writer = os.pipe()  # the system closes the writer, whatever ends this process; no child inherits it
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    # A session of its own: what kills the search's process group spares it.
    guard = subprocess.Popen(
        [sys.executable, "-m", "flows.guard", mark], stdin=reader, env=environment, start_new_session=True
    )
    os.close(reader)
    os.environ[MARK] = mark
    atexit.register(_dismiss, guard, writer)  # called last: what is registered later is called earlier


def _dismiss(guard: "subprocess.Popen[bytes]", writer: int) -> None:
    guard.kill()
    guard.wait()
    os.close(writer)


def end_marked(mark: str, seconds: float) -> None:
    """End all processes of a mark, also those that appear in the next seconds."""
    deadline = time.monotonic() + seconds
    while True:
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended meanwhile, or is somebody else's
                if process.environ().get(MARK) == mark:
                    process.kill()
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_marked(sys.argv[1], SECONDS)
