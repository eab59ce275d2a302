"""CIFAR-10 by torchvision's own class on small files in the true format.

torchvision compares every file with the MD5 sum of the original and refuses all others, so the tests put the
small files' sums in place of the originals'; nothing else is replaced.
"""

import hashlib
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

Make = Callable[..., DataSettings]
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _write_small(parent: Path) -> Path:
    """Write 5 x 20 training and 20 test images: channel c is 20 * label + c, but for a last random row."""
    folder = parent / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        labels = random.permutation(np.arange(20) % 10)
        images = np.empty((20, 3, 32, 32), dtype=np.uint8)
        images[:] = 20 * labels[:, None, None, None] + np.arange(3)[:, None, None]
        images[:, :, 31] = random.integers(0, 256, (20, 3, 32), dtype=np.uint8)
        batch = {
            "batch_label": name,
            "labels": labels.tolist(),
            "data": images.reshape(20, 3072),
            "filenames": [f"{number}.png" for number in range(20)],
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {"num_cases_per_batch": 20, "label_names": list(NAMES), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = _write_small(tmp_path / "cifar")
    for attribute in ("train_list", "test_list"):
        files = [[name, _md5(folder / name)] for name, _ in getattr(CIFAR10, attribute)]
        monkeypatch.setattr(CIFAR10, attribute, files)
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": _md5(folder / "batches.meta")})
    return folder


def test_files_of_the_true_format(settings: Make, small: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in small.parent.rglob("*"))
    chosen = settings(dataset="cifar10", folder=str(small.parent))
    dataset = open_dataset(prepare_dataset(chosen, 0, tmp_path / "store", 4))
    assert sorted(path.name for path in small.parent.rglob("*")) == before  # the folder may be read-only
    assert dataset.info.classes == NAMES
    assert dataset.info.horizontal_flip
    assert (dataset.info.train_size, dataset.info.validation_size, dataset.info.test_size) == (80, 20, 20)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.shape[1:] == (3, 32, 32)
        for channel in range(3):  # red first, and rows before columns
            assert np.array_equal(split.images[:, channel, 3, 31], 20 * split.labels + channel)
        assert np.bincount(split.labels).tolist() == [len(split.labels) // 10] * 10


def test_another_size(settings: Make, small: Path, tmp_path: Path) -> None:
    chosen = settings(dataset="cifar10", folder=str(small.parent), image_size=16)
    dataset = open_dataset(prepare_dataset(chosen, 0, tmp_path / "store", 4))
    assert dataset.test.images.shape == (20, 3, 16, 16)
    assert np.array_equal(dataset.test.images[:, 2, 3, 15], 20 * dataset.test.labels + 2)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_damaged_files_without_a_network(
    settings: Make,
    small: Path,
    tmp_path: Path,
    nobody: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fault: str,
) -> None:
    monkeypatch.setattr(CIFAR10, "url", nobody + "cifar-10-python.tar.gz")
    if fault == "missing":
        (small / name).unlink()
    else:
        (small / name).write_bytes((small / name).read_bytes()[:-10])
    chosen = settings(dataset="cifar10", folder=str(small.parent))
    with pytest.raises(DataError, match=r"CIFAR-10: expected intact files in .*; fetch .* set data\.folder to"):
        prepare_dataset(chosen, 0, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_download(
    settings: Make, small: Path, tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(small, arcname=small.name)
    monkeypatch.setattr(CIFAR10, "url", address + "cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(folder / "cifar-10-python.tar.gz"))
    prepared = prepare_dataset(settings(dataset="cifar10"), 0, tmp_path / "store")
    assert open_dataset(prepared).info.train_size == 80
    assert (tmp_path / "store" / "downloads" / small.name / "test_batch").exists()
