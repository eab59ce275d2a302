"""What a search leaves in git is what is in its store, and reads back."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.plan import Plan, load_plan
from experiments.search_results import (
    SEARCHES,
    Arm,
    SearchKey,
    SearchResult,
    ablation_keys,
    best_so_far,
    read_search,
    sweep_keys,
)
from memnas_core.errors import RecordError
from memnas_core.memory.figures import measure
from memnas_core.records.candidates import CandidateRow
from memnas_core.settings.file import load_settings
from memnas_core.space.architecture_json import from_json
from memnas_core.space.layers import Shape, Workload
from tests.experiments.made_up_searches import full, make_search

ROOT = Path(__file__).parents[2]
# Round 1 has a failure, in round 2 all fail, round 3 has a winner again.
ACCURACIES = [[0.5], [0.6, None, 0.55], [None, None], [0.7, 0.4]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searches")
    make_search(folder, full(0.8, 3), ACCURACIES)
    return folder


@pytest.fixture(scope="module")
def result(place: Path) -> SearchResult:
    return read_search(full(0.8, 3), place / SEARCHES)


def test_folder_names() -> None:
    assert SearchKey(Arm.FULL, 0.5, 0).folder_name == "lambda-0.5-seed-0"
    assert SearchKey(Arm.GROW_ONLY, 0.5, 2).folder_name == "grow-only-lambda-0.5-seed-2"
    assert SearchKey(Arm.RANDOM_CHOICE, 1, 1).folder_name == "random-choice-lambda-1.0-seed-1"


@pytest.mark.parametrize(
    ("arm", "moves", "selection"),
    [
        (Arm.FULL, "grow_and_trim", "controller"),
        (Arm.GROW_ONLY, "grow", "controller"),
        (Arm.RANDOM_CHOICE, "grow_and_trim", "random"),
    ],
)
def test_arms_differ_in_one_setting(arm: Arm, moves: str, selection: str) -> None:
    settings = load_settings(ROOT / "params.results.yaml", SearchKey(arm, 0.2, 7).overrides)
    assert (settings.search.moves, settings.search.selection) == (moves, selection)
    assert (settings.objective.accuracy_weight, settings.search.seed) == (0.2, 7)


def test_the_plan_has_the_searches_of_the_issue() -> None:
    plan: Plan = load_plan(ROOT / "experiments.yaml")
    keys = sweep_keys(plan)
    assert {key.accuracy_weight for key in keys} == {0, 0.2, 0.5, 0.8, 1}
    assert len({key.seed for key in keys}) >= 3
    others = ablation_keys(plan)
    assert {key.arm for key in others} == set(Arm)
    # What the ablations compare with comes from the sweep.
    assert {key for key in others if key.arm is Arm.FULL} <= set(keys)
    assert len({key.folder_name for key in (*keys, *others)}) == len({*keys, *others})


def test_the_metrics_say_what_the_search_cost(place: Path, result: SearchResult) -> None:
    metrics = result.metrics
    assert (metrics.arm, metrics.accuracy_weight, metrics.seed) == (Arm.FULL, 0.8, 3)
    assert (metrics.dataset, metrics.channels, metrics.image_size, metrics.classes) == ("digits", 1, 8, 10)
    assert (metrics.training_images, metrics.validation_images, metrics.test_images) == (100, 20, 20)
    # 1 + 3 + 2 + 2 trainings of 100 images; failures have seen theirs too
    assert (metrics.trained, metrics.failed, metrics.rounds, metrics.images_seen_search) == (5, 3, 3, 800)
    assert metrics.training_cpu_seconds == pytest.approx(8 * 1.5)
    assert metrics.search_seconds == pytest.approx(4 * 60)
    assert (metrics.final_epochs, metrics.images_seen_final, metrics.final_seconds) == (2, 100, 1.5)
    assert metrics.test_accuracy == pytest.approx(metrics.search_accuracy + 0.05)
    assert metrics.torch == "2.14.1"
    document = json.loads((place / SEARCHES / "lambda-0.8-seed-3" / "metrics.json").read_text())
    assert (document["lambda"], document["arm"], document["machine"]) == (0.8, "full", "Abacus, 1 core, Linux")


def test_the_chosen_network_has_the_bytes_of_its_architecture(result: SearchResult) -> None:
    metrics, figures = result.metrics, measure(result.architecture, Workload(Shape(1, 8, 8), 10, 4, 4))
    assert result.architecture.arch_id == metrics.arch_id
    assert metrics.memory == figures
    assert metrics.activation_bytes == figures.minimum_bytes
    assert replace(metrics, activation_convention="arena").activation_bytes == figures.arena_bytes


def test_results_from_before_there_were_arenas_are_read(place: Path, tmp_path: Path, result: SearchResult) -> None:
    older = tmp_path / result.key.folder_name
    shutil.copytree(place / SEARCHES / result.key.folder_name, older)
    document = json.loads((older / "metrics.json").read_text())
    del document["arena_bytes"]
    (older / "metrics.json").write_text(json.dumps(document))
    found = read_search(result.key, tmp_path).metrics
    assert found == replace(result.metrics, memory=replace(result.metrics.memory, arena_bytes=None))
    assert found.activation_bytes == result.metrics.memory.minimum_bytes
    with pytest.raises(RecordError, match="arena_bytes"):
        _ = replace(found, activation_convention="arena").activation_bytes


def test_the_tables_hold_what_was_trained(place: Path, result: SearchResult) -> None:
    assert len(result.candidates) == 8
    assert [len(rows) for rows in result.rounds] == [1, 3, 2, 2]
    assert result.images_seen == (100, 400, 600, 800)
    first, second, third, fourth = result.winners
    assert third == second, "a round in which everything failed hands on what it was given"
    assert (first.round, second.round, fourth.round) == (0, 1, 3)
    folder = place / SEARCHES / "lambda-0.8-seed-3"
    assert {path.name for path in folder.iterdir()} == {
        "rounds.csv",
        "front.csv",
        "candidates.parquet",
        "architecture.json",
        "metrics.json",
    }
    with (folder / "rounds.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["winner_id"] for line in lines] == [row.arch_id for row in result.winners]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 60_000


def test_the_best_so_far_by_hand(result: SearchResult) -> None:
    """Eq. 4 of the chosen network relative to the first, not to its own base."""
    objective = load_settings(ROOT / "params.results.yaml", full(0.8).overrides).objective
    seed = result.candidates[0]

    def y(row: CandidateRow) -> float:
        activations = (row.memory.minimum_bytes - seed.memory.minimum_bytes) / seed.memory.minimum_bytes
        params = (row.memory.param_bytes - seed.memory.param_bytes) / seed.memory.param_bytes
        return 0.8 * ((row.measured_accuracy or 0) - 0.5) / 0.5 - 0.2 * (activations + params)

    found = best_so_far(result.rounds, objective)
    assert found[0] == (seed, 0.0)
    so_far = []
    for (row, score), rows in zip(found, result.rounds, strict=True):
        so_far += [candidate for candidate in rows if candidate.measured_accuracy is not None]
        assert score == pytest.approx(y(row))
        assert score == pytest.approx(max(y(candidate) for candidate in so_far))
    assert found[-1][0].arch_id == result.metrics.arch_id
    assert found[-1][1] == pytest.approx(result.metrics.score)
    assert from_json(found[-1][0].architecture) == result.architecture


def test_what_is_missing_or_wrong_is_one_line(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"lambda-0.8-seed-4.*make it with dvc repro"):
        read_search(full(0.8, 4), place / SEARCHES)
    for name, text, words in (
        ("metrics.json", "{}", "expected the result of a search"),
        ("metrics.json", "[]", "expected the result of a search"),
        ("architecture.json", "{}", "expected the result of a search"),
    ):
        folder = tmp_path / name / text / "lambda-0.8-seed-3"
        folder.mkdir(parents=True)
        for path in (place / SEARCHES / "lambda-0.8-seed-3").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / name).write_text(text)
        with pytest.raises(RecordError, match=words):
            read_search(full(0.8, 3), folder.parent)
    renamed = tmp_path / "lambda-0.5-seed-3"
    renamed.mkdir()
    for path in (place / SEARCHES / "lambda-0.8-seed-3").iterdir():
        (renamed / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=r"expected the search lambda-0\.5-seed-3, found lambda-0\.8-seed-3"):
        read_search(full(0.5, 3), tmp_path)
