"""Folders of images and data files from somebody else: an error that names the file, and nothing written."""

import gzip
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memnas_core.data import decoding, fashion_mnist, prepare_dataset
from memnas_core.data.preprocessing import Preprocessing
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings
from tests.security.conftest import snapshot
from tests.security.spoiling import Canary, dangling, emptied, endless, not_text, pickled, truncated, written

Spoil = Callable[[Path], None]


def settings(folder: Path, dataset: str = "folder") -> DataSettings:
    return DataSettings(
        dataset=dataset,  # type: ignore[arg-type] -- one of the names
        folder=str(folder),
        image_size=None,
        validation_fraction=0.2,
        max_training_images=None,
        horizontal_flip=None,
    )


@pytest.fixture(scope="module")
def good_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of eight images of noise."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(8):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def images(good_images: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good_images, tmp_path / "images"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *more: bytes, kind: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + pixels + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    """Return a TIFF that promises so many grey pixels."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, height), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(100)


TEXT_BOMB = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))
PROFILE_BOMB = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 9))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"

SPOILT: dict[str, Spoil] = {
    "truncated": truncated,
    "empty": emptied,
    "pickle": pickled,
    "text": not_text,
    "page": written(b"<html><script>alert(1)</script></html>"),
    "PNG bomb": written(png(30_000, 30_000)),
    "PNG of two thousand million pixels a side": written(png(2**31 - 1, 2**31 - 1)),
    "PNG of no pixels": written(png(0, 0)),
    "PNG without its pixels": written(png(2_000, 2_000)),
    "PNG of an unknown kind": written(png(8, 8, kind=5)),
    "TIFF bomb": written(tiff(60_000, 60_000)),
    "TIFF of no pixels": written(tiff(0, 0)),
    "BMP bomb": written(b"BM" + struct.pack("<IIIIiiHHIIIIII", 100, 0, 54, 40, 40_000, 40_000, 1, 24, *[0] * 6)),
    "GIF bomb": written(b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b"\x2c" + bytes(8) + b";"),
    "PPM bomb": written(b"P6 40000 40000 255\n" + bytes(100)),
    "PPM of many digits": written(b"P6 " + b"9" * 5_000 + b" 1 255\n"),
    "PPM that ends": written(b"P6 8"),
    "text bomb": written(png(8, 8, TEXT_BOMB)),
    "profile bomb": written(png(8, 8, PROFILE_BOMB)),
    "JPEG that ends": written(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
    "JPEG bomb": written(b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(9) + b"\xff\xd9"),
    "WebP that ends": written(b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0" + b"\xff" * 10),
    "PostScript": written(POSTSCRIPT),
    "Photoshop": written(b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(20)),
    "device": endless,
    "link into nowhere": dangling,
}  # fmt: skip


@pytest.mark.parametrize("label", SPOILT)
def test_an_image_is_refused(label: str, images: Path, tmp_path: Path) -> None:
    SPOILT[label](images / "cat" / "3.png")
    before = snapshot(images)
    with pytest.raises(DataError, match=r"cat/3\.png") as caught:
        prepare_dataset(settings(images), 0, tmp_path / "store")
    assert len(str(caught.value).splitlines()) == 1
    assert snapshot(images) == before
    assert not list(tmp_path.glob("store/data/*.arrow"))
    assert [path.name for path in tmp_path.glob("store/data/[!.]*")] == []


def test_nothing_is_started_for_postscript(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would run `gs` for a file that begins like PostScript, whatever its name."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    (tmp_path / "gs").chmod(0o755)
    path = images / "cat" / "3.png"
    path.write_bytes(POSTSCRIPT)
    with pytest.raises(DataError, match="no image of a known format"):
        list(decoding.decode([path], Preprocessing(8, 3, "center_crop"), [path], images))
    assert not (tmp_path / "ran").exists()
    with Image.open(path) as unguarded, pytest.raises(OSError):  # noqa: PT011 -- our gs draws nothing
        unguarded.load()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("label", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(label: str, images: Path, tmp_path: Path) -> None:
    path = images / "cat" / "3.png"
    path.unlink()
    if label == "folder":
        path.mkdir()
        prepare_dataset(settings(images), 0, tmp_path / "store")  # a folder of any name may hold images
        return
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"cat/3\.png \(a pipe or device, no file\)"):
        prepare_dataset(settings(images), 0, tmp_path / "store")


@pytest.mark.parametrize("place", ["cat/9.png", "cat/inner", "mouse"])
def test_a_link_out_of_the_folder(place: str, images: Path, tmp_path: Path) -> None:
    secret = tmp_path / "private"
    shutil.copytree(images / "cat", secret)
    (images / place).symlink_to(secret / "0.png" if place.endswith("png") else secret)
    with pytest.raises(DataError, match=rf"{place}: expected links that stay within .*, found one to .*private"):
        prepare_dataset(settings(images), 0, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_split_that_is_a_link_out_of_the_folder(images: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    shutil.copytree(images, tmp_path / "set" / "train")
    (tmp_path / "set" / "val").symlink_to(images)
    with pytest.raises(DataError, match="expected links that stay within"):
        prepare_dataset(settings(tmp_path / "set"), 0, tmp_path / "store")


def test_a_folder_that_is_itself_a_link(images: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(images)
    assert prepare_dataset(settings(tmp_path / "named"), 0, tmp_path / "store").is_dir()


@pytest.mark.parametrize("name", ["line\nbreak", "\x1b[2J", "null\x01", "byte\udcff"])
def test_class_names_that_are_no_plain_text(name: str, images: Path, tmp_path: Path) -> None:
    (images / "cat").rename(images / name)
    with pytest.raises(DataError, match="expected class names in plain text") as caught:
        prepare_dataset(settings(images), 0, tmp_path / "store")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "store").exists()


IMAGES, LABELS = fashion_mnist.TRAIN_FILES


def idx(magic: bytes, *sizes: int, content: bytes = b"") -> bytes:
    return gzip.compress(magic + struct.pack(f">{len(sizes)}I", *sizes) + content)


IDX: dict[str, bytes] = {
    "empty": b"",
    "no gzip": b"\0\0\x08\x03" + bytes(100),
    "half a gzip": idx(b"\0\0\x08\x03", 1, 28, 28, content=bytes(784))[:20],
    "gzip of nothing": gzip.compress(b""),
    "pickle in gzip": gzip.compress(b"\x80\x04\x95"),
    "other type": idx(b"\0\0\x0d\x03", 1, 28, 28, content=bytes(784)),
    "other dimensions": idx(b"\0\0\x08\x01", 784, content=bytes(784)),
    "cut header": gzip.compress(b"\0\0\x08\x03\0\0"),
    "too few pixels": idx(b"\0\0\x08\x03", 60_000, 28, 28, content=bytes(784)),
    "too many pixels": idx(b"\0\0\x08\x03", 1, 28, 28, content=bytes(785)),
    "2**96 pixels": idx(b"\0\0\x08\x03", 2**32 - 1, 2**32 - 1, 2**32 - 1, content=bytes(784)),
    "no images": idx(b"\0\0\x08\x03", 0, 28, 28),
    "other sides": idx(b"\0\0\x08\x03", 1, 27, 28, content=bytes(756)),
    "bomb": gzip.compress(bytes(2**28 + 10), 1),
}


@pytest.mark.parametrize("label", IDX)
def test_fashion_mnist_is_refused(label: str, tmp_path: Path) -> None:
    folder = tmp_path / "fashion"
    folder.mkdir()
    for images, labels in (fashion_mnist.TRAIN_FILES, fashion_mnist.TEST_FILES):
        (folder / images).write_bytes(idx(b"\0\0\x08\x03", 20, 28, 28, content=bytes(20 * 784)))
        (folder / labels).write_bytes(idx(b"\0\0\x08\x01", 20, content=bytes(range(10)) * 2))
    (folder / IMAGES).write_bytes(IDX[label])
    with pytest.raises(DataError, match=IMAGES if label != "no images" else LABELS):
        prepare_dataset(settings(folder, "fashion-mnist"), 0, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_pickle_in_place_of_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10's files are pickles; only those with the published MD5 sums are opened."""
    import pickle

    from torchvision.datasets import CIFAR10

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")  # nobody is there
    folder = tmp_path / "cifar" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], "")):
        (folder / name).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(DataError, match="CIFAR-10: expected intact files"):
        prepare_dataset(settings(tmp_path / "cifar", "cifar10"), 0, tmp_path / "store")
    assert not (tmp_path / "ran").exists()
    with (folder / "test_batch").open("rb") as file:
        pickle.load(file)
    assert (tmp_path / "ran").exists()  # they would have done something
