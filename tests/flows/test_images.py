"""What a search says of a folder of images, and refuses of it, before any service starts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.images import lines_of_counts, prepare_images
from memnas_core.data import find_local, image_folder, layout, survey
from memnas_core.settings.file import dump_settings, load_settings
from tests.core.small_search import small_settings
from tests.flows.command_line import Memnas, in_this_process


@pytest.fixture
def memnas(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Memnas:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "params.yaml").write_text(dump_settings(small_settings(Path("store"))))
    return in_this_process(monkeypatch, capfd)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of 30 pictures of noise."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number:02}.png")
    return tmp_path / "pets"


@pytest.mark.usefixtures("memnas")
def test_classes_and_doubts_are_listed(pets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(tmp_path / "params.yaml", ["data.dataset=folder", f"data.folder={pets}"])
    prepare_images(settings, find_local(settings.data))
    lines = capfd.readouterr().out.splitlines()
    assert lines[:3] == [
        "train: 60 images of 2 classes (cat 30, dog 30)",
        "validation and test: held out of train",
        "Prepared: 38 images to train on, 10 to validate, 12 to test.",
    ]
    assert lines[3].startswith("Warning: ")
    assert any("Only 10 validation images choose the network" in line for line in lines)


@pytest.mark.usefixtures("memnas")
def test_other_data_sets_are_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(tmp_path / "params.yaml")
    prepare_images(settings, find_local(settings.data))
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "store").exists()


def test_unreadable_images_are_listed_before_any_service_starts(memnas: Memnas, pets: Path, tmp_path: Path) -> None:
    for number in range(25):
        (pets / "cat" / f"{number:02}.png").write_bytes(b"")
    code, out, err = memnas("search", "--images=~/pets")
    assert code == 2
    assert out.splitlines()[0] == "train: 60 images of 2 classes (cat 30, dog 30)"
    assert "Starting Prefect" not in out
    assert "found 25 that cannot be read" in err
    assert err.rstrip().endswith(
        "all of them are in store/unreadable-pets.txt: replace or delete them, or leave them out with --skip-unreadable"
    )
    assert len((tmp_path / "store" / "unreadable-pets.txt").read_text().splitlines()) == 25
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["data", "unreadable-pets.txt"]
    settings = load_settings(
        tmp_path / "params.yaml", ["data.dataset=folder", "data.folder=~/pets", "data.skip_unreadable=true"]
    )
    prepare_images(settings, find_local(settings.data))


def test_equal_images_are_refused_before_any_service_starts(memnas: Memnas, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "black" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / "black" / name / f"{number}.png")
    code, out, err = memnas("search", "--images", "black")
    assert code == 2
    assert "Starting Prefect" not in out
    assert "expected images that differ" in err


def test_many_classes_are_shortened() -> None:
    counts = {f"c{number}": number for number in range(20)}
    lines = lines_of_counts({"train": counts, "test": counts}, {"train": "Training", "test": "Testing"}, most=2)
    assert lines == [
        "train in Training: 190 images of 20 classes (c0 0, c1 1 and 18 more)",
        "test in Testing: 190 images of 20 classes (c0 0, c1 1 and 18 more)",
        "validation: held out of train",
    ]


def test_a_command_lists_a_folder_once_to_propose_settings_and_once_to_prepare(
    memnas: Memnas, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").unlink()
    (tmp_path / "store").touch()  # nothing can be written there, so that the command ends before services start
    listings: list[layout.Layout] = []
    real = layout.find_layout

    def counted(root: Path, follow_links: bool = False) -> layout.Layout:
        listings.append(real(root, follow_links))
        return listings[-1]

    for module in (image_folder, survey):
        monkeypatch.setattr(module, "find_layout", counted)
    assert memnas("search", "--images", str(pets))[2].startswith("memnas: store/data/")
    assert len(listings) == 2
