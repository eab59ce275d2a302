"""Workers on a real Ray cluster of three nodes on this machine: a head without CPUs, and two of one CPU each."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.errors import RecordError, SettingsError
from memnas_core.records.trainings import Limits, Status, TrainingRecord
from memnas_core.settings.schema import DataSettings, ExecutionSettings
from memnas_core.space import operations as ops
from memnas_core.space.moves import seed_architecture
from memnas_core.training import record as training_records
from memnas_core.training import worker
from memnas_core.training.job import TrainingJob
from memnas_core.workers.processes import WorkerLostError
from memnas_core.workers.watch import LimitError
from tasks.workers import ray_workers
from tasks.workers.ray_workers import NodeError, RayWorkers
from tests.core.processes import wait_until
from tests.core.short_training import SHORT_TRAINING

pytestmark = pytest.mark.timeout(1200)

TRAINING = replace(SHORT_TRAINING, batch_size=300)
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # nodes import what this process does
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PREFECT_LOGGING_LEVEL", "CRITICAL")
        cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(2):
                cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()


def settings(address: str | None, workers: int | None = None, cpus: float = 1.0) -> ExecutionSettings:
    return ExecutionSettings("ray", workers, None, None, None, ray_address=address, ray_cpus=cpus)


@pytest.fixture(scope="module")
def workers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayWorkers]:
    with RayWorkers(settings(cluster.address), "cpu", tmp_path_factory.mktemp("store")) as pool:
        yield pool


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor
        for name in ("go", "never"):  # a test that fails leaves nobody waiting
            (tmp_path / name).touch()


# What the workers run; they import this module.


def node() -> str:
    return ray.get_runtime_context().get_node_id()


def tell_and_wait(path: Path, go: Path) -> str:
    """Write the worker's id and its node's, then wait until there is a file."""
    path.with_suffix(".part").write_text(f"{os.getpid()} {node()}")
    path.with_suffix(".part").rename(path)
    while not go.exists():
        time.sleep(0.02)
    return node()


def train(job: TrainingJob) -> tuple[TrainingRecord, int]:
    return worker.run(job), os.getpid()


def fail() -> None:
    raise RecordError("data: expected images, found none")


def told(path: Path) -> tuple[int, str]:
    wait_until(path.exists)
    pid, node_id = path.read_text().split()
    return int(pid), node_id


def test_as_many_run_at_once_as_the_nodes_have_room_for(
    workers: RayWorkers, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    assert workers.count == 2
    go = tmp_path / "go"
    jobs = [threads.submit(workers.run, tell_and_wait, tmp_path / name, go) for name in "ab"]
    nodes = {told(tmp_path / name)[1] for name in "ab"}  # neither ends before both have begun
    go.touch()
    assert {job.result() for job in jobs} == nodes
    assert len(nodes) == 2
    more = [threads.submit(workers.run, pow, 2, number) for number in range(6)]
    assert [job.result() for job in more] == [1, 2, 4, 8, 16, 32]


def test_a_worker_trains_as_processes_do(workers: RayWorkers) -> None:
    assert workers.run(torch.get_num_threads) == 1
    assert workers.run(torch.are_deterministic_algorithms_enabled) is True


def test_an_error_of_the_job_is_its_caller_s(workers: RayWorkers) -> None:
    with pytest.raises(RecordError, match="expected images, found none"):
        workers.run(fail)
    assert workers.run(abs, -3) == 3


def test_the_caller_may_look_around_while_it_waits(workers: RayWorkers, tmp_path: Path) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            (tmp_path / "go").touch()

    workers.run(tell_and_wait, tmp_path / "job", tmp_path / "go", while_waiting=look)
    assert looks >= 3


def test_a_killed_worker_costs_its_own_job_only(
    workers: RayWorkers, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    doomed = threads.submit(workers.run, tell_and_wait, tmp_path / "doomed", tmp_path / "never")
    other = threads.submit(workers.run, tell_and_wait, tmp_path / "other", tmp_path / "go")
    (killed, _), (_, spared) = told(tmp_path / "doomed"), told(tmp_path / "other")
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="the worker on Ray died: The worker died unexpectedly"):
        doomed.result()
    (tmp_path / "go").touch()
    assert other.result() == spared
    assert workers.run(os.getpid) != killed


def test_a_training_that_hangs_is_ended_alone(workers: RayWorkers, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    """Its time counts from where it begins, so that the one that waits for room, and the one beside it, lose none."""
    limits, submitted, go = Limits(None, None, 3.0), time.time(), tmp_path / "go"
    beside = threads.submit(workers.run, tell_and_wait, tmp_path / "beside", go)
    told(tmp_path / "beside")
    hanging = threads.submit(workers.run, tell_and_wait, tmp_path / "hanging", tmp_path / "never", limits=limits)
    pid, _ = told(tmp_path / "hanging")
    waiting = threads.submit(workers.run, node, limits=limits)  # longer than it may take itself
    with pytest.raises(LimitError, match=r"not finished after 3 s \(execution\.training_seconds\)") as caught:
        hanging.result()
    assert caught.value.status is Status.TIMED_OUT
    assert submitted <= caught.value.started <= time.time() - 3.0
    wait_until(lambda: not psutil.pid_exists(pid))
    assert waiting.result()
    assert not beside.done()
    go.touch()
    assert beside.result()
    assert not list(workers._sign.parent.glob(f"{workers._sign.name}-*"))


def test_a_node_without_the_store_is_named(workers: RayWorkers) -> None:
    workers._sign.unlink()
    try:
        with pytest.raises(NodeError, match=rf"expected the store at {workers._sign.parent}.*docs/ray.md"):
            workers.run(abs, -3)
    finally:
        workers._sign.touch()


def test_a_node_with_other_code_is_named(workers: RayWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "training_version", lambda: "of another code")
    with pytest.raises(NodeError, match=r"expected the code that the search runs \(of another code\), found another"):
        workers.run(abs, -3)


def test_a_training_that_fits_on_no_node(cluster: Cluster, workers: RayWorkers, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a node with 2 CPUs and 0 GPUs, which one training takes"):
        RayWorkers(settings(cluster.address, cpus=2.0), "cpu", tmp_path)
    assert workers.run(abs, -3) == 3  # whose connection it was stays


def test_no_more_at_once_than_the_settings_say(
    cluster: Cluster, workers: RayWorkers, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    with RayWorkers(settings(cluster.address, workers=1), "cpu", tmp_path) as one:
        assert one.count == 1
        jobs = [threads.submit(one.run, tell_and_wait, tmp_path / name, tmp_path / "go") for name in "ab"]
        wait_until(lambda: any((tmp_path / name).exists() for name in "ab"))
        time.sleep(0.5)  # for the other one to begin, if it does
        assert not all((tmp_path / name).exists() for name in "ab")
        (tmp_path / "go").touch()
        assert len({job.result() for job in jobs}) >= 1
    assert workers.run(abs, -3) == 3


def test_a_killed_node_costs_no_job(
    cluster: Cluster, workers: RayWorkers, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """The cluster is smaller for the tests below. Both jobs end, though one of them ran on the node that was killed."""
    jobs = [threads.submit(workers.run, tell_and_wait, tmp_path / name, tmp_path / "go") for name in "ab"]
    workers_of = {told(tmp_path / name)[1]: told(tmp_path / name)[0] for name in "ab"}
    nodes = {told(tmp_path / name)[1]: tmp_path / name for name in "ab"}
    assert len(nodes) == 2
    victim = next(node for node in cluster.worker_nodes if node.node_id == min(nodes))
    cluster.remove_node(victim, allow_graceful=False)
    wait_until(lambda: not psutil.pid_exists(workers_of[min(nodes)]))  # a worker outlives its node for a moment
    (tmp_path / "go").touch()
    assert {job.result() for job in jobs} == {max(nodes)}
    assert told(nodes[min(nodes)])[1] == max(nodes)


def test_a_training_without_enough_memory_costs_its_process(workers: RayWorkers, tmp_path: Path) -> None:
    """It is recorded, and the next one under the same limit finds a fresh process."""
    with pytest.raises(SettingsError, match=r"^execution\.memory_limit_bytes: expected more than .*found 9;") as caught:
        workers.check(Limits(9, None, seconds=0.001))
    held = int("".join(re.findall(r"\d+", str(caught.value).partition(" bytes")[0])))
    limits = Limits(held + 150_000_000, None, 600.0)
    dataset = prepare_dataset(DataSettings("digits", None, None, 0.1, 300, None), 0, tmp_path)
    digest, small = open_dataset(dataset).info.digest, seed_architecture((1, 2), 4)
    fits = TrainingJob(small, small.arch_id, dataset, digest, TRAINING, 1, tmp_path / "trainings", limits=limits)
    large = seed_architecture((1,) * 10, 128, (ops.AVERAGE_POOL_3X3, ops.DEPTHWISE_3X3))
    too_large = replace(fits, architecture=large, arch_id=large.arch_id)
    record, process = workers.run(train, too_large, limits=limits)
    assert record.status is Status.OUT_OF_MEMORY
    assert record.message.startswith(f"out of memory, the limit is {limits.memory_bytes:,} bytes: ")
    assert training_records.finished(too_large) == record
    record, another = workers.run(train, fits, limits=limits)
    assert record.status is Status.TRAINED
    assert another != process


def test_stop_ends_those_who_wait(cluster: Cluster, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    pool = RayWorkers(settings(cluster.address), "cpu", tmp_path)
    running = threads.submit(pool.run, tell_and_wait, tmp_path / "running", tmp_path / "never")
    told(tmp_path / "running")
    waiting = threads.submit(pool.run, tell_and_wait, tmp_path / "waiting", tmp_path / "never")
    wait_until(lambda: pool._waiting == 2)
    pool.stop()
    for job in (running, waiting):
        with pytest.raises(CancelledError):
            job.result()
    assert not (tmp_path / "waiting").exists()
    assert not list(tmp_path.glob(".ray-*"))
    with pytest.raises(CancelledError):
        pool.run(abs, -3)
