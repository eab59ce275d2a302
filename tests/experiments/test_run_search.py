"""One search of the sweep as a stage: its name, what decides it, and a whole one through the real flow."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from experiments import run_search
from experiments.plan import Plan, load_plan
from experiments.run_search import name_in_store
from experiments.search_results import Arm, SearchKey, read_search
from flows.cli import ENVIRONMENT
from memnas_core.errors import SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(ROOT)
    return load_plan()


def search_name(key: SearchKey, plan: Plan) -> str:
    return name_in_store(key.folder_name, plan.load_settings(*key.overrides))


def test_the_name_holds_what_decides_the_result(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    key = SearchKey(Arm.FULL, 0.5, 0)
    names = {
        search_name(other, plan)
        for other in (key, replace(key, seed=1), replace(key, accuracy_weight=0.8), *map(_with_arm, Arm))
    }
    assert len(names) == 5
    name = search_name(key, plan)
    assert name.startswith("lambda-0.5-seed-0-")
    assert name == search_name(key, plan)
    assert name != search_name(key, replace(plan, settings="params.fashion.yaml"))
    monkeypatch.setattr(run_search, "code_version", lambda _result: "other code")
    assert name != search_name(key, plan)


def _with_arm(arm: Arm) -> SearchKey:
    return SearchKey(arm, 0.5, 0)


SETTINGS = """
store: store
data: {dataset: digits, folder: null, image_size: null, validation_fraction: 0.2, max_training_images: 300,
       horizontal_flip: null}
network: {filters: 4, strides: [1, 2]}
search: {seed: 3, moves: grow_and_trim, selection: controller, aim: score,
         seed_cells: [[conv_3x3, conv_3x3]], seed_rungs: [1.0], weights: fresh,
         warm_learning_rate: null, rungs: [1.0], keep: 1.0, top_k: 2, rounds: 2, max_cells: 4,
         max_training_images: null, patience: null}
objective: {accuracy_weight: 0.8, activation_convention: minimum, weight_bytes: 4, activation_bytes: 4,
            device: null, max_param_bytes: null, max_activation_bytes: null, max_total_bytes: null,
            accuracy_floor: null, accuracy: plain}
training: {epochs: 2, batch_size: 32, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.0005, restart_epochs: null,
           restart_factor: 1, crop_padding: 1, cutout_size: 2, device: cpu,
           precision: auto}
controller: {version: improved, target: accuracy, embedding_size: 16, hidden_size: 16, epochs: 10, learning_rate: 0.003}
final: {epochs: 3}
execution: {runner: processes, workers: 1, gpu_fraction: null, memory_limit_bytes: null,
            training_seconds: null, ray_address: null, ray_cpus: 1.0}
tracking: {uri: null, experiment: results}
versioning: {remote: null}
"""


def test_a_search_with_a_random_choice_through_the_real_flow(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    experiments = (ROOT / "experiments.yaml").read_text().replace("params.results.yaml", "settings.yaml")
    (tmp_path / "experiments.yaml").write_text(experiments)
    command = [sys.executable, "-m", "experiments.run_search", "--arm", "random-choice", "--lambda", "0.5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")}

    def run() -> str:
        done = subprocess.run(
            [*command, "--seed", "1"],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "Starting Prefect" in run()
    key = SearchKey(Arm.RANDOM_CHOICE, 0.5, 1)
    result = read_search(key, tmp_path / "results" / "searches")
    metrics = result.metrics
    # 1 + 2 x 2 trainings of 2 epochs, each of 9 full batches of 32; 3 epochs at the end
    assert (metrics.trained, metrics.images_seen_search, metrics.images_seen_final) == (5, 5 * 2 * 288, 3 * 288)
    (folder,) = (tmp_path / "store" / "searches").glob("random-choice-lambda-0.5-seed-1-*/")
    assert folder.name == metrics.name
    for number in (1, 2):
        rows = pq.read_table(folder / "rounds" / f"round-{number:02d}" / "candidates.parquet").to_pylist()
        assert {(row["predicted_score"], row["predicted_accuracy"]) for row in rows} == {(None, None)}
        ranks = {row["predicted_rank"]: row["status"] for row in rows}
        assert [ranks[1], ranks[2], ranks[3]] == ["trained", "trained", "generated"]
    path = tmp_path / "results" / "searches" / key.folder_name / "metrics.json"
    before = path.read_text()
    path.unlink()  # as DVC does before it runs a stage again
    assert "finished before" in run()
    assert json.loads((tmp_path / "results/searches" / key.folder_name / "metrics.json").read_text()) == json.loads(
        before
    )


def test_outside_the_checkout_it_says_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():  # so that the command changes nothing for later tests
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SettingsError, match=r"^experiments.yaml: no such file; run this from the root of the checkout$"
    ):
        run_search.main(["--arm", "full", "--lambda", "0.5", "--seed", "0"], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []
