"""Three people search at once on one installation: Prefect and MLflow on PostgreSQL, DVC on S3, all of them real.

Alice and Bob use the MLflow server and the same experiment, and search under the same name; Carol writes to PostgreSQL
directly, and her DVC remote does not answer.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from mlflow import MlflowClient

from memnas_core.errors import TrackingError
from tasks.environment import SILENCE
from tasks.tracking.store import check_reachable
from tests.flows.conftest import MEMNAS, Place, Running, new_place
from tests.flows.team import Team, new_team
from tests.flows.test_search_end_to_end import candidates, outcome

pytestmark = pytest.mark.timeout(2400)

PEOPLE = ("alice", "bob", "carol")
REMOTE = "s3://memnas/team"
NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with new_team() as team:
        started = team.script("start")
        try:
            assert started.returncode == 0, started.stderr
            yield team
        finally:
            team.script("stop")


@pytest.fixture(scope="module")
def searches(team: Team, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Running]:
    """The searches of all people, at once, to their end."""
    running = {}
    for person in PEOPLE:
        place = new_place(tmp_path_factory.mktemp(person))
        tracking = {"uri": team.environment["MLFLOW_TRACKING_URI"], "experiment": "memnas"}
        environment = team.environment | {"LOGNAME": person}
        if person == "carol":
            tracking = {"uri": team.database("mlflow"), "experiment": "carol"}
            environment["AWS_ENDPOINT_URL"] = NOBODY
        settings = [f"tracking.{key}={json.dumps(value)}" for key, value in tracking.items()]
        arguments = [part for setting in [*settings, f"versioning.remote={REMOTE}"] for part in ("--set", setting)]
        running[person] = place.start(*arguments, environment=environment)
    for search in running.values():
        search.process.wait()
    return running


@pytest.mark.parametrize("person", PEOPLE)
def test_each_ends_with_the_tables_that_it_has_alone(
    person: str, searches: dict[str, Running], finished_search: Running
) -> None:
    search = searches[person]
    assert search.process.returncode == 0, search.text()
    assert search.left_over() == []
    assert outcome(search.place) == outcome(finished_search.place)


def test_servers_send_nothing_home(team: Team) -> None:
    prefect, mlflow, *_ = (psutil.Process(pid).environ() for pid in team.leaders())
    assert prefect.items() >= SILENCE.items()
    assert mlflow.items() >= SILENCE.items()


def test_mlflow_tells_the_searches_apart(team: Team, searches: dict[str, Running]) -> None:
    client = MlflowClient(team.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("memnas")
    runs = client.search_runs([experiment.experiment_id])
    labels = {run.data.tags["search"] for run in runs}
    assert len(labels) == 2
    for label in labels:
        of_search = [run for run in runs if run.data.tags["search"] == label]
        search = next(run for run in of_search if run.data.tags["kind"] == "search")
        person = search.info.user_id
        assert person in ("alice", "bob")
        assert search.data.tags["folder"] == str(searches[person].place.result)
        assert {run.info.user_id for run in of_search} == {person}
        assert {run.info.status for run in of_search} == {"FINISHED"}
        kinds = sorted(run.data.tags["kind"] for run in of_search)
        assert kinds == ["candidate"] * 10 + ["round"] * 3 + ["search"]
        trained = [row for row in candidates(searches[person].place) if row["status"] == "trained"]
        logged = {run.data.tags["arch_id"]: run for run in of_search if run.data.tags["kind"] == "candidate"}
        assert {row["arch_id"] for row in trained} == set(logged)
        for row in trained:
            assert logged[row["arch_id"]].data.metrics["accuracy"] == row["measured_accuracy"]


@pytest.mark.usefixtures("searches")
def test_each_search_has_a_version_of_the_model_of_its_name(team: Team) -> None:
    client = MlflowClient(team.environment["MLFLOW_TRACKING_URI"])
    owners = {}
    for model in client.search_registered_models():
        searches = [client.get_run(version.run_id) for version in client.search_model_versions(f"name='{model.name}'")]
        assert {search.data.tags["model"] for search in searches} == {model.name}
        owners[model.name] = sorted(search.info.user_id for search in searches)
    assert owners == {"memnas-digits": ["alice", "bob"], "carol-digits": ["carol"]}


def test_no_password_is_in_what_others_read(team: Team, searches: dict[str, Running]) -> None:
    client = MlflowClient(team.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("carol")
    (search,) = client.search_runs([experiment.experiment_id], "tags.kind = 'search'")
    secret = team.passwords["mlflow_database_password"]
    assert search.data.params["tracking.uri"] == team.database("mlflow").replace(secret, "***")
    assert not any(secret in repr(run.to_dictionary()) for run in client.search_runs([experiment.experiment_id]))
    assert secret not in searches["carol"].text()
    command_lines = [" ".join(process.cmdline()) for process in team.processes()]
    assert not any(secret in line for line in command_lines for secret in team.passwords.values())


@pytest.mark.usefixtures("searches")
def test_both_databases_are_used(team: Team) -> None:
    with psycopg.connect(team.database("prefect")) as connection:
        found = connection.execute(
            "SELECT flow_run.state_type, count(*) FROM flow_run JOIN flow ON flow.id = flow_run.flow_id "
            "WHERE flow.name = 'memnas-search' GROUP BY 1"
        ).fetchall()
    assert found == [("COMPLETED", 3)]
    with psycopg.connect(team.database("mlflow")) as connection:
        found = connection.execute("SELECT count(*) FROM runs").fetchall()
    assert found == [(42,)]


def test_another_machine_pulls_a_search(team: Team, searches: dict[str, Running], tmp_path: Path) -> None:
    client = MlflowClient(team.environment["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("memnas")
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'search'")
    run = next(run for run in runs if run.info.user_id == "alice")
    python, environment = sys.executable, os.environ | team.environment
    download = [python, "-m", "mlflow", "artifacts", "download", "-r", run.info.run_id, "-a", "store", "-d", tmp_path]
    subprocess.run(download, env=environment, check=True)
    store = tmp_path / "store"
    assert not list(store.rglob("*.parquet"))
    subprocess.run([python, "-m", "dvc", "pull", "-q"], cwd=store, env=environment, check=True)
    alices = searches["alice"].place.store
    for folder in ("data", "searches/digits/rounds", "searches/digits/chosen"):
        assert files(store / folder) == files(alices / folder)
    assert any(name.endswith(".safetensors") for name in files(store / "searches/digits/rounds"))


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file but memnas's locks, which no version holds."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_remote_that_does_not_answer_costs_a_warning(
    team: Team, searches: dict[str, Running], tmp_path: Path
) -> None:
    """Afterwards `dvc push` in the store copies what is missing, as the last line says."""
    text = searches["carol"].text()
    assert text.count(f"cannot copy to {REMOTE}: Could not connect to the endpoint URL") >= 1
    assert text.count("The search goes on, and tries again after each round and at its end.") == 1
    assert "5 versions are not yet at the DVC remote" in text.splitlines()[-1]
    store = searches["carol"].place.store
    assert f"they are in {store}; once the remote answers, run `dvc push` there." in text
    dvc = [sys.executable, "-m", "dvc"]
    environment = os.environ | team.environment | {"DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    subprocess.run([*dvc, "remote", "modify", "-q", "memnas", "url", "s3://memnas/carol"], cwd=store, check=True)
    subprocess.run([*dvc, "push", "-q"], cwd=store, env=environment, check=True)
    status = subprocess.run(
        [*dvc, "status", "-c"], cwd=store, env=environment, capture_output=True, text=True, check=True
    )
    assert "in sync" in status.stdout, status.stdout + status.stderr


def test_only_this_machine_and_only_with_passwords(team: Team) -> None:
    for name in ("passwords.env", "team.env", "s3.env"):
        assert (team.folder / name).stat().st_mode & 0o777 == 0o600
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in team.ports.values()
    }
    assert listening == {("127.0.0.1", port) for port in team.ports.values()}
    for wrong in (
        team.database("prefect", user="mlflow"),
        team.database("mlflow").replace(team.passwords["mlflow_database_password"], "guess"),
    ):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(wrong)
    url = f"{team.environment['PREFECT_API_URL']}/flows/filter"
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        (
            "//mlflow:",
            "//mlflow:guessed-",
            "its user or password is wrong; correct tracking.uri, PGPASSWORD or ~/.pgpass",
        ),
        ("/mlflow", "/nowhere", "there is no such database or user; make it, or correct tracking.uri"),
    ],
)
def test_a_login_that_postgresql_refuses_is_told_at_once(team: Team, old: str, new: str, advice: str) -> None:
    head, found, tail = team.database("mlflow").rpartition(old)
    assert found
    with pytest.raises(TrackingError) as caught:  # MLflow itself would try for half an hour
        check_reachable(head + new + tail)
    assert str(caught.value).endswith(advice)
    assert team.passwords["mlflow_database_password"] not in str(caught.value)


def test_wrong_keys_are_one_line_before_anything_is_written(team: Team, place: Place) -> None:
    done = subprocess.run(
        [MEMNAS, "search", "--params", place.params, "--set", f"versioning.remote={REMOTE}"],
        env=os.environ | team.environment | {"AWS_SECRET_ACCESS_KEY": "guess"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"memnas: versioning.remote: {REMOTE}: expected keys that may list and write there")
    assert len(done.stderr.splitlines()) == 1
    assert not place.store.exists()


@pytest.mark.usefixtures("searches")
def test_status_a_second_start_and_stop(team: Team) -> None:
    """Last, since it ends the services."""
    status = team.script("status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert len(status.stdout.splitlines()) == 4
    before, leaders = team.processes(), team.leaders()
    assert set(leaders) <= {process.pid for process in before}
    again = team.script("start")
    assert again.returncode == 0, again.stderr
    assert team.leaders() == leaders
    stopped = team.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert team.processes() == []
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in before)
    assert team.script("status").returncode == 1
    assert not (team.folder / "team.env").exists()


def test_a_port_that_is_taken() -> None:
    with new_team() as team, socket.socket() as other:
        other.bind(("127.0.0.1", team.ports["MLFLOW"]))
        other.listen()
        done = team.script("start")
        assert done.returncode == 1
        port = team.ports["MLFLOW"]
        assert done.stderr == (
            f"error: port {port} of 127.0.0.1 is taken by something else; free it, or choose another: "
            "MEMNAS_TEAM_MLFLOW_PORT=PORT\n"
        )
        assert not team.folder.exists()
