"""A Ray cluster: whether it answers, how it is opened, and how many trainings have room on it.

Ray is an optional package; this file and `tasks.ray_workers` are the only ones that import it.
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

from memnas_core.config import Device, ExecutionSettings
from memnas_core.errors import InputError, SettingsError

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner

ANSWER_SECONDS = 5.0
"""A cluster that has not answered by then counts as absent."""

CLIENT_PORT = 10001
"""Of `ray://HOST`."""

STORE_BYTES = 100 * 2**20
"""Of shared memory for Ray's objects on this machine: a job and its record are a few kilobytes, data lie in files."""

_NEITHER = "expected null, auto, ray://HOST:PORT or HOST:PORT"


@dataclass(frozen=True, slots=True)
class Share:
    """What a training takes of a node.

    Attributes:
        cpus: CPUs.
        gpus: GPUs, or the share of one, in [0, 1].
    """

    cpus: float
    gpus: float


def check_cluster(address: str | None) -> None:
    """Check within seconds that Ray is installed, and that something listens where the cluster should be.

    Args:
        address: As `execution.ray_address`.

    Raises:
        SettingsError: Ray is not installed, or the address is none.
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
    """Return where a cluster's address points.

    Raises:
        SettingsError: It is no address.
    """
    is_client = address.startswith("ray://")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon and is_client:
        host, port = port, str(CLIENT_PORT)
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise SettingsError(f'execution.ray_address: {_NEITHER}, found "{address}"')
    return host.strip("[]"), int(port)


def cluster_runner(execution: ExecutionSettings) -> "RayTaskRunner[object]":
    """Return the Prefect task runner that opens the cluster of the settings, or one on this machine that ends with it.

    A cluster that is started is reached from this machine alone, by those who know its secret, and shows no dashboard.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if execution.ray_address is None:
        os.environ |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's word for listening on the loopback interface alone
            "RAY_AUTH_MODE": "token",
            # Else Ray ends several workers as soon as the machine is nearly full, whoever has filled it.
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Else titles of Ray's processes overwrite their environment, by which `flows.guard` knows whom to end when
            # this process was killed: two of Ray's agents would live on.
            "SPT_NOENV": "1",
        }
    from prefect_ray import RayTaskRunner  # Ray reads the environment when it is imported

    options: dict[str, object] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if execution.ray_address == "auto":  # Prefect's runner would start a cluster where it finds none
        return RayTaskRunner(init_kwargs={**options, "address": "auto"})
    if execution.ray_address is not None:
        return RayTaskRunner(address=execution.ray_address, init_kwargs=options)
    # So many as are wanted have room, as with processes, whatever the cores.
    wanted = math.ceil(execution.workers * execution.ray_cpus) if execution.workers else len(os.sched_getaffinity(0))
    options |= {
        "num_cpus": wanted,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }
    return RayTaskRunner(address="local", init_kwargs=options)


@contextmanager
def open_cluster(execution: ExecutionSettings) -> Iterator["RayTaskRunner[object]"]:
    """Give an open Prefect task runner; leaving the block ends the cluster if it was started for it.

    Raises:
        InputError: There is no cluster at the address.
    """
    runner = cluster_runner(execution)
    import ray

    was_connected = ray.is_initialized()  # by whoever runs us: then it stays so
    try:
        runner.__enter__()
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(execution.ray_address or "this machine", error) from error
    try:
        yield runner
    finally:
        runner.__exit__(None, None, None)
        if not was_connected:
            ray.shutdown()  # which the runner leaves out if the cluster is distant


def training_share(execution: ExecutionSettings, device: Device, nodes: Sequence[Mapping[str, float]]) -> Share:
    """Return what a training takes: of a GPU too, if it may train on one and the cluster has any."""
    wants_gpu = device == "cuda" or (device == "auto" and any(node.get("GPU", 0) > 0 for node in nodes))
    whole = 1.0 if execution.gpu_fraction is None else execution.gpu_fraction
    return Share(execution.ray_cpus, whole if wants_gpu else 0.0)


def room(nodes: Sequence[Mapping[str, float]], share: Share) -> int:
    """Return how many trainings run at once.

    Args:
        nodes: Ray's resources of each node that lives: `CPU` and `GPU`.
        share: What one training takes; of a GPU it is given one alone, or its share on one.
    """

    def on(node: Mapping[str, float]) -> int:
        by_cpu = math.floor(node.get("CPU", 0) / share.cpus + 1e-9)
        if share.gpus == 0:
            return by_cpu
        on_each = math.floor(1 / share.gpus + 1e-9)  # 1 / (1 / 49) is a little less than 49
        return min(by_cpu, math.floor(node.get("GPU", 0) + 1e-9) * on_each)

    return sum(on(node) for node in nodes)


def living_nodes() -> list[dict[str, float]]:
    """Return the resources of each node of the open cluster that lives."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def no_room(execution: ExecutionSettings, share: Share, nodes: Sequence[Mapping[str, float]]) -> SettingsError:
    """Return what to say of a cluster on which no training has room."""
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
