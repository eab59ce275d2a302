"""What every process around a search finds in its environment: no telemetry, and no proxy on the way to itself.

Set where `tasks` is imported, before Prefect, MLflow, DVC and Ray read it, so that it holds for children too. What the
user has set stays.
"""

from collections.abc import MutableMapping

SILENCE = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Switches with which the packages send nothing home."""

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
