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

before = subprocess.Popen(["sleep", "3600"], start_new_session=True)
guard_this_process()
child = subprocess.Popen(["sh", "-c", "sleep 3600 & sleep 3600; true"], start_new_session=True)
Path(sys.argv[1]).write_text(f"{before.pid} {child.pid}")
while not Path(sys.argv[1]).with_name("end").exists():
    time.sleep(0.02)
child.kill()
"""


def start(folder: Path) -> tuple["subprocess.Popen[bytes]", psutil.Process, list[psutil.Process]]:
    """Return the program, the child that it started before it was guarded, and all that came later.

    The program ends when there is a file `end`.
    """
    ready = folder / "ready"
    root = Path(__file__).parents[2]
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(ready)], cwd=root)
    wait_until(lambda: ready.exists() and len(ready.read_text().split()) == 2)
    before, child = (psutil.Process(int(pid)) for pid in ready.read_text().split())
    wait_until(lambda: len(child.children()) == 2)
    later = [process for process in psutil.Process(program.pid).children(recursive=True) if process != before]
    assert len(later) == 4  # the guard, the shell and its two sleeps
    return program, before, later


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_nothing_outlives_a_killed_program(number: signal.Signals, tmp_path: Path) -> None:
    program, before, later = start(tmp_path)
    try:
        os.kill(program.pid, number)
        program.wait()
        wait_until(lambda: not any(is_running(process) for process in later))
        assert is_running(before)
    finally:
        before.kill()


def test_two_programs_do_not_touch_each_other(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, before_one, later_one = start(tmp_path / "one")
    two, before_two, later_two = start(tmp_path / "two")
    try:
        one.kill()
        one.wait()
        wait_until(lambda: not any(is_running(process) for process in later_one))
        assert all(is_running(process) for process in later_two)
    finally:
        two.kill()
        two.wait()
        before_one.kill()
        before_two.kill()
    wait_until(lambda: not any(is_running(process) for process in later_two))


def test_a_program_that_ends_takes_its_guard_along(tmp_path: Path) -> None:
    program, before, later = start(tmp_path)
    try:
        (tmp_path / "end").touch()
        assert program.wait() == 0
        wait_until(lambda: not is_running(later[0]))  # the guard
    finally:
        for process in (before, *later):
            if is_running(process):
                process.kill()
