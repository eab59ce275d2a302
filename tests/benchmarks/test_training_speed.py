"""The speed benchmark: its loops on a few images, and what it writes from made-up rows."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.training_speed.__main__ import Task, _network, multiplications, tasks, training_flops, turn
from benchmarks.training_speed.loops import LOOPS, image_transform, train
from benchmarks.training_speed.report import LOOKS, MEMNAS, Row, findings, saved_images, speed_picture, tables
from memnas_core.data import Dataset, open_dataset, prepare_dataset
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import DataSettings
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training.network import build_network

SETTINGS = replace(load_settings(Path(__file__).parents[2] / "params.yaml").training, epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = DataSettings("digits", None, None, 0.2, 70, None)
    return prepare_dataset(settings, 0, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def digits(folder: Path) -> Dataset:
    return open_dataset(folder)


def test_every_loop_trains(digits: Dataset) -> None:
    """70 images in batches of 32: two steps, and 6 images left out."""
    graph = lower(seed_architecture((1, 2), 4), Shape(*digits.info.shape), len(digits.info.classes))
    for loop in LOOPS:
        network = build_network(graph, 0)
        before = [weight.clone() for weight in network.parameters()]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            assert train(network, digits, SETTINGS, loop) == 64
        assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_the_plain_loop_augments_as_memnas_does(digits: Dataset) -> None:
    """A cutout of 2x2 pixels is set to the average pixel, which is 0, and padding is too."""
    transform = image_transform(digits, replace(SETTINGS, crop_padding=0, cutout_size=2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = transform(torch.full((1, 8, 8), 255, dtype=torch.uint8))
    assert found.shape == (1, 8, 8)
    assert (found == 0).sum() == 4
    info = digits.info
    assert found.max().item() == pytest.approx((1 - info.channel_mean[0]) / info.channel_std[0], rel=1e-5)


def test_operations_by_hand() -> None:
    """One block of F = 4 at stride 1 on 1x8x8 pixels, two convolutions 3x3 of the stem's output, 10 classes.

    Forward: 64 pixels x 9 x 1 x 4 = 2,304 (stem), twice 64 x 9 x 4 x 4 = 9,216, 4 x 10 = 40 (classifier).
    Training: 2 operations each, times 2 for the stem, which passes no gradient on, and 3 for the others.
    """
    graph = lower(seed_architecture((1,), 4), Shape(1, 8, 8), 10)
    assert sorted(filter(None, map(multiplications, graph.layers))) == [40, 2304, 9216, 9216]
    assert training_flops(graph) == 2 * (2 * 2304 + 3 * (9216 + 9216 + 40))


def test_tasks_are_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    first, again = tasks(tmp_path, 128), tasks(tmp_path, 128)
    assert first == again
    assert [len(task.architecture.blocks[0].cells) for task in first] == [1, 3]
    assert [task.settings.epochs for task in first] == [4, 1]


def test_turns_go_on_with_one_network(folder: Path) -> None:
    task = Task("tiny", seed_architecture((1, 2), 4), folder, SETTINGS)
    for name in ("plain", "fused", MEMNAS):
        images, seconds = turn(task, name)
        first = [weight.clone() for weight in _network(task, name).parameters()]
        assert images == 64
        assert seconds > 0
        turn(task, name)
        assert not any(torch.equal(old, new) for old, new in zip(first, _network(task, name).parameters(), strict=True))


def made_up() -> list[Row]:
    """memnas is twice as fast as the plain loop, twice the speed is 100 images a second, 10 MFLOP an image."""
    rows = [Row.of("peak", "16 channels, 8x8", 1, 1, 0.1, 10**9), Row.of("compiling", "tiny", 1, 32, 10.0, 10**7)]
    for repeat, slower in enumerate((1.0, 1.1, 1.2), start=1):
        speeds = dict.fromkeys(LOOKS, 60.0) | {"plain": 50.0, "memnas": 100.0, "regions": 125.0}
        speeds |= {"1 worker": 90.0, "2 workers": 171.0}
        rows += [Row.of(what, "tiny", repeat, 1000, 1000 / v * slower, 10**7) for what, v in speeds.items()]
    random.Random(0).shuffle(rows)
    return sorted(rows, key=lambda row: row.repeat)


def test_findings() -> None:
    """Medians are at 1.1 times the seconds: 90.9 images a second, 0.909 GFLOP/s of 10."""
    [line] = findings(made_up())
    assert "Tiny network: 91 images a second on one core, 2.0 times a plain PyTorch loop" in line
    assert "Two workers train 1.90 times what one does" in line
    assert "9% of the machine's convolution peak" in line
    assert "compiled are 1.25 times as fast, and pay for that after 4,545 images" in line


def test_compiled_regions_that_are_slower_never_pay() -> None:
    """10 s over 1.1 / 100 s - 1.1 / 125 s = 0.0022 s an image are 4,545 images."""
    rows = made_up()
    assert saved_images(rows, "tiny") == pytest.approx(4545.45, abs=0.01)
    slower = [
        replace(row, images_per_second=row.images_per_second / 2) if row.what == "regions" else row for row in rows
    ]
    assert saved_images(slower, "tiny") is None


def test_tables_and_picture() -> None:
    lines = list(tables(made_up()))
    assert "| memnas, in its own process | 91 (83 to 100) | 2.00 (2.00 to 2.00) |" in lines
    assert "| 2 workers | 155 (142 to 171) |" in lines
    assert "The best single convolution (16 channels, 8x8, 3x3, one thread) reaches 10.0 GFLOP/s." in lines
    assert speed_picture(made_up()).startswith("<svg")
