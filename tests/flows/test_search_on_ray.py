"""Whole searches on Ray: a cluster that the search starts, and one of several nodes of which one is killed."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from tests.core.processes import is_running
from tests.flows.canaries import plant_canaries, songs
from tests.flows.conftest import MEMNAS, Place, Running
from tests.flows.test_search_end_to_end import outcome

pytestmark = pytest.mark.timeout(1800)

ROOT = Path(__file__).parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
ON_RAY = ("--set", "execution.runner=ray")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without CPUs, and two nodes of one CPU each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.NoSuchProcess:
        return ""


def of_ray(process: psutil.Process) -> bool:
    return any(word in title(process) for word in ("ray::", "raylet", "gcs_server", "/ray/"))


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still live after a minute."""
    deadline = time.monotonic() + 60
    while (found := [p for p in processes if is_running(p)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_stopped_and_resumed_on_a_cluster_of_its_own(
    finished_search: Running, place: Place, prefect_server: dict[str, str]
) -> None:
    """Ctrl-C ends all; resumed, the tables are those of a search with processes. No module of the folder runs."""
    plant_canaries(place.folder)
    running = place.start(*ON_RAY, environment=prefect_server)
    running.wait_for_line("round 0:")
    processes = [child for child in psutil.Process(running.process.pid).children(recursive=True) if of_ray(child)]
    assert len(processes) >= 4  # raylet, gcs_server and two workers at least
    listening = [link for child in processes for link in child.net_connections() if link.status == psutil.CONN_LISTEN]
    assert listening
    assert {link.laddr.ip for link in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    running.interrupt()
    assert running.process.returncode == 130, running.text()
    assert living(processes) == []
    assert running.left_over() == []
    signs = set(place.store.glob(".ray-*"))  # a busy machine may have no time left to remove one
    resumed = place.start(*ON_RAY, "--resume", environment=prefect_server)
    resumed.finish()
    assert resumed.left_over() == []
    assert set(place.store.glob(".ray-*")) <= signs
    assert outcome(place) == outcome(finished_search.place)
    assert songs(place.folder) == ""


def test_nothing_outlives_a_search_that_is_killed(place: Place, prefect_server: dict[str, str]) -> None:
    """Ray's agents hide their environment behind a title, and would live on alone."""
    running = place.start(*ON_RAY, environment=prefect_server)
    search = psutil.Process(running.process.pid)
    while not {"ray::RuntimeEnvAgent", "ray::IDLE"} <= {title(child) for child in search.children(recursive=True)}:
        assert running.process.poll() is None, running.text()
        time.sleep(0.1)
    processes = search.children(recursive=True)
    running.process.kill()
    running.process.wait()
    assert living(processes) == []
    assert running.left_over() == []


def test_a_node_killed_in_a_round_changes_nothing(
    finished_search: Running, place: Place, prefect_server: dict[str, str], cluster: Cluster
) -> None:
    plant_canaries(place.folder)
    address = ("--set", f"execution.ray_address={cluster.address}")
    running = place.start(*ON_RAY, *address, environment=prefect_server | {"PYTHONPATH": str(ROOT)})
    running.wait_for_line("1/2")  # of round 0's two trainings one has ended
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    running.finish()
    assert outcome(place) == outcome(finished_search.place)
    assert len(cluster.list_all_nodes()) == 2  # the cluster is not the search's to end
    assert songs(place.folder) == ""


def test_without_ray(place: Place, tmp_path: Path) -> None:
    """As in an environment that has not got it: Python finds no such package."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ray'] = None\n")
    done = subprocess.run(
        [MEMNAS, "search", "--params", place.params, *ON_RAY],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("memnas: execution.runner: ray needs the packages ray and prefect-ray")
    assert "make ray" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not place.store.exists()
