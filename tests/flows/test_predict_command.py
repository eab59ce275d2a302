"""`memnas predict` as a person runs it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from memnas_core.data import open_dataset
from memnas_core.export.images import normalised
from memnas_core.export.store import find_trained
from memnas_core.training.worker import load_network
from tests.flows.command_line import Memnas, in_this_process
from tests.flows.made_up_store import write_store

COUNT = 12


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return a function that runs the command in a folder with a finished search and some test images as files."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path)
    images = open_dataset(find_trained(Path("store"), "digits").dataset).test.images
    for number in range(COUNT):
        Image.fromarray(images[number][0]).save(f"{number:02d}.png")
    return in_this_process(monkeypatch, capfd, "predict")


def expected_scores() -> torch.Tensor:
    """Return the torch network's scores on the prepared test images, shape (n, 10)."""
    trained = find_trained(Path("store"), "digits")
    network = load_network(trained.architecture, trained.weights, trained.info)
    images = open_dataset(trained.dataset).test.images[:COUNT]
    with torch.no_grad():
        return network(normalised(trained.info, torch.from_numpy(images.copy()))).softmax(1)


def test_class_and_score_of_each_image(memnas: Memnas) -> None:
    names = [f"{number:02d}.png" for number in range(COUNT)]
    code, out, err = memnas("digits", *names)
    assert (code, err) == (0, "")
    best = expected_scores().max(1)
    assert out.splitlines() == [
        f"{name}: {int(label)} {float(score):.4f}"
        for name, label, score in zip(names, best.indices, best.values, strict=True)
    ]


def test_json_has_all_scores_and_needs_neither_settings_nor_prepared_images(memnas: Memnas) -> None:
    expected = expected_scores()
    shutil.rmtree("store/data")
    Path("params.yaml").unlink()
    Path("store").rename("elsewhere")
    code, out, _ = memnas("digits", "00.png", "03.png", "--json", "--store", "elsewhere")
    assert code == 0
    found = json.loads(out)
    assert [entry["image"] for entry in found] == ["00.png", "03.png"]
    for entry, row in zip(found, expected[[0, 3]], strict=True):
        assert entry["scores"] == pytest.approx({str(label): float(score) for label, score in enumerate(row)})
        assert entry["class"] == str(int(row.argmax()))
        assert entry["score"] == entry["scores"][entry["class"]]


def test_an_unreadable_image(memnas: Memnas) -> None:
    Path("bro\x1bken.png").write_bytes(b"no image")
    code, out, err = memnas("digits", "00.png", "bro\x1bken.png", "01.png")
    assert code == 2
    assert [line.split(":")[0] for line in out.splitlines()] == ["00.png", "01.png"]
    assert err == (
        "memnas: expected 3 readable images, found 1 that cannot be read: bro\\x1bken.png (no image of a known "
        "format); replace or leave them out\n"
    )
    code, out, _ = memnas("digits", "missing.png", "--json")
    assert code == 2
    (entry,) = json.loads(out)
    assert entry["image"] == "missing.png"
    assert "No such file" in entry["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("digts", "00.png"), "the nearest: digits"),
        (("digits",), "Missing argument 'IMAGE...'"),
        (("digits", "00.png", "--set", "store=elsewhere"), "elsewhere: expected a store with searches"),
    ],
)
def test_wrong_input(arguments: tuple[str, ...], words: str, memnas: Memnas) -> None:
    code, out, err = memnas(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
