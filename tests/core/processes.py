"""Waiting for what other processes do."""

import time
from collections.abc import Callable

import psutil


def wait_until(happened: Callable[[], bool], seconds: float = 60.0) -> float:
    """Return the seconds that it took to happen."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - started


def is_running(process: psutil.Process) -> bool:
    """Return whether a process lives; one that nobody has buried yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
