"""Ctrl-C and SIGTERM: end within seconds and leave no process behind.

Everything a search keeps is written atomically, so a running search may be left at any moment. The first signal marks
the search's runs as stopped, ends every child process (workers, and Prefect's server where none was running) and
exits. Prefect's own way waits for running tasks, which may take minutes.
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

from memnas_core.files.printable import printable_lines

GRACE_SECONDS = 2.0
FAREWELL_SECONDS = 0.5
EXIT_CODE = 130  # what shells expect of a program that Ctrl-C ended


@contextmanager
def ending_on_signals(farewell: str) -> Iterator[list[Callable[[], None]]]:
    """End the process on the first SIGINT or SIGTERM while the block runs.

    Args:
        farewell: Last line for the person at the terminal.

    Yields:
        A list to which the block adds functions that report elsewhere that this process has stopped; together they have
        `GRACE_SECONDS`.
    """
    last_words: list[Callable[[], None]] = []
    if threading.current_thread() is not threading.main_thread():
        yield last_words  # only the main thread may handle signals; its owner is responsible for ending us
        return

    def say_last_words() -> None:
        for say in last_words:
            with suppress(Exception):  # a service that is gone must not delay the exit
                say()

    def say_farewell() -> None:
        # Progress bars may have hidden the cursor; show it again before the last line.
        sys.stderr.write(("\x1b[?25h" if sys.stderr.isatty() else "") + f"\n{printable_lines(farewell)}\n")
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
    """Run an action in a thread for a limited time, as the interrupted code may hold what the action waits for."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)


def end_children() -> None:
    """End all child processes at once, including their children."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    # psutil.wait_procs would wait too long: grandchildren stay zombies until the system's first process reaps them.
    deadline = time.monotonic() + GRACE_SECONDS
    while any(_lives(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
