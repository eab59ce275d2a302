"""A tiny search, and ways to run it as a person would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.flows.canaries import plant_canaries

MEMNAS = Path(sys.executable).with_name("memnas")
PREFECT = Path(sys.executable).with_name("prefect")

DEAD_PROXIES = {
    name: "http://127.0.0.1:9" if name.lower().endswith("_proxy") and name.lower() != "no_proxy" else ""
    for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (word, word.upper())
}
"""Proxies at a port where nothing listens, for all addresses."""

TINY_SETTINGS = """
store: {store}
data: {{dataset: digits, folder: null, image_size: null, validation_fraction: 0.2, max_training_images: 300,
        horizontal_flip: null}}
network: {{filters: 4, strides: [1, 2]}}
search: {{seed: 3, moves: grow_and_trim, selection: controller, aim: front,
          seed_cells: [[conv_3x3, conv_3x3], [conv_3x3, depthwise_3x3]], seed_rungs: [0.5, 0.5], weights: base,
          warm_learning_rate: 0.02, rungs: [0.2, 0.2], keep: 0.5, top_k: 4, rounds: 2, max_cells: 4,
          max_training_images: null, patience: null}}
objective: {{accuracy_weight: 0.8, activation_convention: minimum, weight_bytes: 4, activation_bytes: 4,
             device: null, max_param_bytes: null, max_activation_bytes: null, max_total_bytes: null,
            accuracy_floor: 0.25, accuracy: plain}}
training: {{epochs: 12, batch_size: 32, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005, restart_epochs: null,
            restart_factor: 1, crop_padding: 1, cutout_size: 2, device: cpu,
            precision: auto}}
controller: {{version: improved, target: accuracy, embedding_size: 16, hidden_size: 16, epochs: 10,
             learning_rate: 0.003}}
final: {{epochs: 12}}
execution: {{runner: processes, workers: 2, gpu_fraction: null, memory_limit_bytes: null,
            training_seconds: null, ray_address: null, ray_cpus: 1.0}}
tracking: {{uri: null, experiment: memnas}}
versioning: {{remote: null}}
"""


@dataclass(frozen=True)
class Place:
    """A folder of its own for one search."""

    folder: Path

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def result(self) -> Path:
        return self.store / "searches" / "digits"

    def start(self, *arguments: str, environment: dict[str, str], under: Sequence[str] = ()) -> "Running":
        """Start `memnas search` in a session of its own, so that all its processes can be found.

        Args:
            arguments: Further arguments.
            environment: Variables on top of those of this process.
            under: A command that runs another one.
        """
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [*under, MEMNAS, "search", "--params", self.params, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
            )
        return Running(process, self)


@dataclass(frozen=True)
class Running:
    """A search that was started."""

    process: "subprocess.Popen[bytes]"
    place: Place

    def text(self) -> str:
        return (self.place.folder / "log").read_text()

    def wait_for_line(self, words: str) -> None:
        """Wait until the search has printed some words."""
        while words not in self.text():
            assert self.process.poll() is None, f"ended before printing {words!r}:\n{self.text()}"
            time.sleep(0.05)

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes: the spawned children."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def left_over(self) -> list[int]:
        """Return the processes of the search's session that still live after a minute.

        multiprocessing's resource tracker leaves when its parent is gone, for which a loaded machine needs a moment.
        """
        deadline = time.monotonic() + 60
        while (found := self._living()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _living(self) -> list[int]:
        return [pid for pid in psutil.pids() if _session(pid) == self.process.pid and not _is_gone(pid)]

    def finish(self) -> None:
        """Wait for the end and expect success."""
        code = self.process.wait()
        assert code == 0, f"exit code {code}:\n{self.text()}"

    def interrupt(self) -> None:
        """Press Ctrl-C as a terminal does, for the whole group, and wait until the search is gone."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a Prefect server; give the environment that points at it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("prefect-server")
    environment = {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        while not _is_healthy(environment["PREFECT_API_URL"]):
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.2)
        yield environment
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            return bool(json.load(answer))
    except OSError:
        return False


def new_place(folder: Path) -> Place:
    place = Place(folder)
    place.params.write_text(TINY_SETTINGS.format(store=place.store))
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with the tiny search's settings."""
    return new_place(tmp_path)


@pytest.fixture(scope="session")
def finished_search(tmp_path_factory: pytest.TempPathFactory) -> Running:
    """The tiny search, run undisturbed to its end, with a Prefect server of its own.

    Its folder is somebody else's, full of modules, and its environment names proxies that do not answer.
    """
    place = new_place(tmp_path_factory.mktemp("reference"))
    plant_canaries(place.folder)
    running = place.start(environment=DEAD_PROXIES)
    running.process.wait()
    assert running.process.returncode == 0, running.text()
    return running
