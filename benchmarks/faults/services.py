"""The servers that a search uses while it is disturbed: real MLflow and Prefect servers that can be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from memnas_core.errors import MemnasError

START_SECONDS = 180.0
"""Time after which a server that has not answered counts as broken."""


class Service:
    """A server in a process group of its own."""

    def __init__(self, name: str, command: Sequence[str], health: str, log: Path, environment: dict[str, str]) -> None:
        """Note how the server is started.

        Args:
            name: Name for messages.
            command: Program and arguments.
            health: Address that answers as soon as the server is ready.
            log: File for the server's output.
            environment: Environment variables in addition to those of this process.
        """
        self.name = name
        self._command = command
        self._health = health
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers.

        Raises:
            MemnasError: The server does not answer in time.
        """
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
                cwd=self._log.parent,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(self._health, timeout=5):
                return
            time.sleep(0.2)
        raise MemnasError(f"{self.name}: expected an answer from {self._health}, found none; {self._log} says why")

    def kill(self) -> None:
        """Kill the server with all its processes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Services:
    """The tracking server and the Prefect server of all trials."""

    def __init__(self, folder: Path) -> None:
        """Note how the servers are started.

        Args:
            folder: Folder for their databases, files and logs.
        """
        folder.mkdir(parents=True, exist_ok=True)
        host, tracking, prefect = "127.0.0.1", _free_port(), _free_port()
        self.tracking_uri = f"http://{host}:{tracking}"
        self.prefect_api = f"http://{host}:{prefect}/api"
        self.tracking = Service(
            "the tracking server",
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", host, "--port", str(tracking)),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(folder / "mlartifacts")),
            ],
            f"{self.tracking_uri}/health",
            folder / "mlflow.log",
            {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        self.prefect = Service(
            "the Prefect server",
            [
                *(str(Path(sys.executable).with_name("prefect")), "server", "start"),
                *("--host", host, "--port", str(prefect)),
            ],
            f"{self.prefect_api}/health",
            folder / "prefect.log",
            {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": self.prefect_api},
        )

    def __enter__(self) -> Self:
        try:
            self.repair()
        except BaseException:
            self.tracking.kill()
            self.prefect.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tracking.kill()
        self.prefect.kill()

    def repair(self) -> None:
        """Restart the servers that were killed."""
        self.tracking.start()
        self.prefect.start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
