"""Folders of images as people have them: formats, layouts, and everything that can be wrong with them."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from memnas_core.data import Dataset, decoding, open_dataset, prepare_dataset
from memnas_core.data.preprocessing import Preprocessing
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

Prepare = Callable[..., Dataset]


@pytest.fixture
def prepare(settings: Callable[..., DataSettings], tmp_path: Path) -> Prepare:
    """Return a function that prepares a folder with 8x8 images and opens the result."""

    def run(folder: Path, **changes: object) -> Dataset:
        chosen = settings(dataset="folder", folder=str(folder), **({"image_size": 8} | changes))
        return open_dataset(prepare_dataset(chosen, 0, tmp_path / "store"))

    return run


def _all_images(dataset: Dataset) -> list[bytes]:
    splits = (dataset.train, dataset.validation, dataset.test)
    return sorted(image.tobytes() for split in splits for image in split.images)


def _read(path: Path) -> bytes:
    return np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes()


def test_class_folders(prepare: Prepare, pets: Path) -> None:
    dataset = prepare(pets)
    assert dataset.info.classes == ("cat", "dog", "eel")
    assert dataset.info.shape == (3, 8, 8)
    assert dataset.info.horizontal_flip
    assert (dataset.info.train_size, dataset.info.validation_size, dataset.info.test_size) == (19, 5, 6)
    assert np.bincount(dataset.test.labels).tolist() == [2, 3, 1]
    assert _all_images(dataset) == sorted(_read(path) for path in pets.rglob("*.png"))  # none lost, none twice
    assert dataset.info.source == "30 images in the folder pets"


def test_own_size_is_32(prepare: Prepare, pets: Path) -> None:
    assert prepare(pets, image_size=None).info.shape == (3, 32, 32)


def _divide(pets: Path, *names: str) -> Path:
    """Turn class folders into one such set for each name, the first with most images."""
    root = pets.with_name("divided")
    for path in sorted(pets.rglob("*.png")):
        place = names[min(int(path.stem), len(names)) % len(names)]
        target = root / place / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_given_test_set(prepare: Prepare, pets: Path, name: str) -> None:
    root = _divide(pets, "train", name)  # number 1 of each class is for testing
    dataset = prepare(root)
    assert sorted(image.tobytes() for image in dataset.test.images) == sorted(
        _read(path) for path in (root / name).rglob("*.png")
    )
    assert dataset.info.train_size + dataset.info.validation_size == len(list((root / "train").rglob("*.png")))


def test_given_validation_and_test_sets(prepare: Prepare, pets: Path) -> None:
    root = _divide(pets, "train", "val", "test")
    dataset = prepare(root)
    for split, name in ((dataset.train, "train"), (dataset.validation, "val"), (dataset.test, "test")):
        expected = sorted(_read(path) for path in (root / name).rglob("*.png"))
        assert sorted(image.tobytes() for image in split.images) == expected


def test_train_alone(prepare: Prepare, pets: Path) -> None:
    dataset = prepare(_divide(pets, "train"))
    assert dataset.info.classes == ("cat", "dog", "eel")
    assert dataset.info.test_size == 6


def test_a_class_called_train(prepare: Prepare, pets: Path) -> None:
    (pets / "cat").rename(pets / "train")
    (pets / "train" / "steam").mkdir()
    (pets / "train" / "00.png").rename(pets / "train" / "steam" / "00.png")
    dataset = prepare(pets)
    assert dataset.info.classes == ("dog", "eel", "train")
    assert len(_all_images(dataset)) == 30


def test_a_test_set_with_other_classes(prepare: Prepare, pets: Path) -> None:
    root = _divide(pets, "train", "test")
    (root / "test" / "eel").rename(root / "test" / "snake")
    with pytest.raises(DataError, match=r"as in train, found no images of eel and snake, which train lacks; add"):
        prepare(root)


def test_what_is_no_image_is_left_alone(prepare: Prepare, pets: Path) -> None:
    (pets / "README.txt").write_text("my pets")
    (pets / "cat" / "notes.txt").write_text("fluffy")
    (pets / "cat" / "phone.heic").write_bytes(b"?")
    (pets / "dog" / "._00.png").write_bytes(b"resource fork")
    (pets / ".git").mkdir()
    inner = pets / "eel" / "more"
    inner.mkdir()
    (pets / "eel" / "00.png").rename(inner / "00.PNG")
    (inner / "back").symlink_to(pets / "eel")
    dataset = prepare(pets)
    assert dataset.info.classes == ("cat", "dog", "eel")
    assert len(_all_images(dataset)) == 30
    warning = dataset.info.warnings[0]
    assert (
        "not used as images: 1 .heic (convert them to JPEG, for example with the package pillow-heif), 1 .txt"
        in warning
    )


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {"quality": 95}), ("JPEG", {"quality": 95}), ("bmp", {}), ("webp", {"lossless": True}),
        ("tiff", {}), ("gif", {}), ("ppm", {}), ("png", {}),
    ],
)  # fmt: skip
def test_formats(prepare: Prepare, tmp_path: Path, suffix: str, options: dict[str, object]) -> None:
    colours = {"red": (200, 30, 40), "sea": (10, 120, 160)}
    for name, colour in colours.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 10), colour).save(tmp_path / "in" / name / f"{number}.{suffix}", **options)
    dataset = prepare(tmp_path / "in")
    for split in (dataset.train, dataset.validation, dataset.test):
        expected = np.array([list(colours.values())[label] for label in split.labels])
        assert np.abs(split.images.astype(int) - expected[:, :, None, None]).max() <= 4


def _two_classes(root: Path, image: Image.Image, **options: object) -> Path:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            image.save(root / name / f"{number}.png", **options)
    return root


def test_grey_images_have_one_channel(prepare: Prepare, tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    dataset = prepare(_two_classes(tmp_path / "in", Image.fromarray(pixels)))
    assert dataset.info.shape == (1, 8, 8)
    assert np.array_equal(dataset.test.images[0, 0], pixels)


def test_one_image_in_colour_makes_all_of_them_rgb(prepare: Prepare, tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    root = _two_classes(tmp_path / "in", Image.fromarray(pixels))
    Image.new("RGB", (8, 8), (1, 2, 3)).save(root / "b" / "9.png")
    dataset = prepare(root)
    assert dataset.info.shape == (3, 8, 8)
    greys = [image for image in dataset.train.images if image[0, 0, 0] != 1]
    assert all(np.array_equal(image, np.stack([pixels] * 3)) for image in greys)


def test_sixteen_bit_grey_is_scaled_not_clipped(prepare: Prepare, tmp_path: Path) -> None:
    pixels = (np.arange(64) * 1000).astype(np.uint16).reshape(8, 8)
    dataset = prepare(_two_classes(tmp_path / "in", Image.fromarray(pixels)))
    assert np.array_equal(dataset.test.images[0, 0], np.round(pixels / 257))  # 65,535 is 255 times 257


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_kinds_of_pixels(prepare: Prepare, tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (9, 8), 255).convert(mode).save(tmp_path / "in" / name / f"{number}.{suffix}")
    dataset = prepare(tmp_path / "in")
    assert dataset.info.shape[0] == (1 if mode in ("1", "LA", "I;16") else 3)
    if mode != "I;16":  # where Pillow's white is 255 of 65,535
        assert (dataset.train.images == 255).all()


def test_rotated_photographs_stand_upright(prepare: Prepare, tmp_path: Path) -> None:
    upright = np.zeros((8, 8, 3), dtype=np.uint8)
    upright[:4] = 200  # sky above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    stored = Image.fromarray(np.rot90(upright).copy())
    dataset = prepare(_two_classes(tmp_path / "in", stored, exif=exif))
    assert np.array_equal(dataset.test.images[0], upright.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (64, 64), (16, 200), (20, 12)])
def test_shorter_side_and_centre_crop_as_in_torchvision(
    prepare: Prepare, tmp_path: Path, size: tuple[int, int]
) -> None:
    low = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(low).resize(size, Image.Resampling.BICUBIC)
    dataset = prepare(_two_classes(tmp_path / "in", photo), image_size=16)
    steps = v2.Compose([v2.PILToTensor(), v2.Resize(16, antialias=True), v2.CenterCrop(16)])
    difference = torch.from_numpy(dataset.test.images[0].astype(np.int16)) - steps(photo)
    # torchvision rounds the longer side and crops at whole pixels: up to half a pixel aside
    assert difference.abs().float().mean() < (1 if size == (64, 64) else 6)


def test_large_photographs_decoded_small(prepare: Prepare, tmp_path: Path) -> None:
    """The shortcut that JPEG offers gives what decoding all pixels gives."""
    low = np.random.default_rng(2).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    photo = Image.fromarray(low).resize((400, 300), Image.Resampling.BICUBIC)
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(3):
            photo.save(tmp_path / "in" / name / f"{number}.jpg", quality=95)
    image = prepare(tmp_path / "in", image_size=16).test.images[0]
    whole = photo.crop((50, 0, 350, 300)).resize((16, 16), Image.Resampling.BILINEAR)
    difference = np.abs(image.astype(int) - np.asarray(whole).transpose(2, 0, 1))
    assert difference.mean() < 4  # JPEG's coarser colours; one pixel aside would be 20


def test_images_are_decoded_in_batches(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    paths = [root / f"{number}.png" for number in range(decoding.BATCH + 10)]
    for number, path in enumerate(paths):
        Image.new("L", (2, 2), number % 256).save(path)
    batches = list(decoding.decode(paths, Preprocessing(2, 1, "center_crop"), paths, root))
    assert [len(batch) for batch in batches] == [decoding.BATCH, 10]
    assert [int(image[0, 0, 0]) for batch in batches for image in batch] == [
        number % 256 for number in range(len(paths))
    ]


def test_a_missing_folder(prepare: Prepare, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.folder: expected a folder at .*nowhere, found nothing"):
        prepare(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="found a file; correct the path"):
        prepare(tmp_path / "file")


def test_no_class_folders(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "in" / "a.png")
    with pytest.raises(DataError, match="found none, and 1 images directly in it; sort the images"):
        prepare(tmp_path / "in")


def test_one_class_only(prepare: Prepare, pets: Path) -> None:
    shutil.rmtree(pets / "cat")
    shutil.rmtree(pets / "dog")
    with pytest.raises(DataError, match="found only eel; sort"):
        prepare(pets)


def test_a_class_without_images(prepare: Prepare, pets: Path) -> None:
    (pets / "fox").mkdir()
    (pets / "fox" / "fox.heic").write_bytes(b"?")
    with pytest.raises(DataError, match=r"fox: expected images .*found 1 other files; add"):
        prepare(pets)


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_too_few_images(prepare: Prepare, pets: Path, count: int, tmp_path: Path) -> None:
    for path in sorted((pets / "eel").iterdir())[count:]:
        path.unlink()
    with pytest.raises(DataError, match=f"at least 3 training images of every class.* class eel has {count};"):
        prepare(pets)
    assert not (tmp_path / "store").exists()


def test_a_class_name_that_is_no_text(prepare: Prepare, pets: Path) -> None:
    (pets / "cat").rename(pets / "cat\udcff")  # Python's way to write a byte 0xff that is no UTF-8
    with pytest.raises(DataError, match=r"class names in plain text, found 'cat\\udcff'; rename"):
        prepare(pets)


def _bomb() -> bytes:
    """Return a small PNG whose header promises 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no image of a known format"),
        (b"<html>not found</html>", "no image of a known format"),
        (_bomb(), "400000000 pixels|20000x20000 pixels are more than"),
        ("truncate", "truncated|broken"),
        ("float", "floating-point pixels; convert it to 8 bits"),
    ],
)
def test_unreadable_images(prepare: Prepare, pets: Path, tmp_path: Path, content: bytes | str, reason: str) -> None:
    target = pets / "dog" / "03.png"
    if content == "float":
        target = target.with_name("x.tiff")
        Image.new("F", (8, 8), 0.5).save(target)
    else:
        target.write_bytes(target.read_bytes()[:60] if isinstance(content, str) else content)
    with pytest.raises(DataError, match=rf"found 1 that cannot be read: dog/{target.name} \(.*({reason})"):
        prepare(pets)
    data = tmp_path / "store" / "data"
    assert [path for path in data.iterdir() if path.suffix != ".lock"] == []


def test_all_unreadable_images_are_counted(prepare: Prepare, pets: Path, tmp_path: Path) -> None:
    for path in sorted((pets / "dog").iterdir())[:7]:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"expected 30 readable images, found 7 .*dog/00\.png .*, \.\.\.; all of them"):
        prepare(pets)
    lines = (tmp_path / "store" / "unreadable-pets.txt").read_text().splitlines()
    assert lines == [f"dog/{number:02}.png\tno image of a known format" for number in range(7)]


def test_unreadable_images_can_be_left_out(prepare: Prepare, pets: Path) -> None:
    for path in sorted((pets / "dog").iterdir())[:7]:
        path.write_bytes(b"")
    info = prepare(pets, skip_unreadable=True).info
    assert info.train_size + info.validation_size + info.test_size == 23
    assert any("found 7 that cannot be read" in warning for warning in info.warnings)


def test_a_class_of_which_nothing_can_be_read(prepare: Prepare, pets: Path) -> None:
    for path in (pets / "eel").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="expected images of eel that can be read, found none"):
        prepare(pets, skip_unreadable=True)


def test_a_large_image_is_refused_before_it_is_decoded(prepare: Prepare, pets: Path) -> None:
    with pytest.raises(DataError, match=r"8x8 pixels are more than 63; raise data\.max_pixels"):  # the files have 64
        prepare(pets, max_pixels=63)
    prepare(pets, max_pixels=64)


def test_an_image_that_vanishes(prepare: Prepare, pets: Path) -> None:
    (pets / "cat" / "00.png").unlink()
    (pets / "cat" / "00.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"00\.png: cannot be read: No such file"):
        prepare(pets)
    info = prepare(pets, skip_unreadable=True).info
    assert info.train_size + info.validation_size + info.test_size == 29
