"""A real search as a process that can be watched, and what it leaves on disk."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from memnas_core.training.record import RECORD_FILE, WEIGHTS_FILE

MARK = "MEMNAS_FAULT_TRIAL"
"""Environment variable that every process of a trial inherits."""

GRACE_SECONDS = 6.0
"""Time that a process may take to notice that the search is gone."""

TIMES = {"training_seconds", "wall_seconds", "training_wall_seconds", "training_cpu_seconds", "finished"}
"""Fields in which two runs of the same search may differ."""


@dataclass(frozen=True, slots=True)
class Training:
    """A finished training as it lies on disk.

    Attributes:
        started: Unix time at which the training started, from its record.
        inode: Inode of the record, which changes if the record is written again.
    """

    started: float
    inode: int


class Place:
    """A folder for one search, and the processes that run it."""

    def __init__(self, folder: Path, params: Path, mark: str, environment: Mapping[str, str]) -> None:
        """Create the folder.

        Args:
            folder: Folder for the store and the search's output.
            params: Settings file.
            mark: Value that distinguishes the processes of this place from all others.
            environment: Environment variables in addition to those of this process.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "store"
        self.result = self.store / "searches" / "digits"
        self.log = folder / "log"
        self._params = params.resolve()
        self._mark = mark
        self._environment = dict(environment)

    def start(self, *arguments: str, tracking_uri: str) -> "subprocess.Popen[bytes]":
        """Start `memnas search` as a person would from their own shell."""
        overrides = ["--set", f"store={self.store}", "--set", f"tracking.uri={tracking_uri}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "search", "--params", str(self._params), *overrides, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment | {MARK: self._mark},
                start_new_session=True,
            )

    def said(self) -> str:
        """Return all output of the search."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def last_line(self) -> str:
        """Return the last line of the search's output."""
        return next((line.strip() for line in reversed(self.said().splitlines()) if line.strip()), "")

    def processes(self) -> list[psutil.Process]:
        """Return all living processes of this place."""
        return list(self._living())

    def left_over(self) -> int:
        """Return how many processes still live after a grace period, and end them."""
        deadline = time.monotonic() + GRACE_SECONDS
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.end()
        return len(found)

    def end(self) -> None:
        """End all processes of this place."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def _living(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self._mark:
                    yield process

    def trainings(self) -> dict[str, Training]:
        """Return the finished trainings that are whole for a reader, by key."""
        found = {}
        for folder in (self.result / "trainings").glob("[!.]*"):
            with suppress(OSError, ValueError, KeyError):
                record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
                if record["status"] != "trained" or (folder / WEIGHTS_FILE).is_file():
                    found[folder.name] = Training(record["started"], (folder / RECORD_FILE).stat().st_ino)
        return found

    def outcome(self) -> dict[str, object]:
        """Return everything that a finished search produces except times, by name."""
        # Trainings count by name only: a damaged record of a finished round stays, as nothing reads it any more.
        names = sorted(folder.name for folder in (self.result / "trainings").glob("[!.]*"))
        found: dict[str, object] = {"trainings": names}
        for folder in sorted((self.result / "rounds").glob("[!.]*/")):
            rows = pq.read_table(folder / "candidates.parquet").to_pylist()
            found[f"{folder.name} table"] = [_without_times(row) for row in rows]
            found[f"{folder.name} summary"] = _without_times(json.loads((folder / "round.json").read_text()))
            found[f"{folder.name} weights"] = {path.name: _digest(path) for path in sorted(folder.glob("weights/*"))}
        for name in ("rounds.csv", "candidates.csv", "front.csv"):
            header, *lines = (self.result / name).read_text(encoding="utf-8").splitlines()
            kept = [place for place, column in enumerate(header.split(",")) if column not in TIMES]
            found[name] = [[cells[place] for place in kept] for cells in _cells([header, *lines])]
        found["metrics.json"] = json.loads((self.result / "metrics.json").read_text(encoding="utf-8"))
        chosen = self.result / "chosen"
        found["chosen"] = _without_times(json.loads((chosen / "chosen.json").read_text(encoding="utf-8")))
        found["chosen weights"] = _digest(chosen / WEIGHTS_FILE)
        return found


def wait(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    """Wait for the end of a search and return its exit code; a search that does not end is killed (-9)."""
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        return process.wait()


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Return the names of the entries that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _cells(lines: Sequence[str]) -> Iterator[list[str]]:
    yield from csv.reader(lines)


def _without_times(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in TIMES}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
