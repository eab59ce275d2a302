"""Addresses, and how many trainings have room on which nodes; hand-worked."""

import socket

import pytest

from memnas_core.errors import InputError, SettingsError
from memnas_core.settings.schema import ExecutionSettings
from tasks.workers.ray_cluster import Share, check_cluster, host_and_port, no_room, room, training_share

HEAD: dict[str, float] = {"memory": 1e9}
SMALL: dict[str, float] = {"CPU": 2.0}
LARGE: dict[str, float] = {"CPU": 9.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [
        (1.0, 0.0, 11),  # 0 + 2 + 9
        (2.0, 0.0, 5),  # 0 + 1 + 4
        (0.5, 0.0, 22),  # 0 + 4 + 18
        (1.0, 1.0, 2),  # a GPU each
        (1.0, 0.23, 8),  # four on each of two GPUs
        (3.0, 0.23, 3),  # 9 CPUs feed three
        (0.01, 1 / 49, 98),  # 49 on each, though 1 / (1 / 49) is a little less
        (1.0, 0.6, 2),  # two shares of 0.6 don't fit on one GPU
        (10.0, 0.0, 0),
    ],
)
def test_room(cpus: float, gpus: float, expected: int) -> None:
    assert room([HEAD, SMALL, LARGE], Share(cpus, gpus)) == expected


def execution(gpu_fraction: float | None = None, address: str | None = None) -> ExecutionSettings:
    return ExecutionSettings("ray", None, gpu_fraction, None, None, ray_address=address, ray_cpus=2.0)


def test_a_training_takes_a_gpu_where_it_may_and_there_is_one() -> None:
    assert training_share(execution(), "auto", [HEAD, SMALL]) == Share(2.0, 0.0)
    assert training_share(execution(), "auto", [HEAD, LARGE]) == Share(2.0, 1.0)
    assert training_share(execution(0.25), "auto", [LARGE]) == Share(2.0, 0.25)
    assert training_share(execution(0.25), "cpu", [LARGE]) == Share(2.0, 0.0)
    assert training_share(execution(0.25), "cuda", [SMALL]) == Share(2.0, 0.25)  # which has no room there


def test_no_room_says_what_was_found() -> None:
    words = str(no_room(execution(address="auto"), Share(2.0, 0.25), [HEAD, SMALL]))
    assert "a node with 2 CPUs and 0.25 GPUs" in words
    assert "found nodes with 0 CPUs and 0 GPUs, 2 CPUs and 0 GPUs" in words
    assert "found nodes with none" in str(no_room(execution(), Share(2.0, 0.0), []))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("ray://head:20001", ("head", 20001)),
        ("ray://head", ("head", 10001)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected


@pytest.mark.parametrize("address", ["head", "http://head:1", "ray://", "head:", ":6379", "head:70000", "head:x", " "])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(SettingsError, match=r"expected null, auto, ray://HOST:PORT or HOST:PORT, found"):
        check_cluster(address)


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(InputError, match=rf"a Ray cluster at ray://127.0.0.1:{port}, found none .*refused"):
        check_cluster(f"ray://127.0.0.1:{port}")
