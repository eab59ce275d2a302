"""Families of hand-scaled networks, and how a network that was handed over is scored."""

from pathlib import Path

import pytest
import torch

from benchmarks.search import families
from benchmarks.search.contestant import Contestant, train_and_test
from benchmarks.search.methods.tally import Tally
from benchmarks.search.methods.trainer import Task
from benchmarks.search.runs import most_accurate
from benchmarks.search.yardstick import LIMITS
from memnas_core.memory.report import memory_report
from memnas_core.settings.file import load_settings
from memnas_core.space.moves import seed_architecture
from memnas_core.tracing.trace import trace
from memnas_core.training.network import build_network

SMALL = (
    "data.max_training_images=200",
    "training.batch_size=32",
    "objective.accuracy_floor=0.1",
    "objective.max_total_bytes=262144",
    "objective.activation_convention=minimum",
)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Task.prepare(load_settings(Path("params.yaml"), SMALL), tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_widest_that_fits_is_handed_over(family: str, task: Task) -> None:
    every, found = list(families.members(family, task)), families.widest(family, task)
    sizes = [one.total_bytes for one in every]
    assert sizes == sorted(sizes)
    for limit in LIMITS:
        fitting = [one for one in every if one.total_bytes <= limit]
        assert fitting[-1] in found
    assert len(every) >= 5
    assert all(one.total_bytes <= LIMITS[-1] for one in found)


@pytest.mark.parametrize("family", families.BUILDERS)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
def test_members_classify_images_and_their_weights_are_counted(family: str, channels: int, side: int) -> None:
    network = families.drawn(family, channels, 10, 6, seed=0).eval()
    assert network(torch.zeros(2, channels, side, side)).shape == (2, 10)
    weights, activations = families.traced_bytes(family, 6, families.Shape(channels, side, side), 10)
    assert weights == 4 * sum(one.numel() for one in network.parameters())
    assert activations > 4 * channels * side * side


def test_a_plain_network_of_width_2_by_hand() -> None:
    # Convolutions 3x3: 3 to 2 channels, 2 to 2, 2 to 4, 4 to 4, 4 to 8, 8 to 8, with batch norms; then 8 to 10.
    weights = sum(9 * read * wide + 2 * wide for read, wide in ((3, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8))) + 90
    # The first convolution reads 3 channels of 32x32 and writes 2; no later layer needs more.
    assert families.traced_bytes("plain family", 2, families.Shape(3, 32, 32), 10) == (4 * weights, 4 * 5 * 32 * 32)


def test_scores_are_kept_and_follow_from_the_seed(task: Task, tmp_path: Path) -> None:
    one = families.widest("plain family", task)[0]
    scores = train_and_test(one, task, 640, tmp_path / "a")
    assert train_and_test(one, task, 640, tmp_path / "b") == scores
    assert scores.test > 0.2  # guessing has 0.1
    (kept,) = (tmp_path / "a").iterdir()
    kept.write_text('{"validation": 0.5, "test": 0.25}')
    assert train_and_test(one, task, 640, tmp_path / "a") == (0.5, 0.25)


def test_the_most_accurate_within_each_limit_is_handed_over(task: Task) -> None:
    tally = Tally()
    networks = {filters: seed_architecture((1, 2, 1, 2, 1), filters) for filters in (4, 8, 16, 24)}
    for filters, accuracy in ((4, 0.8), (8, 0.7), (16, 0.9), (24, 0.95)):
        tally.add(networks[filters], accuracy, task.measure(networks[filters]), 1, f"key {filters}")
    sizes = {filters: Contestant.of(network, task).total_bytes for filters, network in networks.items()}
    wanted = []
    for limit in LIMITS:
        inside = [filters for filters, size in sizes.items() if size <= limit]
        accuracies = {4: 0.8, 8: 0.7, 16: 0.9, 24: 0.95}
        wanted.append(networks[max(inside, key=lambda filters: accuracies[filters])].arch_id)
    assert [one.name for one in most_accurate(tally, task)] == list(dict.fromkeys(wanted))


def test_both_kinds_of_network_are_measured_alike(task: Task) -> None:
    architecture = task.space.seeds[0]
    network = build_network(task.info.graph(architecture), seed=0)
    report = memory_report(trace(network, task.info.shape), 4, 4)
    one = Contestant.of(architecture, task)
    assert (one.param_bytes, one.activation_bytes) == (report.param_bytes, report.peaks["minimum"])
