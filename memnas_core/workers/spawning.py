"""How a worker process is started, so that it has nothing of its parent's but what it is given."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""With it Python does not look for modules in the current folder, where `-m` and `-c` would begin to look."""


@contextmanager
def safe_path() -> Iterator[None]:
    """Make children that start in the block look for no modules in the current folder, whoever calls."""
    before = {name: os.environ.get(name) for name in SAFE_PATH}
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def spared_by_ctrl_c() -> Iterator[None]:
    """Let processes that start in the block not see Ctrl-C, which reaches the whole group: their parent decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, also before Python has begun
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_main() -> Iterator[None]:
    """Let processes that are spawned in the block not run the parent's program.

    Python's `spawn` runs the file of `__main__` again in each child, which would begin a script's search once more
    where nobody wrote `if __name__ == "__main__"`. Workers need nothing of it: what they run is in modules.
    """
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before
