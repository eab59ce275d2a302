"""Ctrl-C and SIGTERM, sent to real processes that have children of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows.interrupt import ending_on_signals
from tests.core.processes import is_running, wait_until

# A program that starts a child which has a child, and one that ignores signals, and then works for an hour. Its limits
# on time are those of a slow machine.
PROGRAM = """
import subprocess, sys, threading, time
from pathlib import Path
from flows import interrupt
from flows.interrupt import ending_on_signals

interrupt.GRACE_SECONDS, interrupt.FAREWELL_SECONDS = {grace}, 60.0
folder = Path(sys.argv[1])
stubborn = "import signal, sys, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; "
stubborn += "open(sys.argv[1], 'w').close(); time.sleep(3600)"
with ending_on_signals("Stopped; go on with --resume") as last_words:
    last_words.append(lambda: (folder / "words").write_text("the run was killed"))
    subprocess.Popen(["sh", "-c", "sleep 3600 & sleep 3600; true"])
    subprocess.Popen([sys.executable, "-c", stubborn, str(folder / "stubborn")])
    {preparation}
    (folder / "ready").write_text("")
    {work}
(folder / "after").write_text("")
"""


@contextmanager
def program(
    folder: Path, work: str = "time.sleep(3600)", preparation: str = "", grace: float = 60.0
) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """Start the program; yields it and all its descendants once it works."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work, preparation=preparation, grace=grace), str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until((folder / "ready").exists)
        own = psutil.Process(process.pid)
        wait_until(lambda: len(own.children(recursive=True)) >= 4)
        wait_until((folder / "stubborn").exists)
        yield process, own.children(recursive=True)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """Send a signal and wait for the end, which without the signal is an hour away."""
    process.send_signal(number)
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all(number: signal.Signals, tmp_path: Path) -> None:
    with program(tmp_path) as (process, descendants):
        assert len(descendants) >= 4  # the shell, its sleeps and the stubborn one
        end(process, number)
        assert process.returncode == 130
        assert not any(is_running(descendant) for descendant in descendants)
        assert process.stderr is not None
        assert process.stderr.read() == "\nStopped; go on with --resume\n"
    assert (tmp_path / "words").read_text() == "the run was killed"
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize(
    "work",
    [
        "threading.Event().wait()",
        "[x for _ in range(10**9) for x in ()]",
    ],
    ids=["lock", "busy"],
)
def test_whatever_it_does(work: str, tmp_path: Path) -> None:
    with program(tmp_path, f"{work}; time.sleep(3600)") as (process, descendants):
        end(process, signal.SIGINT)
        assert process.returncode == 130
        assert not any(is_running(descendant) for descendant in descendants)


def test_impatience_changes_nothing(tmp_path: Path) -> None:
    """A person may press Ctrl-C many times, and a supervisor may add SIGTERM."""
    with program(tmp_path, preparation="last_words.append(lambda: time.sleep(1))") as (process, descendants):
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            time.sleep(0.1)
        process.wait()
        assert process.returncode == 130
        assert not any(is_running(descendant) for descendant in descendants)
        assert process.stderr is not None
        assert process.stderr.read() == "\nStopped; go on with --resume\n"


def test_last_words_that_never_end_are_cut_short(tmp_path: Path) -> None:
    with program(tmp_path, preparation="last_words.insert(0, lambda: time.sleep(3600))", grace=0.5) as (
        process,
        descendants,
    ):
        end(process, signal.SIGINT)
        assert process.returncode == 130
        assert not any(is_running(descendant) for descendant in descendants)
    assert not (tmp_path / "words").exists()


def test_last_words_that_fail_keep_nobody(tmp_path: Path) -> None:
    with program(tmp_path, preparation="last_words.insert(0, lambda: 1 / 0)") as (process, _):
        end(process, signal.SIGINT)
        assert process.returncode == 130
        assert process.stderr is not None
        assert process.stderr.read() == "\nStopped; go on with --resume\n"
    assert (tmp_path / "words").read_text() == "the run was killed"


def test_a_pipe_that_nobody_reads_keeps_nobody(tmp_path: Path) -> None:
    """As in `memnas search 2>&1 | less`: the program hangs in the middle of a line when the signal comes."""
    with program(tmp_path, "[sys.stderr.write('x' * 4096) for _ in range(10**6)]") as (process, descendants):
        time.sleep(0.5)
        end(process, signal.SIGINT)
        assert process.returncode == 130
        assert not any(is_running(descendant) for descendant in descendants)


def test_signals_mean_what_they_meant_after_the_block() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with ending_on_signals("bye"):
        assert signal.getsignal(signal.SIGINT) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def fail() -> None:
        with ending_on_signals("bye"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_handles_no_signals() -> None:
    """Prefect's worker may run a flow in a thread; then the worker's own handlers stay."""
    before = signal.getsignal(signal.SIGINT)
    found: list[object] = []

    def work() -> None:
        with ending_on_signals("bye") as last_words:
            found.append((signal.getsignal(signal.SIGINT), last_words))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, [])]
