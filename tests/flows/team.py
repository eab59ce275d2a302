"""The services of a team as `scripts/team.sh` starts them, in a folder and on ports of their own."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.environment import SILENCE

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "team.sh"
SERVICES = ("PREFECT", "MLFLOW", "S3", "POSTGRES")


@dataclass(frozen=True)
class Team:
    """An installation.

    Attributes:
        folder: Where it lies.
        ports: Port of each service.
    """

    folder: Path
    ports: dict[str, int]

    @property
    def variables(self) -> dict[str, str]:
        """What the script is told."""
        ports = {f"MEMNAS_TEAM_{name}_PORT": str(port) for name, port in self.ports.items()}
        return {"MEMNAS_TEAM_FOLDER": str(self.folder), **ports}

    @property
    def environment(self) -> dict[str, str]:
        """What somebody's laptop needs."""
        return read_environment(self.folder / "team.env")

    @property
    def passwords(self) -> dict[str, str]:
        return read_environment(self.folder / "passwords.env")

    def database(self, name: str, user: str | None = None) -> str:
        """Return the URI of a database, as its owner or another user sees it."""
        password = self.passwords[f"{user or name}_database_password"]
        return f"postgresql://{user or name}:{password}@127.0.0.1:{self.ports['POSTGRES']}/{name}"

    def script(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [SCRIPT, *arguments],
            env={name: value for name, value in os.environ.items() if name not in SILENCE} | self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def leaders(self) -> list[int]:
        """Return the first process of each service."""
        files = [*(self.folder / f"{name}.pid" for name in ("prefect", "mlflow", "moto"))]
        files.append(self.folder / "postgres" / "data" / "postmaster.pid")
        return [int(path.read_text().split()[0]) for path in files]

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that have to do with it, by its folder and ports."""
        marks = [str(self.folder), *(f"--port {port}" for port in self.ports.values())]
        found = []
        for process in psutil.process_iter():
            try:
                if any(mark in " ".join(process.cmdline()) for mark in marks):
                    found += [process, *process.children(recursive=True)]
            except psutil.NoSuchProcess:
                pass
        return found


def read_environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@contextmanager
def new_team() -> Iterator[Team]:
    """Choose a place that PostgreSQL's user can get to, which pytest's own is not, and free ports."""
    with tempfile.TemporaryDirectory(prefix="memnas-team-", ignore_cleanup_errors=True) as name, ExitStack() as probes:
        Path(name).chmod(0o755)
        sockets = [probes.enter_context(socket.socket()) for _ in SERVICES]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        ports = {service: probe.getsockname()[1] for service, probe in zip(SERVICES, sockets, strict=True)}
        probes.close()
        yield Team(Path(name) / "team", ports)
