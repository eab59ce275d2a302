"""Ctrl-C in whole searches: what it leaves, in Prefect's record too, and how they go on."""

import json
import urllib.request

import pytest

from tests.core.processes import wait_until
from tests.flows.conftest import Place, Running
from tests.flows.test_search_end_to_end import outcome

pytestmark = pytest.mark.timeout(1200)


def states(server: dict[str, str], place: Place) -> dict[str, str]:
    """Return the states of a search's flow run and of its rounds' ones, which the server knows by their names."""
    runs = asked(server, {})
    (search,) = [run for run in runs if run["parameters"].get("params") == str(place.params)]
    rounds = asked(server, {"flow_runs": {"parent_flow_run_id": {"any_": [search["id"]]}}})
    return {"search": search["state_type"], **{run["name"]: run["state_type"] for run in rounds}}


def asked(server: dict[str, str], question: dict[str, object]) -> list[dict[str, str]]:
    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/flow_runs/filter",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_ctrl_c_before_the_rounds(place: Place, prefect_server: dict[str, str]) -> None:
    running = place.start(environment=prefect_server)
    wait_until(place.result.with_name(".digits.lock").exists)  # workers are the next thing that it starts
    running.interrupt()
    assert running.process.returncode == 130
    assert running.left_over() == []
    assert states(prefect_server, place) == {"search": "CANCELLED"}
    assert "Traceback" not in running.text()


def test_ctrl_c_ends_it_and_resume_gives_the_same_result(
    finished_search: Running, place: Place, prefect_server: dict[str, str]
) -> None:
    running = place.start(environment=prefect_server)
    running.wait_for_line("round 0:")
    running.wait_for_line("1/4")  # of round 1
    finished_before = len(list(place.result.glob("trainings/*/training.json")))
    running.interrupt()
    assert running.process.returncode == 130
    assert running.left_over() == []
    assert states(prefect_server, place) == {"search": "CANCELLED", "round-0": "COMPLETED", "round-1": "CANCELLED"}
    assert f"memnas search --params {place.params} --name digits --resume" in running.text()
    resumed = place.start("--resume", environment=prefect_server)
    resumed.finish()
    assert "Going on after round 0" in resumed.text()
    assert finished_before >= 4
    assert outcome(place) == outcome(finished_search.place)
