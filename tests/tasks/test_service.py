"""Servers that are slow, silent or dead, as real processes."""

import logging
import socket
from pathlib import Path

import pytest

from memnas_core.errors import SchedulerError
from tasks import service
from tasks.service import Service

SLOW = """
import http.server, pathlib, sys, time
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.02)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def started(folder: Path, port: int, program: str, go: Path) -> Service:
    (folder / "the_server.py").write_text(program)
    return Service(
        "The server",
        ["the_server", str(port), str(go)],
        address=f"http://127.0.0.1:{port}",
        health="/",
        log=folder / "its.log",
        error=SchedulerError,
        environment={"PYTHONPATH": str(folder)},
        folder=folder,
    )


def test_a_slow_server_is_told_of_once_and_then_used(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert service.NOTICE_SECONDS + service.ANSWER_SECONDS <= 30
    monkeypatch.setattr(service, "NOTICE_SECONDS", 0.5)
    go = tmp_path / "go"

    def let_it_go_on(_record: logging.LogRecord) -> bool:
        go.touch()
        return True

    logger = logging.getLogger("tasks.service")
    logger.addFilter(let_it_go_on)
    try:
        with started(tmp_path, port, SLOW, go) as server:
            assert server.address.endswith(str(port))
    finally:
        logger.removeFilter(let_it_go_on)
    (line,) = caplog.messages
    assert line.startswith("The server has not answered for ")
    assert line.endswith(f"it may still be starting, and has 180 s in all. Its log is {tmp_path / 'its.log'}")


def test_a_server_that_never_answers_is_one_line(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "START_SECONDS", 1.0)
    with pytest.raises(SchedulerError) as caught:
        started(tmp_path, port, SLOW, tmp_path / "never")
    where, log = f"http://127.0.0.1:{port}", tmp_path / "its.log"
    assert str(caught.value) == (
        f"The server: expected an answer at {where}, found no answer after 1 s; its log {log} says why"
    )
    assert caplog.messages == []


def test_a_server_that_ends_is_one_line_at_once(tmp_path: Path, port: int) -> None:
    with pytest.raises(SchedulerError, match=r"found that it ended with 3; its log .*its\.log says why$"):
        started(tmp_path, port, "raise SystemExit(3)", tmp_path / "never")


def test_a_program_that_speaks_otherwise_is_no_answer(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "START_SECONDS", 2.0)
    program = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        caller, _ = server.accept()
        caller.sendall(b"220 mail\\r\\n")
        caller.close()
"""
    with pytest.raises(SchedulerError, match="found no answer after 2 s"):
        started(tmp_path, port, program, tmp_path / "never")
