"""What every process around a search finds in its environment: no telemetry, and no proxy on the way to itself.

Set where `tasks` is imported, before Prefect, MLflow, DVC and Ray read it, so that it holds for children too. What the
user has set stays.
"""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

SILENCE = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Switches with which the packages send nothing home."""

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""With it Python does not look for modules in the current folder, where `-m` and `-c` would begin to look."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def set_environment(environment: MutableMapping[str, str]) -> None:
    """Switch telemetry off, and exempt this machine's own servers from the proxies that the user names."""
    for name, value in SILENCE.items():
        environment[name] = environment.get(name) or value
    # Programs read either spelling; some read the second only where the first is missing.
    names = [name for name in ("no_proxy", "NO_PROXY") if environment.get(name)] or ["no_proxy", "NO_PROXY"]
    for name in names:
        given = [host.strip() for host in environment.get(name, "").split(",") if host.strip()]
        if "*" not in given:
            environment[name] = ",".join([*given, *(host for host in LOOPBACK if host not in given)])


@contextmanager
def safe_path() -> Iterator[None]:
    """Make children that start in the block look for no modules in the current folder, whoever calls."""
    before = {name: os.environ.get(name) for name in SAFE_PATH}
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
