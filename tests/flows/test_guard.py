"""What a killed process leaves behind, and that nobody else's processes are touched."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.core.processes import is_running, wait_until

# A program whose child has a session of its own and a child, as the server that Prefect starts may have.
PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path
from flows.guard import guard_this_process

before = subprocess.Popen(["sleep", "30"], start_new_session=True)
guard_this_process()
child = subprocess.Popen(["sh", "-c", "sleep 40 & sleep 40; true"], start_new_session=True)
Path(sys.argv[1]).write_text(f"{before.pid} {child.pid}")
time.sleep(float(sys.argv[2]))
child.kill()
"""


def start(folder: Path, seconds: float) -> tuple["subprocess.Popen[bytes]", psutil.Process, list[psutil.Process]]:
    """Return the program, the child that it started before it was guarded, and all that came later."""
    ready = folder / "ready"
    root = Path(__file__).parents[2]
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(ready), str(seconds)], cwd=root)
    wait_until(lambda: ready.exists() and len(ready.read_text().split()) == 2)
    before, child = (psutil.Process(int(pid)) for pid in ready.read_text().split())
    wait_until(lambda: len(child.children()) == 2)
    later = [process for process in psutil.Process(program.pid).children(recursive=True) if process != before]
    assert len(later) == 4  # the guard, the shell and its two sleeps
    return program, before, later


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_nothing_outlives_a_killed_program(number: signal.Signals, tmp_path: Path) -> None:
    program, before, later = start(tmp_path, 30)
    try:
        os.kill(program.pid, number)
        program.wait()
        wait_until(lambda: not any(is_running(process) for process in later), seconds=15)
        assert is_running(before)
    finally:
        before.kill()


def test_two_programs_do_not_touch_each_other(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, before_one, later_one = start(tmp_path / "one", 30)
    two, before_two, later_two = start(tmp_path / "two", 30)
    try:
        one.kill()
        one.wait()
        wait_until(lambda: not any(is_running(process) for process in later_one), seconds=15)
        assert all(is_running(process) for process in later_two)
    finally:
        two.kill()
        two.wait()
        before_one.kill()
        before_two.kill()
    wait_until(lambda: not any(is_running(process) for process in later_two), seconds=15)


def test_a_program_that_ends_takes_its_guard_along(tmp_path: Path) -> None:
    program, before, later = start(tmp_path, 0.5)
    try:
        assert program.wait(timeout=20) == 0
        wait_until(lambda: not is_running(later[0]), seconds=1)  # the guard, at once
    finally:
        for process in (before, *later):
            if is_running(process):
                process.kill()
