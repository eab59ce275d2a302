"""A server of this machine that a command starts: it listens on the loopback interface and ends with the command."""

import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from memnas_core.errors import MemnasError
from memnas_core.files.outputs import open_log
from memnas_core.workers.spawning import SAFE_PATH

NOTICE_SECONDS = 25.0
"""Time after which a line says that a server has not answered yet; on two idle cores it takes about ten."""

START_SECONDS = 180.0
"""Time after which a server that has not answered counts as broken; on busy cores ninety were seen."""

ANSWER_SECONDS = 5.0
"""Time that a server has for one answer; with the notice it is 30 at most."""

STOP_SECONDS = 4.0
"""Time after which a server that has not ended is killed; it normally takes about two."""

_log = logging.getLogger(__name__)


class Service:
    """A Python module that runs as a server in its own process group, which ends when the block is left."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        address: str,
        health: str,
        log: Path,
        error: type[MemnasError],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start the server and wait until it answers.

        Args:
            name: What it is called in messages.
            command: Module and its arguments.
            address: URL that it listens at.
            health: Path at which it answers once it is ready.
            log: File to which its output is appended.
            error: What to raise if it does not start or ends.
            environment: Variables beside those of this process.
            folder: Folder that it runs in; None: the current one.

        Raises:
            MemnasError: An `error`: the server does not start.
            StorageError: The log cannot be written.
        """
        self.address = address
        self._name, self._log, self._error = name, log, error
        with open_log(log) as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {}), **SAFE_PATH},
                cwd=folder,
                process_group=0,  # Ctrl-C at the terminal does not reach it
            )
        try:
            self._wait_until_it_answers(f"{address}{health}")
        except BaseException:
            self.close()
            raise

    def wait(self) -> NoReturn:
        """Wait until the server ends by itself.

        Raises:
            MemnasError: The server ended, because somebody ended it or because it failed.
        """
        code = self._process.wait()
        raise self._error(f"{self._name} at {self.address} ended with {code}; its log {self._log} says why")

    def close(self) -> None:
        """End the server with all its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_until_it_answers(self, url: str) -> None:
        begun, told = time.monotonic(), False
        while self._process.poll() is None and (waited := time.monotonic() - begun) < START_SECONDS:
            with suppress(OSError, HTTPException), urllib.request.urlopen(url, timeout=ANSWER_SECONDS):
                return
            if waited > NOTICE_SECONDS and not told:
                told = True
                _log.warning(
                    "%s has not answered for %.0f s; it may still be starting, and has %.0f s in all. Its log is %s",
                    *(self._name, waited, START_SECONDS, self._log),
                )
            time.sleep(0.1)
        code = self._process.poll()
        found = f"no answer after {START_SECONDS:.0f} s" if code is None else f"that it ended with {code}"
        raise self._error(
            f"{self._name}: expected an answer at {self.address}, found {found}; its log {self._log} says why"
        )
