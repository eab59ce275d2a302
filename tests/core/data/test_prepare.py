"""Preparing: what lands in the folder, when it is made again, and that a fault leaves nothing half-made."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from memnas_core.data import Dataset, Split, check_image_size, open_dataset, prepare_dataset
from memnas_core.data import prepare as prepare_module
from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError, StorageError
from memnas_core.settings.schema import DataSettings

Make = Callable[..., DataSettings]
ROOT = Path(__file__).parents[3]


def _splits(dataset: Dataset) -> list[Split]:
    return [dataset.train, dataset.validation, dataset.test]


def _rows(images: ImageArray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


def test_digits_are_those_of_scikit_learn(settings: Make, tmp_path: Path) -> None:
    folder = prepare_dataset(settings(), 0, tmp_path)
    dataset = open_dataset(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS", "dataset.json", "test.arrow", "train.arrow", "validation.arrow"
    ]  # fmt: skip
    original = load_digits()
    pixels = np.concatenate([split.images for split in _splits(dataset)])
    labels = np.concatenate([split.labels for split in _splits(dataset)])
    assert dataset.train.images.shape == (1150, 1, 8, 8)
    assert (dataset.info.validation_size, dataset.info.test_size) == (288, 359)
    assert np.bincount(labels).tolist() == np.bincount(original.target).tolist()
    # back to the original scale: 0..16 lies 15.94 apart in 0..255
    assert _rows(np.round(pixels[:, 0] / 255 * 16).astype(np.uint8)) == _rows(original.images.astype(np.uint8))
    assert dataset.info.classes == tuple("0123456789")
    assert not dataset.info.horizontal_flip


def test_labels_stay_with_their_images(settings: Make, pets: Path, tmp_path: Path) -> None:
    dataset = open_dataset(prepare_dataset(settings(dataset="folder", folder=str(pets), image_size=8), 0, tmp_path))
    for split in _splits(dataset):
        # a cat is red, a dog green, an eel blue
        assert np.array_equal(split.images[:, :, 4, 4].argmax(axis=1), split.labels)


def test_figures_of_the_training_split(settings: Make, tmp_path: Path) -> None:
    dataset = open_dataset(prepare_dataset(settings(), 3, tmp_path))
    pixels = dataset.train.images.astype(np.float64) / 255
    assert dataset.info.channel_mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), rel=1e-12)
    assert dataset.info.channel_std == pytest.approx(pixels.std(axis=(0, 2, 3)), rel=1e-9)


def test_statistics_over_several_batches_and_channels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 3, 4, 4), dtype=np.uint8)
    images[:, 2] = 7
    mean, std = prepare_module.channel_statistics(images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)))
    assert std[:2] == pytest.approx((images / 255).std(axis=(0, 2, 3))[:2])
    assert std[2] == 1  # constant


def test_two_stores_get_equal_bytes(settings: Make, tmp_path: Path) -> None:
    folders = [prepare_dataset(settings(image_size=12), 4, tmp_path / name) for name in "ab"]
    assert folders[0].name == folders[1].name
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()


def test_what_is_prepared_is_not_made_again(settings: Make, tmp_path: Path) -> None:
    folder = prepare_dataset(settings(), 0, tmp_path)
    before = (folder / "train.arrow").stat()
    assert prepare_dataset(settings(), 0, tmp_path) == folder
    after = (folder / "train.arrow").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_everything_that_decides_the_content_decides_the_folder(settings: Make, pets: Path, tmp_path: Path) -> None:
    make = {
        "plain": lambda: prepare_dataset(settings(dataset="folder", folder=str(pets)), 0, tmp_path),
        "seed": lambda: prepare_dataset(settings(dataset="folder", folder=str(pets)), 1, tmp_path),
    }
    for key, value in {
        "image_size": 16,
        "validation_fraction": 0.4,
        "max_training_images": 6,
        "horizontal_flip": False,
    }.items():
        changed = settings(dataset="folder", folder=str(pets), **{key: value})
        make[key] = lambda changed=changed: prepare_dataset(changed, 0, tmp_path)
    folders = {name: build() for name, build in make.items()}
    os.utime(pets / "cat" / "00.png", ns=(0, 0))
    folders["file"] = make["plain"]()
    assert len(set(folders.values())) == 7
    digests = {name: open_dataset(folder).info.digest for name, folder in folders.items()}
    assert digests.pop("file") == digests["plain"]  # the same pixels
    assert len(set(digests.values())) == 6


def test_what_is_done_to_files_decides_the_folder(settings: Make, pets: Path, tmp_path: Path) -> None:
    plain = settings(dataset="folder", folder=str(pets), image_size=8)
    changes = ({}, {"resize": "squash"}, {"resize": "letterbox"}, {"skip_unreadable": True}, {"max_pixels": 100})
    folders = {prepare_dataset(replace(plain, **change), 0, tmp_path) for change in changes}
    assert len(folders) == len(changes)


def test_progress_is_told(settings: Make, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memnas_core.data.decoding.BATCH", 8)
    told: list[tuple[int, int]] = []
    plain = settings(dataset="folder", folder=str(pets), image_size=8)
    prepare_dataset(plain, 0, tmp_path, progress=lambda done, total: told.append((done, total)))
    # 19 to train on in batches of 8, then 5 and 6
    assert told == [(8, 30), (16, 30), (19, 30), (24, 30), (30, 30)]


def test_setting_overrides_mirroring(settings: Make, tmp_path: Path) -> None:
    assert open_dataset(prepare_dataset(settings(horizontal_flip=True), 0, tmp_path)).info.horizontal_flip


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "json", "facts"])
def test_damaged_data_are_made_again(
    settings: Make, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = prepare_dataset(settings(), 0, tmp_path)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    target = folder / ("dataset.json" if damage in ("json", "facts") else "train.arrow")
    content = bytearray(target.read_bytes())
    match damage:
        case "flip":  # one pixel: only the digest can tell
            content[len(content) // 2] ^= 1
            target.write_bytes(content)
        case "truncate":
            target.write_bytes(content[: len(content) // 2])
        case "remove":
            target.unlink()
        case "json":
            target.write_text(json.dumps(json.loads(content) | {"shape": [1, 8]}))
        case "facts":  # no digest of images knows them, but every training does
            target.write_text(json.dumps(json.loads(content) | {"channel_mean": [0.25]}))
    assert prepare_dataset(settings(), 0, tmp_path) == folder
    assert "preparing the data again" in caplog.text
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == good
    assert _visible(tmp_path / "data") == [folder.name]


@pytest.mark.parametrize(
    ("size", "divisible_by", "message"),
    [
        (30, 4, r"data\.image_size: expected a multiple of 4.*network\.strides, found 30; .* fit: 28 and 32"),
        (3, 4, r"found 3; the nearest that fit: 4;"),
        (None, 16, r"found 8 \(the own size of digits\); the nearest that fit: 16;"),
    ],
)
def test_sizes_that_stride_cannot_halve(
    settings: Make, tmp_path: Path, size: int | None, divisible_by: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_image_size(settings(image_size=size), divisible_by)
    with pytest.raises(DataError, match=message):
        prepare_dataset(settings(image_size=size), 0, tmp_path / "store", divisible_by)
    assert not (tmp_path / "store").exists()


def test_sizes_that_fit(settings: Make) -> None:
    sizes = {name: check_image_size(settings(dataset=name), 4) for name in ("digits", "fashion-mnist", "cifar10")}
    assert sizes == {"digits": 8, "fashion-mnist": 28, "cifar10": 32}
    assert check_image_size(settings(dataset="folder", folder="anywhere"), 32) == 32
    assert check_image_size(settings(image_size=24), 8) == 24


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_error_in_the_middle_leaves_nothing(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    written = []

    def fail(_images: ImageArray) -> None:
        written.append(_visible(tmp_path / "data"))
        raise error

    monkeypatch.setattr(prepare_module, "channel_statistics", fail)
    with pytest.raises(error):
        prepare_dataset(settings(), 0, tmp_path)
    assert len(written[0]) == 1  # the draft was there, with three splits
    assert _visible(tmp_path / "data") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from memnas_core.settings.schema import DataSettings
from memnas_core.data import prepare
prepare.channel_statistics = lambda images: os.kill(os.getpid(), signal.SIGKILL)
settings = DataSettings("folder", sys.argv[1], 8, 0.2, None, None)
prepare.prepare_dataset(settings, 0, Path(sys.argv[2]))
"""

PLAIN = """
import sys
from pathlib import Path
from memnas_core.settings.schema import DataSettings
from memnas_core.data import prepare_dataset
settings = DataSettings("folder", sys.argv[1], 8, 0.2, None, None)
print(prepare_dataset(settings, 0, Path(sys.argv[2])))
"""


def _start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_kill_leaves_nothing_that_is_trusted(settings: Make, pets: Path, tmp_path: Path) -> None:
    killed = _start(KILLED, pets, tmp_path / "store")
    _, errors = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, errors
    (draft,) = _visible(tmp_path / "store" / "data")
    assert draft.startswith(".")
    folder = prepare_dataset(settings(dataset="folder", folder=str(pets), image_size=8), 0, tmp_path / "store")
    open_dataset(folder)
    assert _visible(tmp_path / "store" / "data") == [folder.name]


def test_processes_at_once_do_not_hurt_each_other(pets: Path, tmp_path: Path) -> None:
    processes = [_start(PLAIN, pets, tmp_path / "store") for _ in range(3)]
    outcomes = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outcomes
    (folder,) = {output.strip() for output, _ in outcomes}
    open_dataset(Path(folder))
    assert _visible(tmp_path / "store" / "data") == [Path(folder).name]


@contextmanager
def _files_at_most(size: int) -> Iterator[None]:
    """Make the kernel refuse larger files, as it does when a disk or quota is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# 73,600 bytes of pixels: the first limit stops the scratch file, the second Arrow's (pixels, labels, schema)
@pytest.mark.parametrize("size", [20_000, 80_000])
def test_a_write_that_fails_leaves_nothing(settings: Make, tmp_path: Path, size: int) -> None:
    with _files_at_most(size), pytest.raises(StorageError, match=r"train\.arrow: cannot be written: "):
        prepare_dataset(settings(), 0, tmp_path)
    assert _visible(tmp_path / "data") == []
    open_dataset(prepare_dataset(settings(), 0, tmp_path))


def test_a_store_that_is_a_file(settings: Make, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare_dataset(settings(), 0, tmp_path / "store")


def test_importing_the_data_part_is_cheap() -> None:
    code = "import sys, memnas_core.data; print(sorted({'torch', 'torchvision', 'sklearn'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "[]"
