"""What processes find in their environment, and what a user has set."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from memnas_core.workers.spawning import SAFE_PATH
from tasks.environment import SILENCE, set_environment

ROOT = Path(__file__).parents[2]

SAY = """
import json
import {module}
from prefect.settings import PREFECT_SERVER_ANALYTICS_ENABLED
from mlflow.telemetry.utils import is_telemetry_disabled
from prefect._internal.analytics.enabled import is_telemetry_enabled
print(json.dumps([PREFECT_SERVER_ANALYTICS_ENABLED.value(), is_telemetry_enabled(), not is_telemetry_disabled()]))
"""


@pytest.mark.parametrize("module", ["flows.search", "tasks.tracking.tracker"])
def test_importing_a_flow_switches_telemetry_off(module: str) -> None:
    """Prefect and MLflow say so themselves."""
    bare = {name: value for name, value in os.environ.items() if name not in SILENCE and name != "CI"}
    command = [sys.executable, "-c", SAY.format(module=module)]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, False, False]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": "example.org"}, "example.org,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": " a.org , localhost"}, "a.org,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_needs_no_proxy(given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dict(given)
    set_environment(environment)
    assert {environment[name] for name in ("no_proxy", "NO_PROXY") if name in environment} == {expected}
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert all(urllib.request.proxy_bypass(host) for host in ("127.0.0.1", "localhost", "127.0.0.1:4200"))
    assert bool(urllib.request.proxy_bypass("example.net")) == (expected == "*")


def test_what_the_user_has_set_stays() -> None:
    environment = {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "RAY_USAGE_STATS_ENABLED": ""}
    set_environment(environment)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "true"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"  # an empty one says nothing


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "example.org"}, "example.org,127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_scripts_give_the_same_to_what_they_start(given: dict[str, str], expected: str, tmp_path: Path) -> None:
    """The first program that scripts/deploy.sh starts is Python, for which something else stands here."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nenv >seen\nexit 1\n")
    python.chmod(0o755)
    done = subprocess.run([tmp_path / "scripts" / "deploy.sh"], env={"PATH": os.environ["PATH"], **given}, check=False)
    assert done.returncode == 1
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert seen.items() >= (SILENCE | SAFE_PATH).items()
    assert {seen["no_proxy"], seen["NO_PROXY"]} == {expected}
