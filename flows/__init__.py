"""Flows that compose the tasks of a search, and the command line."""

import tasks  # noqa: F401 -- it switches telemetry off before a flow's module imports Prefect
