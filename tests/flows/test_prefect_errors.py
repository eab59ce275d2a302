"""What a person reads when Prefect's server is gone, from real requests to a port where nothing listens."""

import socket

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.prefect_errors import explained
from memnas_core.errors import SchedulerError


def test_a_server_that_is_gone() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    words = rf"{url}: expected an answer from Prefect's server, found .*refused.*--resume"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(SchedulerError, match=words), explained():
        httpx.get(f"{url}/health")
    words = r"expected an answer from the Prefect server that memnas started, .* prefect-server\.log .*--resume"
    with pytest.raises(SchedulerError, match=words), explained():
        httpx.get(f"{url}/health")


def test_a_server_that_is_not_there_when_a_flow_begins() -> None:
    words = r"found Failed to reach API at http://127\.0\.0\.1:1/api/; start it again"
    url = {PREFECT_API_URL: "http://127.0.0.1:1/api"}
    with temporary_settings(url), pytest.raises(SchedulerError, match=words), explained():
        raise RuntimeError("Failed to reach API at http://127.0.0.1:1/api/")


def test_other_errors_are_bugs_and_keep_their_traceback() -> None:
    with pytest.raises(RuntimeError, match="CUDA"), explained():
        raise RuntimeError("CUDA error")
