"""What a look at a folder finds, held against what was put there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memnas_core.data.survey import SAMPLE, SizeRange, survey_folder
from memnas_core.errors import DataError

ROOT = Path(__file__).parents[3]


def pictures(root: Path, counts: dict[str, int], size: tuple[int, int] = (40, 30)) -> Path:
    """Write pictures of noise, all different."""
    random = np.random.default_rng(0)
    for place, count in counts.items():
        (root / place).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(60, 190, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number}.png")
    return root


def test_what_is_there(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"Training/cat": 30, "Training/dog": 25, "Testing/cat": 20, "Testing/dog": 20})
    Image.fromarray(np.full((100, 10, 3), 90, dtype=np.uint8)).save(root / "Testing" / "dog" / "long.png")
    survey = survey_folder(root)
    assert survey.classes == ("cat", "dog")
    assert survey.counts == {"train": {"cat": 30, "dog": 25}, "test": {"cat": 20, "dog": 21}}
    assert survey.splits == {"train": "Training", "test": "Testing"}
    assert (survey.width, survey.height) == (SizeRange(10, 40, 40), SizeRange(30, 30, 100))
    assert survey.aspect == pytest.approx(4 / 3)  # of the one long image it is 10
    assert (survey.images(), survey.images("test")) == (96, 41)
    assert survey.channels == 3
    assert survey.mean == pytest.approx([125 / 255] * 3, abs=0.01)
    assert survey.is_mirrored is None
    assert survey.warnings == ()


def test_mean_and_spread_are_those_of_the_pixels(tmp_path: Path) -> None:
    """Half the images are black, half are white: mean and standard deviation are one half."""
    for name, shade in (("a", 0), ("b", 255)):
        (tmp_path / name).mkdir()
        for number in range(20):
            Image.new("L", (20 + number, 20), shade).save(tmp_path / name / f"{number}.png")
    survey = survey_folder(tmp_path)
    assert (survey.channels, survey.mean, survey.std) == (1, (0.5,), (0.5,))
    assert survey.is_mirrored is False  # single letters look different in a mirror


def test_a_large_folder_is_sampled(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"cat": SAMPLE, "dog": 100}, size=(4, 4))
    survey = survey_folder(root)
    assert survey.counts == {"train": {"cat": SAMPLE, "dog": 100}}


def test_doubts(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"train/cat": 30, "train/dog": 5, "val/cat": 4, "val/dog": 4, "test/cat": 2})
    (root / "test" / "dog").mkdir()
    for number in range(3):
        (root / "test" / "dog" / f"{number}.png").write_bytes((root / "train" / "dog" / f"{number}.png").read_bytes())
    (root / "train" / "cat" / "broken.png").write_bytes(b"no image")
    said = " ".join(survey_folder(root).warnings)
    assert (
        "1 of 49 images that were looked at cannot be read: train/cat/broken.png (no image of a known format)" in said
    )
    assert "1 of 2 classes have fewer than 20 images (dog 5)" in said
    assert "Only 8 validation images choose the network" in said
    assert "3 of the 5 test images are training images as well" in said


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in "xyz":
            (tmp_path / name / f"{file}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"found none that can be read: a/x\.png"):
        survey_folder(tmp_path)


def test_a_class_that_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least 3 training images of every class.* class dog has 2"):
        survey_folder(pictures(tmp_path / "in", {"cat": 5, "dog": 2}))
    survey_folder(pictures(tmp_path / "split", {"train/cat": 5, "train/dog": 2, "test/cat": 1, "test/dog": 1}))


@pytest.mark.parametrize(
    ("classes", "is_mirrored"),
    [
        (("hand_left", "hand right"), False),
        (("a", "b"), False),
        (("3", "8"), False),
        (("cat", "x"), None),
        (("10", "11"), None),
    ],
)
def test_whether_a_mirrored_image_shows_its_class(
    classes: tuple[str, ...], is_mirrored: bool | None, tmp_path: Path
) -> None:
    survey = survey_folder(pictures(tmp_path / "in", dict.fromkeys(classes, 3)))
    assert survey.is_mirrored is is_mirrored


def test_empty_files_are_no_copies_of_each_other(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"cat": 30, "dog": 30})
    for number in range(5):
        (root / "cat" / f"{number}.png").write_bytes(b"")
    assert not any("copies" in warning for warning in survey_folder(root).warnings)


def test_a_link_into_nowhere_cannot_be_read(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"cat": 30, "dog": 30})
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    assert "1 of 61 images that were looked at cannot be read: cat/gone.png" in " ".join(survey_folder(root).warnings)


def test_black_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in "xyz":
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{file}.png")
    with pytest.raises(DataError, match="expected images that differ, found 6 that are one colour"):
        survey_folder(tmp_path)


def test_it_needs_no_torch() -> None:
    code = "import sys, memnas_core.data.survey, memnas_core.settings.proposal; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "False"
