"""A Ray cluster: whether it answers, how it is opened, and how many trainings it has room for.

Ray is an optional package; only this module and `tasks.workers.ray_workers` import it.
"""

import logging
import math
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from memnas_core.errors import InputError, SettingsError
from memnas_core.settings.kinds import Device
from memnas_core.settings.schema import ExecutionSettings

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner

ANSWER_SECONDS = 5.0
"""Time after which a cluster that has not answered counts as absent."""

CLIENT_PORT = 10001
"""Default port of `ray://HOST`."""

STORE_BYTES = 100 * 2**20
"""Shared memory for Ray's objects on this machine; little is needed, as a job and its record take a few kilobytes and
data lie in files."""

_NEITHER = "expected null, auto, ray://HOST:PORT or HOST:PORT"


@dataclass(frozen=True, slots=True)
class Share:
    """The resources that one training takes from a node.

    Attributes:
        cpus: Number of CPUs.
        gpus: Number of GPUs, or the share of one, in [0, 1].
    """

    cpus: float
    gpus: float


def check_cluster(address: str | None) -> None:
    """Check within seconds that Ray is installed, and that something listens where the cluster should be.

    Args:
        address: Address of the cluster, as in `execution.ray_address`.

    Raises:
        SettingsError: Ray is not installed, or the address is invalid.
        InputError: Nothing listens there.
    """
    if find_spec("ray") is None or find_spec("prefect_ray") is None:
        raise SettingsError(
            "execution.runner: ray needs the packages ray and prefect-ray, which are not installed; "
            "add them with `make ray`, or set processes"
        )
    if address is None or address == "auto":
        return
    host, port = host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host and port that a cluster's address names.

    Raises:
        SettingsError: The address is invalid.
    """
    is_client = address.startswith("ray://")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon and is_client:
        host, port = port, str(CLIENT_PORT)
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise SettingsError(f'execution.ray_address: {_NEITHER}, found "{address}"')
    return host.strip("[]"), int(port)


def cluster_runner(execution: ExecutionSettings) -> "RayTaskRunner[object]":
    """Return the Prefect task runner that opens the settings' cluster, or starts one on this machine.

    A cluster that it starts ends with it, can be reached only from this machine with its secret, and has no dashboard.
    """
    if execution.ray_address is None:
        os.environ |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # makes Ray listen on the loopback interface only
            "RAY_AUTH_MODE": "token",
            # By default Ray ends several workers as soon as the machine is nearly full, whatever has filled it.
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # By default the titles of Ray's processes overwrite their environment, by which `flows.guard` knows what to
            # end when this process was killed; two of Ray's agents would live on.
            "SPT_NOENV": "1",
        }
    from prefect_ray import RayTaskRunner  # Ray reads the environment when it is imported
    from ray.job_config import JobConfig

    options: dict[str, object] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if execution.ray_address is not None and execution.ray_address.startswith("ray://"):
        return RayTaskRunner(address=execution.ray_address, init_kwargs=options)
    # Otherwise workers would look for modules in this process's current folder first. Ray leaves that out for clients.
    options["job_config"] = JobConfig(_client_job=True)
    if execution.ray_address == "auto":  # Prefect's runner would start a cluster where it finds none
        return RayTaskRunner(init_kwargs={**options, "address": "auto"})
    if execution.ray_address is not None:
        return RayTaskRunner(address=execution.ray_address, init_kwargs=options)
    # The cluster has room for as many trainings as are wanted, whatever the cores, as with processes.
    wanted = math.ceil(execution.workers * execution.ray_cpus) if execution.workers else len(os.sched_getaffinity(0))
    options |= {
        "num_cpus": wanted,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }
    return RayTaskRunner(address="local", init_kwargs=options)


@contextmanager
def open_cluster(execution: ExecutionSettings) -> Iterator["RayTaskRunner[object]"]:
    """Yield an open Prefect task runner; a cluster that was started for it ends with the block.

    Raises:
        InputError: There is no cluster at the address.
    """
    runner = cluster_runner(execution)
    import ray

    was_connected = ray.is_initialized()  # if our caller has connected, the connection stays
    try:
        runner.__enter__()
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(execution.ray_address or "this machine", error) from error
    try:
        yield runner
    finally:
        runner.__exit__(None, None, None)
        if not was_connected:
            ray.shutdown()  # which the runner leaves out if the cluster is remote


def training_share(execution: ExecutionSettings, device: Device, nodes: Sequence[Mapping[str, float]]) -> Share:
    """Return what a training takes, including a GPU share if it may train on one and the cluster has any."""
    wants_gpu = device == "cuda" or (device == "auto" and any(node.get("GPU", 0) > 0 for node in nodes))
    whole = 1.0 if execution.gpu_fraction is None else execution.gpu_fraction
    return Share(execution.ray_cpus, whole if wants_gpu else 0.0)


def room(nodes: Sequence[Mapping[str, float]], share: Share) -> int:
    """Return how many trainings can run at once.

    Args:
        nodes: Ray's resources `CPU` and `GPU` of each living node.
        share: What one training takes; it gets one GPU to itself, or its share of one.
    """

    def on(node: Mapping[str, float]) -> int:
        by_cpu = math.floor(node.get("CPU", 0) / share.cpus + 1e-9)
        if share.gpus == 0:
            return by_cpu
        on_each = math.floor(1 / share.gpus + 1e-9)  # 1 / (1 / 49) is a little less than 49
        return min(by_cpu, math.floor(node.get("GPU", 0) + 1e-9) * on_each)

    return sum(on(node) for node in nodes)


def living_nodes() -> list[dict[str, float]]:
    """Return the resources of each living node of the open cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def no_room(execution: ExecutionSettings, share: Share, nodes: Sequence[Mapping[str, float]]) -> SettingsError:
    """Return the error for a cluster that has no room for any training."""
    found = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes) or "none"
    return SettingsError(
        f"execution.ray_address {execution.ray_address or 'null'}: expected a node with {share.cpus:g} CPUs and "
        f"{share.gpus:g} GPUs, which one training takes, found nodes with {found}; add nodes, or set a smaller "
        "execution.ray_cpus or execution.gpu_fraction; or execution.workers, if the cluster grows by itself"
    )


def _no_cluster(address: str, error: Exception) -> InputError:
    words = " ".join(str(error).split())[:200]
    return InputError(
        f"execution.ray_address: expected a Ray cluster at {address}, found none ({words}); start it, correct the "
        "address, or set null for one on this machine"
    )
