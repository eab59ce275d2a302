"""Searches whose trainings exceed their limits: recorded, skipped, and tried again where there is more room."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from memnas_core.training.process_memory import held_bytes
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers
from tests.flows.conftest import Place, Running
from tests.flows.test_search_end_to_end import outcome

pytestmark = pytest.mark.timeout(1200)


def statuses(place: Place, number: int) -> Counter[str]:
    rows = pq.read_table(place.result / "rounds" / f"round-{number:02d}" / "candidates.parquet").to_pylist()
    return Counter(row["status"] for row in rows if row["status"] != "generated")


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def test_first_networks_that_time_out_end_the_search_and_more_time_brings_it_back(
    finished_search: Running, place: Place, prefect_server: dict[str, str]
) -> None:
    hurried = place.start(*settings("execution.training_seconds=0.001"), environment=prefect_server)
    assert hurried.process.wait() == 1, hurried.text()
    assert hurried.left_over() == []
    last = hurried.text().splitlines()[-1]
    assert "round 0: expected the first network to train, found timed_out, timed_out;" in last
    assert "raise execution.memory_limit_bytes or execution.training_seconds and go on with --resume" in last
    records = [json.loads(path.read_text()) for path in place.result.glob("trainings/*/training.json")]
    assert [(record["status"], record["limits"]["seconds"]) for record in records] == [("timed_out", 0.001)] * 2
    resumed = place.start("--resume", environment=prefect_server)
    resumed.finish()
    assert outcome(place) == outcome(finished_search.place)


def test_a_round_in_which_everything_times_out(place: Place, prefect_server: dict[str, str]) -> None:
    """Candidates would train a thousand times as long as the first networks; the round keeps its base."""
    overrides = settings(
        "search.seed_rungs=[0.05]",
        "search.rungs=[1000, 0.2]",
        "search.top_k=2",
        "search.rounds=1",
        "execution.training_seconds=20",
        "final.epochs=null",
        "objective.accuracy_floor=0.999",
    )
    running = place.start(*overrides, environment=prefect_server)
    running.finish()
    assert running.left_over() == []
    assert "No network is more accurate than objective.accuracy_floor, 0.999: the most accurate has" in running.text()
    assert "timed_out: not finished after 20 s (execution.training_seconds)" in running.text()
    assert "2 failed; winner" in running.text()
    assert "(none, every training failed)" in running.text()
    assert statuses(place, 0) == {"trained": 2}
    assert statuses(place, 1) == {"timed_out": 2}
    assert json.loads((place.result / "metrics.json").read_text())["trained"] == 2
    assert "timed out" in (place.result / "report.html").read_text()
    client = MlflowClient(f"sqlite:///{place.store}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("memnas").experiment_id], "tags.status = 'timed_out'")
    assert [run.info.status for run in runs] == ["FAILED"] * 2
    assert list(place.result.glob("trainings/.*")) == []


def test_networks_that_need_too_much_memory_are_skipped(place: Place, prefect_server: dict[str, str]) -> None:
    """Of two first networks one takes 240 to 290 MB, as its blocks come to lie, and the other 490 to 660."""
    overrides = settings(
        "network.filters=128",
        "network.strides=[1, 1, 1, 1]",
        "training.batch_size=240",
        "search.seed_cells=[[average_pool_3x3, depthwise_3x3], [factorized_7x7, factorized_7x7]]",
        "search.seed_rungs=[0.2]",
        "search.rungs=[0.1]",
        "search.top_k=1",
        "search.rounds=1",
        "final.epochs=null",
    )
    with Workers(cpu_places(1)) as workers:
        limit = workers.run(held_bytes) + 390_000_000
    running = place.start(*overrides, *settings(f"execution.memory_limit_bytes={limit}"), environment=prefect_server)
    running.finish()
    assert running.left_over() == []
    assert f"out_of_memory: out of memory, the limit is {limit:,} bytes: " in running.text()
    assert statuses(place, 0) == {"trained": 1, "out_of_memory": 1}
    assert "round 1: " in running.text()


def test_a_limit_below_a_worker_s_own_memory_is_refused(place: Place, prefect_server: dict[str, str]) -> None:
    running = place.start(*settings("execution.memory_limit_bytes=1000000"), environment=prefect_server)
    assert running.process.wait() == 2, running.text()
    assert "execution.memory_limit_bytes: expected more than the " in running.text().splitlines()[-1]
    assert not place.result.exists()
    assert not (place.store / "data").exists()
