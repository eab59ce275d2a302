"""Locks between processes, held by real ones."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memnas_core.files.locks import exclusive
from tests.core.processes import wait_until

HOLD = """
import sys
from pathlib import Path
from memnas_core.files.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_waits_says_for_what(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "data" / ".lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
        ThreadPoolExecutor(1) as threads,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        def work() -> str:
            with exclusive(lock):
                return "mine"

        waiting = threads.submit(work)
        wait_until(lambda: bool(caplog.messages))
        assert not waiting.done()
        assert caplog.messages == [f"Waiting for another process that works on {lock.parent} (its lock is {lock})."]
        holder.communicate()
        assert waiting.result() == "mine"
