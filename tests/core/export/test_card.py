import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from memnas_core.data import open_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.environment import processor_flags
from memnas_core.export.card import file_facts, memory_column, model_card
from memnas_core.export.check import CheckResult
from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.exported import Exported
from memnas_core.export.file_format import OpenedFile
from memnas_core.export.images import calibration_images, check_images, normalised
from memnas_core.export.onnx_file import ONNX
from memnas_core.export.pt2_file import PT2
from memnas_core.export.store import find_trained
from memnas_core.export.vectors import Vectors
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.memory.onnxruntime_plan import channel_block
from memnas_core.memory.running_order import best_order
from memnas_core.memory.runtime_operators import EXECUTORCH_PLANNED, runtime_arena
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import Layer, LayerKind, Shape, Workload
from tests.core.export.conftest import SmallStore
from tests.core.small_search import small_settings

CHECK = CheckResult(359, 0.75, 0.7188, 340, 0.125, 4.0, 0.0021)
VECTORS = Vectors(
    (0, 179, 358),
    np.zeros((3, 8, 8, 1), np.uint8),
    np.zeros((3, 8, 8, 1), np.float32),
    True,
    np.zeros((3, 10), np.float32),
)
OPENED = OpenedFile("a device", "a simulator", 3648, False, True, lambda image: image)


def test_bytes_of_a_network_worked_by_hand() -> None:
    """conv 3 -> 2 channels at 4x4 (image 48, output 32), pool (2), linear (5); batch norm folded."""
    layers = (
        Layer("conv", LayerKind.CONV, ("image",), 3, Shape(2, 4, 4), (3, 3)),
        Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, ("conv",), 2, Shape(2, 1, 1)),
        Layer("classifier", LayerKind.LINEAR, ("pool",), 2, Shape(5, 1, 1)),
    )
    graph = Graph(Shape(3, 4, 4), layers, "classifier")
    figures = MemoryFigures(1, 48, 80, 81, 82)
    column = memory_column(figures, graph, EXECUTORCH, int8=True)
    # Kernels 3 * 3 * 3 * 2 + 2 * 5 = 64 at one byte, biases 2 + 5 = 7 at four.
    assert column.weights == 64 + 28
    assert column.peaks == {"paper": 48, "sequential": 80, "minimum": 81, "arena": 82}
    assert column.predicted == 4 * 48 + 48  # the image in float32 and quantised; later tensors need less
    wide = memory_column(figures, graph, EXECUTORCH, int8=False)
    assert wide.weights == 4 * 64 + 28
    assert wide.predicted == 320  # the ReLU overwrites
    assert memory_column(figures, graph, PT2, int8=False).predicted is None
    assert memory_column(figures, graph, ONNX, int8=True).predicted is None
    # The image lies with the caller. Then a block of channels of 4 * 4 pixels instead of 2, a copy with 2, the scores.
    block = channel_block(processor_flags())
    assert memory_column(figures, graph, ONNX, int8=False).predicted == block * 64 + 128 + 64


def test_bytes_are_those_of_the_search(store: SmallStore) -> None:
    trained = find_trained(store.path, "letters")
    running, least = best_order(lower(trained.architecture, Shape(1, 8, 8), 10))
    figures = measure(trained.architecture, Workload(Shape(1, 8, 8), 10, 4, 4))
    card = model_card(
        Exported(trained, EXECUTORCH, False, "digits.pte", bytes(1), OPENED, CHECK, VECTORS), running, least
    )
    for name, count in (
        ("paper", figures.paper_bytes),
        ("sequential", figures.sequential_bytes),
        ("minimum", least.bytes),
        ("arena", figures.arena_bytes),
    ):
        assert f"| activations, `{name}` | {count:,} | " in card
    planned = runtime_arena(running, EXECUTORCH_PLANNED, 4).bytes
    assert f"| predicted: ExecuTorch's plan | {planned:,} |  |" in card


def test_card_says_what_was_measured(store: SmallStore) -> None:
    trained = find_trained(store.path, "letters")
    ordered, least = best_order(lower(trained.architecture, Shape(1, 8, 8), 10))
    untimed = replace(CHECK, median_seconds=None)
    card = model_card(
        Exported(trained, EXECUTORCH, True, "digits.pte", bytes(45_608), OPENED, untimed, VECTORS), ordered, least
    )
    for words in (
        "# digits.pte",
        "ExecuTorch program in int8: 45,608 bytes",
        f"`{trained.row.arch_id}`",
        "shape (1, 8, 8, 1): batch, height, width, channels",
        "a device",
        "| validation accuracy, as recorded | 0.8125 |",
        "| test accuracy, as recorded, on all 359 test images | 0.6875 |",
        "retrained from nothing for 7 epochs",
        "a simulator, ran this file on 359 test images",
        "differs by -0.0312",
        "Latency was not measured",
        "**3,648 bytes**",
        "| training.epochs | 20 |",
        "Apache-2.0",
        "| executorch | - | ",
        "scikit-learn",
    ):
        assert words in card
    assert str(store.path) not in card  # a card goes to other people
    final = replace(trained.settings.final, epochs=7, all_images=True)
    on_all = replace(trained, settings=replace(trained.settings, final=final))
    card = model_card(Exported(on_all, ONNX, False, "digits.onnx", bytes(1), OPENED, CHECK, VECTORS), ordered, least)
    assert "| validation accuracy with the weights of the search, as recorded | 0.8125 |" in card
    assert "for 7 epochs after the search, on the training and the validation images together |" in card
    timed = replace(OPENED, on_this_machine=True, planned_bytes=None)
    card = model_card(Exported(trained, ONNX, False, "digits.onnx", bytes(1), timed, CHECK, VECTORS), ordered, least)
    assert "2.100 ms, median of 359 runs on one thread" in card
    assert "has no plan for activations" in card
    assert "| predicted: what ONNX Runtime allocates on this processor | " in card
    inexact = replace(least, lower_bound=least.bytes - 16, exact=False)
    card = model_card(Exported(trained, ONNX, False, "digits.onnx", bytes(1), timed, CHECK, VECTORS), ordered, inexact)
    assert f"no order needs less than {least.bytes - 16:,} bytes" in card


def test_facts_are_json(store: SmallStore) -> None:
    trained = find_trained(store.path, f"letters/{store.chosen.arch_id}")
    found = json.loads(file_facts(trained, int8=True))
    assert found["arch_id"] == trained.row.arch_id
    assert found["classes"] == list("0123456789")
    assert found["test_accuracy"] is None
    assert found["weights_and_activations"] == "int8"


def test_images_are_normalised_as_in_training(store: SmallStore) -> None:
    trained = find_trained(store.path, "letters")
    data = open_dataset(trained.dataset)
    pixels = torch.from_numpy(data.test.images[list(range(9))])
    augment = Augmentation(data.info, small_settings(store.path).training, torch.device("cpu"))
    torch.testing.assert_close(normalised(data.info, pixels), augment.normalise(pixels))
    images, labels = check_images(trained)
    assert images.shape == (359, 1, 8, 8)
    assert labels.tolist() == data.test.labels.tolist()  # a small test split is taken whole
    calibration = calibration_images(trained)
    assert calibration.shape == (256, 1, 8, 8)
    assert float(calibration.mean()) == pytest.approx(0, abs=0.05)
