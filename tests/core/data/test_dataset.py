"""Opening prepared data: mapped without a copy, and every kind of damage found."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.data.split_file import map_split, write_split
from memnas_core.errors import RecordError, StorageError
from memnas_core.settings.schema import DataSettings


@pytest.fixture
def folder(settings: Callable[..., DataSettings], tmp_path: Path) -> Path:
    return prepare_dataset(settings(), 0, tmp_path / "store")


def _mapped_at(path: Path) -> list[range]:
    """Return the addresses at which the kernel has mapped a file into this process."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            low, high = line.split()[0].split("-")
            ranges.append(range(int(low, 16), int(high, 16)))
    return ranges


def test_arrays_lie_in_the_mapped_files(folder: Path) -> None:
    dataset = open_dataset(folder)
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        mapped = _mapped_at(folder / f"{name}.arrow")
        for array in (split.images, split.labels):
            first, last = np.lib.array_utils.byte_bounds(array)
            assert any(first in area and last - 1 in area for area in mapped)
            assert not array.flags.writeable
            assert array.flags.c_contiguous
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)


def test_all_to_train_are_training_and_validation_images(folder: Path) -> None:
    data = open_dataset(folder)
    joined = data.with_all_to_train()
    assert joined.train.images.tolist() == data.train.images.tolist() + data.validation.images.tolist()
    assert joined.train.labels.tolist() == data.train.labels.tolist() + data.validation.labels.tolist()
    assert (joined.info, joined.validation, joined.test) == (data.info, data.validation, data.test)


def test_arrays_outlive_the_dataset(folder: Path) -> None:
    images = open_dataset(folder).train.images
    assert _mapped_at(folder / "train.arrow")
    assert images.shape == (1150, 1, 8, 8)
    assert 0 < images.mean() < 255


def test_plain_arrow_reads_the_files(folder: Path) -> None:
    """The format is Arrow's own: a reader that knows nothing of memnas sees tensors and labels."""
    table = pa.ipc.open_file(str(folder / "test.arrow")).read_all()
    tensor = table.schema.field("image").type
    assert (tensor.shape, tensor.value_type, tensor.dim_names) == (
        [1, 8, 8],
        pa.uint8(),
        ["channel", "row", "column"],
    )
    dataset = open_dataset(folder)
    assert table["label"].to_pylist() == dataset.test.labels.tolist()
    assert table["image"].chunk(0).storage[3].as_py() == dataset.test.images[3].flatten().tolist()


def test_batches_of_any_size_are_joined(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 2, 4), dtype=np.uint8)
    labels = np.arange(10, dtype=np.int64)
    write_split(tmp_path / "x.arrow", iter([images[:1], images[1:7], images[7:]]), labels, (3, 2, 4))
    split = map_split(tmp_path / "x.arrow", (3, 2, 4), 10, 10)
    assert np.array_equal(split.images, images)
    assert np.array_equal(split.labels, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["x.arrow"]


def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "x.pixels").symlink_to("/dev/full")  # the kernel's disk that is always full
    images = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(StorageError, match=r"the disk is full; free some space"):
        write_split(tmp_path / "x.arrow", iter([images]), np.zeros(2, dtype=np.int64), (1, 4, 4))


@pytest.mark.parametrize("name", ["dataset.json", "train.arrow", "validation.arrow", "test.arrow"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(RecordError, match=rf"{name}: expected .*found none; delete .* and run again"):
        open_dataset(folder)


@pytest.mark.parametrize("kept", [0, 1, 100, 5000, -100, -1])
def test_truncated_files(folder: Path, kept: int) -> None:
    path = folder / "validation.arrow"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordError, match=r"validation\.arrow: .*; delete .* and run again"):
        open_dataset(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 8]},
        {"shape": [3, 8, 8]},
        {"train_size": "1150"},
        {"train_size": 1149},
        {"channel_std": [0.0]},
        {"channel_mean": [0.1, 0.2]},
        {"classes": ["0", "1"]},
        {"surprise": 1},
    ],
)
def test_facts_that_do_not_fit(folder: Path, change: dict[str, object]) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordError, match=r"; delete .* and run again"):
        open_dataset(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_facts_that_are_no_facts(folder: Path, content: bytes) -> None:
    (folder / "dataset.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"; delete .* and run again"):
        open_dataset(folder)


def test_random_damage_is_an_error_of_ours_or_harmless(folder: Path) -> None:
    """300 files with damaged metadata: Arrow must neither crash nor raise what is not translated."""
    path = folder / "test.arrow"
    good = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(good)
        place = int(random.integers(1000))
        damaged[place if random.random() < 0.5 else -1 - place] = int(random.integers(256))
        path.write_bytes(damaged)
        try:
            dataset = open_dataset(folder)
        except RecordError:
            refused += 1
        else:
            assert dataset.test.images.shape == (359, 1, 8, 8)
            dataset.test.images.sum()
    assert 50 < refused < 300


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
parts = st.floats(0, 1)


@given(
    classes=st.lists(names, min_size=2),
    figures=st.lists(st.tuples(parts, st.floats(1e-6, 1)), min_size=1, max_size=3),
    flip=st.booleans(),
)
def test_facts_survive_json(classes: list[str], figures: list[tuple[float, float]], flip: bool) -> None:
    info = DatasetInfo(
        name="folder",
        classes=tuple(classes),
        shape=(len(figures), 32, 32),
        channel_mean=tuple(mean for mean, _ in figures),
        channel_std=tuple(std for _, std in figures),
        train_size=10,
        validation_size=2,
        test_size=3,
        horizontal_flip=flip,
        digest="00ff",
        source="somewhere",
    )
    assert DatasetInfo.from_json(info.to_json()) == info
