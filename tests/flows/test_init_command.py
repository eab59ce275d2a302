"""`memnas init`: what it prints, and the file that it writes or leaves alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.proposed import settings_text
from memnas_core.settings.file import load_settings
from memnas_core.settings.proposal import Proposal
from tests.flows.command_line import Memnas, in_this_process


@pytest.fixture
def memnas(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Memnas:
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, capfd, "init")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of 24 pictures of noise in `Training` and eight in `Testing`."""
    random = np.random.default_rng(0)
    for place, count in {"Training": 24, "Testing": 8}.items():
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / place / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "pets"


def test_what_it_says_and_writes(memnas: Memnas, pets: Path) -> None:
    code, out, err = memnas("pets")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "train in Training: 48 images of 2 classes (cat 24, dog 24)",
        "test in Testing: 16 images of 2 classes (cat 8, dog 8)",
        "validation: held out of train",
    ]
    assert lines[3].startswith("Sizes: 30 x 20 pixels")
    assert lines[-1] == "Settings: pets.yaml. Search with: memnas search --params pets.yaml"
    settings = load_settings(Path("pets.yaml"))
    assert (settings.data.dataset, settings.data.folder) == ("folder", str(pets))


def test_codes_of_terminals_in_a_name_do_not_get_through(memnas: Memnas, pets: Path) -> None:
    pets.rename(pets.with_name("my\x1b[2J pets"))
    code, out, err = memnas("my\x1b[2J pets")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert out.endswith("Search with: memnas search --params 'my\\x1b[2J pets.yaml'\n")


def test_json(memnas: Memnas, pets: Path, tmp_path: Path) -> None:
    code, out, err = memnas("pets", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["classes"] == ["cat", "dog"]
    assert found["counts"] == {"train": {"cat": 24, "dog": 24}, "test": {"cat": 8, "dog": 8}}
    assert found["image_size"]["width"] == {"smallest": 30, "median": 30, "largest": 30}
    assert found["channels"] == 3
    assert found["mean"] == pytest.approx([0.5] * 3, abs=0.01)
    assert found["std"] == pytest.approx([0.5 / 3**0.5] * 3, abs=0.1)  # of a uniform distribution, before it is resized
    assert found["warnings"] == []
    assert found["settings"]["data"]["folder"] == str(pets)
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_a_file_that_is_there_is_replaced_only_by_force(memnas: Memnas, pets: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("mine")
    code, _, err = memnas(str(pets), "--output", "mine.yaml")
    assert (code, err) == (
        2,
        "memnas: mine.yaml: expected no file, found one; add --force to replace it, or choose another --output\n",
    )
    assert target.read_text() == "mine"
    assert memnas(str(pets), "--output", "mine.yaml", "--force")[0] == 0
    load_settings(target)
    link = tmp_path / "link.yaml"
    link.symlink_to(target)
    code, _, err = memnas(str(pets), "--output", "link.yaml", "--force")
    assert (code, err) == (
        2,
        "memnas: --output: expected a plain file or none at link.yaml, found a link; name another\n",
    )


@pytest.mark.parametrize("name", ["nowhere", "params.yaml", "empty", "black"])
def test_a_folder_that_cannot_be_used_is_one_line(name: str, memnas: Memnas, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "empty").mkdir()
    for one in ("a", "b"):
        (tmp_path / "black" / one).mkdir(parents=True)
        for file in "xyz":
            Image.new("L", (8, 8)).save(tmp_path / "black" / one / f"{file}.png")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = memnas(name, "--json")
    assert (code, out) == (2, "")
    assert err.startswith("memnas: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_every_key_stands_under_the_sentence_on_it() -> None:
    proposal = Proposal(
        {"store": "store", "data": {"folder": "a: b # c", "rungs": (0.1, 0.4), "flip": None}},
        {"store": "Where results go.", "data": "The images.", "data.rungs": "Two rungs."},
    )
    assert settings_text(proposal) == (
        "# Settings of `memnas search`, as `memnas init` proposes them.\n"
        "\n"
        "# Where results go.\n"
        "store: store\n"
        "\n"
        "# The images.\n"
        "data:\n"
        "  folder: 'a: b # c'\n"
        "  # Two rungs.\n"
        "  rungs: [0.1, 0.4]\n"
        "  flip: null\n"
    )
