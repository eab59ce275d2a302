"""What Prefect's users see of a search: names, parameters, tags, logs, artifacts, and deployments without a script."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.core.processes import wait_until
from tests.flows.conftest import PREFECT, TINY_SETTINGS, Running, new_place

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(1800)


class Api:
    """A Prefect server, asked through its REST interface."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._url = environment["PREFECT_API_URL"]

    def find(self, what: str, **filters: object) -> list[dict[str, Any]]:
        found = httpx.post(f"{self._url}/{what}/filter", json=filters, timeout=60, trust_env=False)
        found.raise_for_status()
        return found.json()

    def runs(self, **wanted: object) -> list[dict[str, Any]]:
        return self.find("flow_runs", flow_runs=wanted, sort="START_TIME_ASC")

    def states(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all states that a run was in, the first one first."""
        found = httpx.get(
            f"{self._url}/flow_run_states/", params={"flow_run_id": run["id"]}, timeout=60, trust_env=False
        )
        found.raise_for_status()
        return sorted(found.json(), key=lambda state: state["timestamp"])

    def logs(self, run: dict[str, Any]) -> list[str]:
        return [line["message"] for line in self.find("logs", logs={"flow_run_id": {"any_": [run["id"]]}})]

    def artifacts(self, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = self.find("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
        return {artifact["key"]: artifact for artifact in found}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> Running:
    """A search named `Pages 1` of one round, recorded on the server."""
    place = new_place(tmp_path_factory.mktemp("pages"))
    running = place.start("--name", "Pages 1", "--set", "search.rounds=1", environment=prefect_server)
    running.finish()
    return running


def test_a_search_looks_native(searched: Running, prefect_server: dict[str, str]) -> None:
    api, place = Api(prefect_server), searched.place
    (run,) = api.runs(name={"like_": "Pages 1-"})
    assert run["name"] == f"Pages 1-{run['start_time'][:10]}"
    assert run["parameters"] == {
        "params": str(place.params), "name": "Pages 1", "resume": False, "changes": {"search": {"rounds": 1}}
    }  # fmt: skip
    assert run["tags"] == ["Pages 1"]
    rounds = api.runs(parent_flow_run_id={"any_": [run["id"]]})
    assert [(each["name"], each["parameters"], each["tags"]) for each in rounds] == [
        (f"round-{number}", {"number": number}, ["Pages 1"]) for number in (0, 1)
    ]

    said = searched.text()
    logs = api.logs(run)
    (expected,) = [line for line in logs if line.startswith("Rounds: 1, of 4 candidates each")]
    assert said.count(expected) == 1
    assert said.index(expected) < said.index("round 0:")
    assert any(line.startswith("Report: ") for line in logs)
    assert any(line.startswith("round 1: ") for line in api.logs(rounds[1]))

    folder = place.store / "searches" / "Pages 1"
    table = pq.read_table(folder / "rounds" / "round-01" / "candidates.parquet").to_pylist()
    trained = {row["arch_id"]: row for row in table if row["training_seconds"] is not None}
    shown = json.loads(api.artifacts(rounds[1])["memnas-pages-1-candidates"]["data"])
    assert {(row["network"], row["accuracy"], row["weights, bytes"]) for row in shown} == {
        (arch_id[:8], row["measured_accuracy"], row["param_bytes"]) for arch_id, row in trained.items()
    }
    tasks = api.find("task_runs", flow_runs={"id": {"any_": [rounds[1]["id"]]}}, limit=200)
    rungs = sorted(task["name"] for task in tasks if task["name"].startswith("rung-"))
    assert len(rungs) == 4 + 2
    assert {name.rpartition("-")[2] for name in rungs if name.startswith("rung-1-")} == set(trained)

    artifacts = api.artifacts(run)
    assert artifacts["memnas-pages-1-progress"]["data"] == 100
    assert (folder / "report.html").as_uri() in artifacts["memnas-pages-1-report"]["data"]
    assert "http://127.0.0.1:5000/#/experiments/" in artifacts["memnas-pages-1-mlflow"]["data"]


@pytest.fixture
def other_machine(tmp_path: Path, prefect_server: dict[str, str]) -> Iterator[Path]:
    """A checkout whose worker takes runs of the pool, and nothing from the folder that deploys."""
    checkout = tmp_path / "there"
    copy_project(checkout)
    (checkout / "params.yaml").write_text(TINY_SETTINGS.format(store="store"))
    environment = os.environ | prefect_server | {"MEMNAS_ROOT": str(checkout)}
    command = [PREFECT, "worker", "start", "--pool", "memnas-local", "--type", "process"]
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "started!" in (tmp_path / "worker.log").read_text() or worker.poll() is not None)
        assert worker.poll() is None, (tmp_path / "worker.log").read_text()
        yield checkout
    finally:
        worker.terminate()
        worker.wait()


def copy_project(to: Path) -> None:
    for name in ("flows", "tasks", "memnas_core"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", to)


def test_a_deployment_runs_elsewhere_one_run_after_the_other(
    other_machine: Path, prefect_server: dict[str, str], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    copy_project(here)

    def prefect(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in (os.environ | prefect_server).items() if name != "MEMNAS_ROOT"}
        return subprocess.run([PREFECT, "--no-prompt", *arguments], cwd=here, env=environment, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)  # fmt: skip

    def run(rounds: int, *options: str) -> "subprocess.CompletedProcess[str]":
        changes = json.dumps({"changes": {"search": {"rounds": rounds}}})
        return prefect("deployment", "run", "memnas-search/local", "--params", changes, *options)

    done = prefect("deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    refused = run(0)
    assert refused.returncode != 0
    assert "0 is less than the minimum of 1" in refused.stdout + refused.stderr

    api = Api(prefect_server)
    for options in ([], ["--watch"]):  # the second one ends last
        ran = run(1, *options)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    first, second = api.runs(tags={"all_": ["memnas"]})
    assert (first["state_name"], second["state_name"]) == ("Completed", "Completed"), [
        api.logs(first),
        api.logs(second),
    ]
    waited = [state["name"] for state in api.states(second)]
    assert waited.index("AwaitingConcurrencySlot") < waited.index("Running")
    assert first["end_time"] <= second["start_time"]
    assert (other_machine / "store" / "searches" / "digits" / "report.html").is_file()
    assert not (here / "store").exists()
    assert first["name"] == f"digits-{first['start_time'][:10]}"
    assert sorted(first["tags"]) == ["digits", "memnas"]
    assert any(line.startswith("Report: ") for line in api.logs(first))
