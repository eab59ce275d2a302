"""Fashion-MNIST: Debian's real files, small files in the true format, and a real download from this machine.

The real files come with Debian's package dataset-fashion-mnist, which the project's scripts install: a test
that misses them fails and says so.
"""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.datasets import FashionMNIST

from memnas_core.data import fashion_mnist, open_dataset, prepare_dataset
from memnas_core.data.fashion_mnist import CLASSES, DEBIAN_FOLDER, FILES, read_idx
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

Make = Callable[..., DataSettings]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def _idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write_small(folder: Path) -> None:
    """Write 60 training and 20 test images in the true format; the label is in every image's first pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for images_name, labels_name, count in ((TRAIN_IMAGES, TRAIN_LABELS, 60), (TEST_IMAGES, TEST_LABELS, 20)):
        labels = random.permutation(np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = labels
        (folder / images_name).write_bytes(gzip.compress(_idx(images)))
        (folder / labels_name).write_bytes(gzip.compress(_idx(labels)))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    _write_small(tmp_path / "fashion")
    return tmp_path / "fashion"


@pytest.fixture
def _no_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "not-installed")


def _require_debian() -> None:
    missing = [name for name in FILES if not (DEBIAN_FOLDER / name).exists()]
    assert not missing, f"install Debian's package dataset-fashion-mnist: {DEBIAN_FOLDER} lacks {missing}"


def test_the_real_files(settings: Make, tmp_path: Path) -> None:
    _require_debian()
    dataset = open_dataset(prepare_dataset(settings(dataset="fashion-mnist"), 0, tmp_path, 4))
    info = dataset.info
    assert (info.train_size, info.validation_size, info.test_size) == (48_000, 12_000, 10_000)
    assert np.bincount(dataset.train.labels).tolist() == [4800] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [1200] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    # the figures everybody normalises Fashion-MNIST with, which are over all 60,000 training images
    assert info.channel_mean == pytest.approx([0.2860], abs=1e-3)
    assert info.channel_std == pytest.approx([0.3530], abs=1e-3)
    assert info.horizontal_flip


def test_the_real_files_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    _require_debian()
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:  # torchvision looks for all four and reads the two of the test set
        content = gzip.decompress((DEBIAN_FOLDER / name).read_bytes()) if name.startswith("t10k") else b""
        (raw / name.removesuffix(".gz")).write_bytes(content)
    reference = FashionMNIST(str(tmp_path), train=False)
    assert np.array_equal(read_idx(DEBIAN_FOLDER / TEST_IMAGES, 3), reference.data.numpy())
    assert np.array_equal(read_idx(DEBIAN_FOLDER / TEST_LABELS, 1), reference.targets.numpy())
    assert list(CLASSES) == reference.classes


def test_real_images_are_shrunk_to_16(settings: Make, tmp_path: Path) -> None:
    _require_debian()
    small_settings = settings(dataset="fashion-mnist", image_size=16, max_training_images=100)
    dataset = open_dataset(prepare_dataset(small_settings, 0, tmp_path, 4))
    assert dataset.train.images.shape == (100, 1, 16, 16)
    assert dataset.info.validation_size == 12_000
    # antialiasing keeps the mean of an image; picking pixels would not
    originals = read_idx(DEBIAN_FOLDER / TEST_IMAGES, 3)
    means = dataset.test.images.mean(axis=(1, 2, 3))
    assert np.abs(means - originals.mean(axis=(1, 2))).max() < 4


def test_files_in_a_folder_of_the_user(settings: Make, small: Path, tmp_path: Path) -> None:
    dataset = open_dataset(prepare_dataset(settings(dataset="fashion-mnist", folder=str(small)), 0, tmp_path))
    assert (dataset.info.train_size, dataset.info.validation_size, dataset.info.test_size) == (48, 12, 20)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert np.array_equal(split.images[:, 0, 0, 0], split.labels)


def test_test_set_keeps_its_order_for_every_seed(settings: Make, small: Path, tmp_path: Path) -> None:
    folders = [prepare_dataset(settings(dataset="fashion-mnist", folder=str(small)), seed, tmp_path) for seed in (0, 1)]
    first, second = (open_dataset(folder) for folder in folders)
    assert np.array_equal(first.test.images, second.test.images)
    assert np.array_equal(first.test.images[:, 0], read_idx(small / TEST_IMAGES, 3))
    assert not np.array_equal(first.validation.images, second.validation.images)


def _bytes_of(small: Path, name: str) -> bytes:
    return gzip.decompress((small / name).read_bytes())


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TRAIN_IMAGES, lambda raw: gzip.compress(raw)[:500], "whole gzip file"),
        (TRAIN_IMAGES, lambda raw: gzip.compress(raw)[:-4], "whole gzip file"),
        (TEST_IMAGES, lambda raw: raw, "whole gzip file"),
        (TEST_LABELS, lambda _: b"", "IDX magic 00000801, found an empty file"),
        (TRAIN_LABELS, lambda _: gzip.compress(b""), "IDX magic 00000801, found an empty file"),
        (
            TRAIN_IMAGES,
            lambda raw: gzip.compress(b"\0\0\x0d\x03" + raw[4:]),
            "magic 00000803, found 00000d03",
        ),
        (TRAIN_IMAGES, lambda raw: gzip.compress(raw[:10]), "IDX magic"),
        (
            TRAIN_IMAGES,
            lambda raw: gzip.compress(raw[:-1]),
            r"47040 bytes for shape \(60, 28, 28\), found 47039",
        ),
        (TRAIN_LABELS, lambda raw: gzip.compress(raw + b"\0"), r"60 bytes for shape \(60,\), found 61"),
        (TRAIN_LABELS, lambda _: gzip.compress(_idx(np.zeros(59, np.uint8))), "60 labels.*found 59"),
        (TRAIN_LABELS, lambda raw: gzip.compress(raw[:-1] + b"\x0a"), r"labels from 0 to 9, .*\[10\]"),
        (
            TEST_IMAGES,
            lambda _: gzip.compress(_idx(np.zeros((20, 32, 32), np.uint8))),
            "28x28.*found 32x32",
        ),
    ],
)
def test_damaged_files(
    settings: Make, small: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    (small / name).write_bytes(damage(_bytes_of(small, name)))
    with pytest.raises(DataError, match=f"{name}: .*{message}.*; replace it"):
        prepare_dataset(settings(dataset="fashion-mnist", folder=str(small)), 0, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(settings: Make, small: Path, tmp_path: Path, name: str) -> None:
    (small / name).unlink()
    with pytest.raises(DataError, match=f"expected four Fashion-MNIST files, {name} not found"):
        prepare_dataset(settings(dataset="fashion-mnist", folder=str(small)), 0, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def _serve_small(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision find small files, with their own MD5 sums, where it expects Zalando's."""
    _write_small(folder)
    sums = [(name, hashlib.md5((folder / name).read_bytes()).hexdigest()) for name in FILES]
    monkeypatch.setattr(FashionMNIST, "mirrors", [address])
    monkeypatch.setattr(FashionMNIST, "resources", sums)


@pytest.mark.usefixtures("_no_debian")
def test_a_download(settings: Make, tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _serve_small(*served, monkeypatch)
    folder = prepare_dataset(settings(dataset="fashion-mnist"), 0, tmp_path / "store")
    assert open_dataset(folder).info.test_size == 20
    raw = tmp_path / "store" / "downloads" / "FashionMNIST" / "raw"
    assert {path.name for path in raw.iterdir()} >= set(FILES)
    # now it is there, and the network may go
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:1/"])
    prepare_dataset(settings(dataset="fashion-mnist"), 1, tmp_path / "store")


@pytest.mark.usefixtures("_no_debian")
def test_a_download_goes_into_the_folder_and_is_completed(
    settings: Make, tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _serve_small(*served, monkeypatch)
    raw = tmp_path / "mine" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / TRAIN_IMAGES).write_bytes((served[0] / TRAIN_IMAGES).read_bytes()[:300])  # as a kill leaves it
    chosen = settings(dataset="fashion-mnist", folder=str(tmp_path / "mine"))
    assert open_dataset(prepare_dataset(chosen, 0, tmp_path / "store")).info.train_size == 48
    assert not (tmp_path / "store" / "downloads").exists()


@pytest.mark.usefixtures("_no_debian")
@pytest.mark.parametrize("fault", ["no network", "wrong bytes", "not found"])
def test_an_impossible_download(
    settings: Make,
    tmp_path: Path,
    served: tuple[Path, str],
    nobody: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _serve_small(*served, monkeypatch)
    match fault:
        case "no network":
            monkeypatch.setattr(FashionMNIST, "mirrors", [nobody])
        case "wrong bytes":
            (served[0] / TEST_IMAGES).write_bytes(b"<html>log in first</html>")
        case "not found":
            (served[0] / TRAIN_LABELS).unlink()
    with pytest.raises(DataError, match=r"working download, found: .*; put train-images.* set data\.folder to it"):
        prepare_dataset(settings(dataset="fashion-mnist"), 0, tmp_path / "store")
    assert not (tmp_path / "store" / "data").exists()
