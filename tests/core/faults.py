"""Real faults for tests: processes that die at any moment, disks that are full or read-only, damaged files."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

_FILE_EVENTS = ("open", "os.", "shutil.", "tempfile.")
_FILE_METHODS = {"write", "close", "__exit__", "fsync"}  # Python tells of them only as calls of C functions


def deaths(action: Callable[[], None]) -> Iterator[bool]:
    """Run an action in process after process; the n-th is killed just before its n-th call on files.

    Yields:
        Whether the process came through; the first that does is the last.
    """
    survived, last = False, 0
    while not survived:
        last += 1
        child = os.fork()
        if child == 0:
            _act_and_die(action, last)
        _, status = os.waitpid(child, 0)
        survived = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert survived or killed, f"the action failed at its call number {last}"
        yield survived
    assert last > 3, "there was hardly a moment to die in"


def _act_and_die(action: Callable[[], None], last: int) -> None:
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, _: tuple[object, ...]) -> None:
        if event.startswith(_FILE_EVENTS):
            count()

    def watch(_: FrameType, event: str, called: object) -> None:
        in_memory = isinstance(getattr(called, "__self__", None), io.StringIO)
        if event == "c_call" and getattr(called, "__name__", "") in _FILE_METHODS and not in_memory:
            count()

    code = 1
    try:
        signal.alarm(30)
        sys.addaudithook(hear)
        sys.setprofile(watch)
        action()
        code = 0
    finally:
        os._exit(code)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a file system of that size; the test is skipped where one may not."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Give a folder in which nothing can be written, also by root where root may mount."""
    if os.geteuid() != 0:
        folder.mkdir(mode=0o500)
        yield folder
        folder.chmod(0o700)
        return
    with small_disk(folder, 64):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder


def fill(folder: Path) -> Path:
    """Fill a small disk to the last byte and return the file that does it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
