"""The comparison with MobileNetV2, without its search and its trainings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.handmade import (
    FOUND,
    PARAMS,
    WIDTHS,
    Job,
    Row,
    contenders,
    mobilenet_name,
    most_accurate,
    notes,
    table,
)
from memnas_core.architecture_json import to_json
from memnas_core.grow_trim import seed_architecture
from memnas_core.memory_report import memory_report
from memnas_core.result_folder import SearchFolder
from memnas_core.settings_file import load_settings
from memnas_core.trace import trace
from tests.core.small_search import START, SmallSearch, small_settings

SHAPE, CLASSES = (1, 28, 28), 10
TRAINING = load_settings(PARAMS).training


def row(network: str, seed: int, accuracy: float | None, total: int) -> Row:
    return Row(network, "", seed, accuracy, total // 2, total // 2, total, 40_000, 1.0)


def test_table_compares_means_and_memory() -> None:
    rows = [
        row(mobilenet_name(1.0), 0, 0.80, 1_000_000),
        row(mobilenet_name(1.0), 1, 0.84, 1_000_000),
        row(mobilenet_name(0.5), 0, 0.81, 500_000),
        row(mobilenet_name(0.5), 1, None, 500_000),
        row(FOUND, 0, 0.83, 100_000),
        row(FOUND, 1, 0.82, 100_000),
    ]
    lines = list(table(rows))
    # Means: 0.82 for MobileNetV2, 0.825 for the found one and, of the training that did not diverge, 0.81.
    assert lines[0] == "- found: at least as accurate (0.8250 against 0.8200), with 10.00% of MobileNetV2's memory"
    assert "| MobileNetV2, width 0.5 | 0.8100 (0.8100, diverged) | 250.0 | 250.0 | 500.0 |" in lines
    assert any("2 trainings a network (seeds 0, 1)" in line for line in notes(rows, load_settings(PARAMS)))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_narrow_mobilenet_is_torchvisions(width: float, tmp_path: Path) -> None:
    network = Job(mobilenet_name(width), width, "", 0, tmp_path, TRAINING, tmp_path).build(SHAPE, CLASSES)
    assert network(torch.zeros(2, *SHAPE)).shape == (2, CLASSES)
    # torchvision rounds channels to multiples of 8: the second stage has 24, 16 (of 12) and 8 (of 6).
    assert network.features[2].conv[-1].num_features == {1.0: 24, 0.5: 16, 0.25: 8}[width]
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert memory_report(trace(network, SHAPE), 4, 4).param_bytes == 4 * weights


def test_a_job_knows_what_it_trains(tmp_path: Path) -> None:
    architecture = seed_architecture((2, 1), 4)
    job = Job("found", None, to_json(architecture), 3, tmp_path, TRAINING, tmp_path)
    again = replace(job)
    others = [replace(job, seed=4), replace(job, settings=replace(TRAINING, epochs=9)), replace(job, width=0.5)]
    assert job.path == again.path
    assert len({job.path, *(other.path for other in others)}) == 4
    first, second = (one.build(SHAPE, CLASSES).state_dict() for one in (job, again))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_contenders_are_the_most_accurate_of_the_small_ones(tmp_path: Path) -> None:
    search = SmallSearch(small_settings(tmp_path), SearchFolder(tmp_path / "searches" / "small"))
    search.folder.begin(search.settings, START)
    search.write_round([0.6])
    search.write_round([0.5, 0.9, None, 0.7])
    trained = sorted((row for row in search.rows if row.measured_accuracy), key=lambda row: -row.measured_accuracy)
    assert [row.measured_accuracy for row in trained] == [0.9, 0.7, 0.6, 0.5]
    total = [row.param_bytes + row.sequential_bytes for row in trained]
    for limit in (max(total) + 1, max(total), min(total) + 1, min(total)):
        expected = [row.arch_id for row, need in zip(trained, total, strict=True) if need < limit]
        assert [architecture.arch_id for architecture in contenders(search.folder, limit)] == expected


def test_the_most_accurate_on_validation_images_is_found(tmp_path: Path) -> None:
    job = Job("a", None, to_json(seed_architecture((2, 1), 4)), 100, tmp_path, TRAINING, tmp_path)
    others = [job, replace(job, seed=101), replace(job, seed=102)]
    for each, accuracy in zip(others, (0.3, 0.5, 0.0), strict=True):
        each.path.write_text(json.dumps(accuracy))
    assert most_accurate(others) is others[1]
