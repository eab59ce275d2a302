"""What the library says of a search, against the core's own ways to say it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image

import memnas
from memnas_core.data import open_dataset
from memnas_core.export.images import normalised
from memnas_core.files.shipped import shipped
from memnas_core.prediction.classifier import load_classifier
from memnas_core.search.choice import front_of
from memnas_core.space.architecture_json import from_json
from tests.library.conftest import Searched


def test_tables(searched: Searched) -> None:
    found, _ = searched
    table = found.candidates
    assert table.num_rows == sum(row["candidates"] for row in found.rounds.to_pylist())
    assert found.rounds["round"].to_pylist() == [0, 1, 2]
    frame = table.to_pandas()
    assert frame["measured_accuracy"].notna().sum() == 2 + 4 + 4
    front = found.front.to_pylist()
    points = [(row["measured_accuracy"], row["param_bytes"] + row["arena_bytes"]) for row in front]
    every = frame.dropna(subset="measured_accuracy")
    for accuracy, size in points:
        better = every[(every.measured_accuracy > accuracy) & (every.param_bytes + every.arena_bytes <= size)]
        assert better.empty
    assert points == sorted(points)
    assert len(front_of(found._rows, found.settings.objective)) == len(front)


def test_the_chosen_network_is_that_of_the_command(searched: Searched, tmp_path: Path) -> None:
    """Its module, on the prepared test images, has the recorded accuracy; its classes are those of `memnas predict`."""
    network = searched[0].chosen
    data = open_dataset(network.trained.dataset).test
    images = normalised(network.trained.info, torch.from_numpy(np.array(data.images)))
    module = network.module()
    assert not module.training
    with torch.inference_mode():
        right = (module(images).argmax(1).numpy() == data.labels).mean()
    assert network.accuracy == network.test_accuracy == pytest.approx(right, abs=2 / len(data.labels))
    assert network.classes == tuple("0123456789")
    assert network.bytes == network.param_bytes + network.activation_bytes
    assert network.memory.arena_bytes == network.activation_bytes
    path = tmp_path / "five.png"
    Image.fromarray(np.array(data.images[5, 0])).resize((40, 30)).save(path)
    theirs = load_classifier("small", searched[0].path.parents[1]).predict([path])
    assert network.predict([str(path)]) == theirs


def test_another_candidate(searched: Searched) -> None:
    found, _ = searched
    row = next(row for row in found.candidates.to_pylist() if row["measured_accuracy"] is not None)
    network = found.network(row["arch_id"])
    assert network.accuracy == network.validation_accuracy == row["measured_accuracy"]
    assert network.test_accuracy is None
    assert network.architecture == from_json(row["architecture"])
    with pytest.raises(memnas.MemnasError, match="'small/zzzz': expected a search or a trained candidate"):
        found.network("zzzz")


@pytest.mark.parametrize(
    ("name", "int8"), [("net.pt2", False), ("net.onnx", False), ("net.pte", True), ("net.c", False)]
)
def test_an_export_computes_what_the_network_computes(
    searched: Searched, tmp_path: Path, name: str, int8: bool
) -> None:
    written = searched[0].chosen.export(tmp_path / name, int8=int8)
    assert written.path == tmp_path / name
    assert written.bytes == written.path.stat().st_size
    check = written.exported.check
    assert check.same_classes >= 0.9 * check.images
    for ending in (".md", ".json", ".images.bin", ".inputs.bin", ".outputs.bin"):
        assert (tmp_path / f"{name}{ending}").is_file()


def test_an_export_whose_format_nobody_knows(searched: Searched, tmp_path: Path) -> None:
    with pytest.raises(memnas.MemnasError, match=r"a name that ends in one of \.onnx, \.pte, \.pt2, \.c, or form"):
        searched[0].chosen.export(tmp_path / "net.tflite")
    with pytest.raises(memnas.MemnasError, match="expected one of onnx, executorch, pt2, c, found tflite"):
        searched[0].chosen.export(tmp_path / "net.tflite", format="tflite")
    assert list(tmp_path.iterdir()) == []


def test_loading(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = searched
    by_folder = memnas.load(found.path)
    monkeypatch.chdir(found.path.parents[2])
    by_name = memnas.load("small")
    assert by_name.path == by_folder.path == found.path
    assert repr(by_name) == repr(found)
    assert repr(found).startswith("<search small: 2 rounds, 10 networks trained; <network ")
    monkeypatch.chdir("/")
    assert by_name.chosen.module() is not None
    with pytest.raises(memnas.MemnasError, match=r"large: expected a search in .*store or its folder, found small"):
        memnas.load("large", found.path.parents[1])


def test_memory_of_a_torch_network() -> None:
    """The figures of docs/memory.md, which `memnas memory` printed."""
    needed = memnas.memory(torchvision.models.mobilenet_v2(), (3, 224, 224))
    assert (needed.parameters, needed.param_bytes) == (3_504_872, 14_019_488)
    assert needed.peaks == {
        "paper": 4_816_896,
        "sequential": 6_021_120,
        "minimum": 6_021_120,
        "arena": 6_021_120,
    }
    assert needed.totals["arena"] == 20_040_608
    assert "arena            6,021,120 bytes" in str(needed)
    with pytest.raises(memnas.MemnasError, match=r"expected a torch.nn.Module, found str"):
        memnas.memory("mobilenet_v2", (3, 224, 224))
    with pytest.raises(memnas.MemnasError, match="expected the shape of an input"):
        memnas.memory(torch.nn.Flatten())


def test_the_trained_candidates() -> None:
    table = memnas.trained_candidates()
    assert table.equals(pq.read_table(shipped("results/candidates.parquet")))
    lacking = [row["arch_id"] for row in table.to_pylist() if None in row["accuracies"]]
    page = (Path(__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
    assert all(f"`{arch_id}`" in page for arch_id in lacking)
    assert len(lacking) == 2
    assert all(f"`{name}`" in page for name in table.column_names)
    assert f"{table.num_rows} architectures" in page
