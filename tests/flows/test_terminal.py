"""Names with a terminal's codes in them, given to the real program: none of them reaches the terminal as it is."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flows.conftest import MEMNAS, Place

CODES = "\x1b[2J\x1b]0;owned\x07"
SHOWN = "\\x1b[2J\\x1b]0;owned\\x07"


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and all that was printed."""
    done = subprocess.run([MEMNAS, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [f"--{CODES}"],
        [CODES],
        ["memory", f"a{CODES}.json", "--input", "3,8,8"],
        ["memory", "a.json", "--limit", CODES],
        ["search", "--params", f"{CODES}.yaml"],
        ["search", "--set", f"search.{CODES}=1"],
        ["search", f"--{CODES}"],
        ["search", "--images", CODES],
        ["report", "--name", CODES],
    ],
    ids=lambda arguments: " ".join(arguments).replace(CODES, "CODES"),
)
def test_errors(arguments: list[str], place: Place) -> None:
    given = [*arguments, "--params", str(place.params)] if arguments[0] in ("search", "report") else arguments
    code, words = run(place.folder, *(arguments if f"{CODES}.yaml" in arguments else given))
    assert code == 2, words
    assert "\x1b" not in words
    assert SHOWN in words


def test_layers_of_somebody_elses_network(tmp_path: Path) -> None:
    build = f"from torch import nn\n\nbuild = nn.Sequential()\nbuild.add_module({CODES!r}, nn.Linear(3, 500))\n"
    (tmp_path / "mine.py").write_text(build)
    code, words = run(tmp_path, "memory", "mine:build", "--input", "3", "--limit", "10")
    assert code == 1
    assert "larger than the limit by themselves" in words
    assert "\x1b" not in words


def test_warnings_about_a_folder_of_images(place: Place) -> None:
    images = place.folder / f"photos{CODES}"
    for label in ("cats", "dogs"):
        (images / label).mkdir(parents=True)
        for number in range(30):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(images / label / f"{number}.png")
    (images / "dogs" / f"notes.{CODES}").touch()
    budget = ["--set", "objective.max_param_bytes=1"]  # so that it ends as soon as the images are prepared
    params = ["--params", str(place.params), "--name", "photos", "--set", "data.image_size=16"]
    code, words = run(place.folder, "search", "--images", str(images), *params, *budget)
    assert code == 2, words
    assert "not used as images" in words
    assert "\x1b" not in words
    assert SHOWN in words
