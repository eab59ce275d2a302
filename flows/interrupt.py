"""Ctrl-C and SIGTERM: end within seconds and leave no process behind.

Everything a search keeps is written as a whole or not at all, so that a running search may be left at any moment. The
first signal marks its runs as stopped, ends every child process (workers, and the server that Prefect starts when
none is running) and leaves. Prefect's own way waits for running tasks, which may take minutes.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

GRACE_SECONDS = 2.0
FAREWELL_SECONDS = 0.5
EXIT_CODE = 130  # what shells expect of a program that Ctrl-C ended


@contextmanager
def ending_on_signals(farewell: str) -> Iterator[list[Callable[[], None]]]:
    """Leave the process on the first SIGINT or SIGTERM while the block runs.

    Args:
        farewell: Last line for the person at the terminal.

    Yields:
        A list to which the block adds what says elsewhere that this process has stopped; all of it together is
        given up after `GRACE_SECONDS`.
    """
    last_words: list[Callable[[], None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield last_words  # only the main thread may handle signals; whoever owns it ends us otherwise
        return

    def say_last_words() -> None:
        for say in last_words:
            with suppress(Exception):  # a service that is gone keeps nobody here
                say()

    def say_farewell() -> None:
        # Bars may have hidden the cursor; bring it back before the last line.
        sys.stderr.write(("\x1b[?25h" if sys.stderr.isatty() else "") + f"\n{farewell}\n")
        sys.stderr.flush()

    def leave(_number: int, _frame: FrameType | None) -> None:
        for ignored in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)
        _give_it(GRACE_SECONDS, say_last_words)
        end_children()
        _give_it(FAREWELL_SECONDS, say_farewell)
        os._exit(EXIT_CODE)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield last_words
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _give_it(seconds: float, action: Callable[[], None]) -> None:
    """Let an action try for so long, in a thread: the interrupted one may hold what the action waits for."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)


def end_children() -> None:
    """End all child processes at once, theirs included."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    # Not psutil.wait_procs: children's children are zombies then, until the system's first process has time for them.
    deadline = time.monotonic() + GRACE_SECONDS
    while any(_lives(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
