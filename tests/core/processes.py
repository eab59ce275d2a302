"""Waiting for what other processes do."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait as long as it takes; pytest's own timeout ends a test in which it never happens."""
    while not happened():
        time.sleep(0.02)


def is_running(process: psutil.Process) -> bool:
    """Return whether a process lives; one that nobody has buried yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def tell_and_wait(path: Path, go: Path) -> int:
    """Write the worker's id, then wait until there is a file."""
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    while not go.exists():
        time.sleep(0.02)
    return os.getpid()
