"""Work on many files: every file once and in order, and large images one at a time in memory."""

import subprocess
import sys
from pathlib import Path
from threading import get_ident

import pytest
from PIL import Image

from memnas_core.data.in_threads import LARGE_PIXELS, LargeImageError, on_each
from memnas_core.data.preprocessing import Preprocessing, try_image

ROOT = Path(__file__).parents[3]
SIDE = 4200
DECODED_BYTES = 4 * SIDE * SIDE  # Pillow keeps a colour pixel in four bytes

PEAK = """
import os, sys
os.cpu_count = lambda: 8
from pathlib import Path
from memnas_core.data import prepare_dataset
from memnas_core.data.survey import survey_folder
from memnas_core.settings.schema import DataSettings

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

def work(images):
    if sys.argv[1] == "survey":
        survey_folder(images)
    else:
        prepare_dataset(DataSettings("folder", str(images), 8, 0.2, None, None), 0, Path(sys.argv[3]))

work(Path(sys.argv[2]) / "small")  # what libraries import when they are first used is not counted
before = peak()
work(Path(sys.argv[2]) / "large")
print(peak() - before)
"""


@pytest.mark.parametrize("job", ["survey", "prepare"])
def test_large_images_take_the_memory_of_one(job: str, tmp_path: Path) -> None:
    """Eight images of one colour: some hundred kB each as a file, 71 MB each once they are decoded."""
    assert SIDE**2 > LARGE_PIXELS
    for size, side in (("small", 8), ("large", SIDE)):
        for number in range(8):
            path = tmp_path / "in" / size / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (side, side), (30 * number, 0, 0)).save(path, compress_level=1)
    command = [sys.executable, "-c", PEAK, job, str(tmp_path / "in"), str(tmp_path / "store")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert DECODED_BYTES / 2 < int(ran.stdout) < 2 * DECODED_BYTES


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_every_file_once_and_in_order(count: int) -> None:
    paths = [Path(str(number)) for number in range(count)]
    assert on_each(lambda path, _: int(path.name), paths) == list(range(count))


def test_large_ones_are_done_in_the_thread_that_asks() -> None:
    def work(path: Path, in_thread: int | None) -> int:
        if path.name == "large" and in_thread is not None:
            raise LargeImageError
        return get_ident()

    first, second, third = on_each(work, [Path("small"), Path("large"), Path("small")])
    assert second == get_ident()
    assert get_ident() not in (first, third)


def test_a_photo_that_its_decoder_shrinks_is_not_large(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("L", (SIDE, SIDE), 90).save(path)
    found = try_image(path, Preprocessing(8, 1, "squash"), SIDE**2, in_thread=LARGE_PIXELS)
    assert not isinstance(found, str)
    assert found.shape == (1, 8, 8)
