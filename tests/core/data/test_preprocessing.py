"""What becomes of one file: transparency, 16 bits, EXIF, aspect ratio. Right values are hand-worked or Pillow's own."""

import io
import itertools
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.data.choosing import choose_preprocessing, ground_for, read_headers
from memnas_core.data.orientation import exif_orientation
from memnas_core.data.preprocessing import MAX_PIXELS, Preprocessing, read_image
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

PLAIN = Preprocessing(side=8, channels=3, resize="center_crop")


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def chosen(paths: list[Path]) -> Preprocessing:
    return choose_preprocessing(paths, read_headers(paths), 8, "center_crop", MAX_PIXELS)


def icon(mode: str, shade: int) -> Image.Image:
    """Return a picture of one shade in the left half and nothing in the right one."""
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[:, :4] = 255
    if mode == "P":
        image = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
        image.putpalette([shade] * 6 + [0] * 762)
        image.info["transparency"] = bytes([0, 255])
        return image
    grey = Image.new("L", (8, 8), shade)
    return Image.merge("LA" if mode == "LA" else "RGBA", [grey] * (1 if mode == "LA" else 3) + [Image.fromarray(alpha)])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("shade", "ground"), [(0, 255), (255, 0)])
def test_icons_are_put_on_a_ground_that_shows_them(mode: str, shade: int, ground: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "icon.png", icon(mode, shade))
    preprocessing = chosen([path])
    assert preprocessing.background == ground
    pixels = read_image(path, preprocessing)
    assert (pixels[:, :, :4] == shade).all()
    assert (pixels[:, :, 4:] == ground).all()


def test_black_and_white_icons_together_are_both_seen(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{shade}.png", icon("RGBA", shade)) for shade in (0, 255)]
    preprocessing = chosen(paths)
    for path in paths:
        pixels = read_image(path, preprocessing).astype(int)
        assert abs(pixels[0, 0, 0] - pixels[0, 0, 7]) > 100


def test_large_icons_choose_their_ground_too(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "icon.png", icon("LA", 255).resize((4200, 4200), Image.Resampling.NEAREST), compress_level=1
    )
    assert chosen([path]).background == 0


def test_the_ground_is_the_one_on_which_the_faintest_show_most() -> None:
    assert ground_for([]) == 255
    assert ground_for([100.0, 120.0, 140.0]) == 255  # at least 115 away; black is at most 100 away from the darkest
    assert ground_for([250.0] * 99 + [0.0]) == 0  # one in a hundred does not decide


def test_colours_hidden_under_transparency_do_not_bleed(tmp_path: Path) -> None:
    """A white square on transparent red, made smaller, has no red edge."""
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[..., 0] = 255
    pixels[13:51, 13:51] = 255
    path = saved(tmp_path / "x.png", Image.fromarray(pixels))
    red, green, blue = read_image(path, replace(PLAIN, background=255))
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_files_are_scaled_by_the_range_that_they_use(bits: int, tmp_path: Path) -> None:
    top = 2**bits - 1
    grey = np.arange(64).reshape(8, 8) * 4  # of 255
    paths = []
    for number, suffix in enumerate(("png", "tif")):
        deep = np.round(grey / 255 * top).astype(np.uint16)
        deep[7, 7] = top
        paths.append(saved(tmp_path / f"{number}.{suffix}", Image.fromarray(deep)))
    preprocessing = chosen(paths)
    assert preprocessing.white == top
    for path in paths:
        difference = read_image(path, preprocessing)[0].astype(int) - grey
        difference[7, 7] = 0
        assert np.abs(difference).max() <= (0 if bits == 8 else 1)


def png16(values: np.ndarray[tuple[int, ...], np.dtype[np.uint16]]) -> bytes:
    """Return a PNG with 16 bits a channel, which Pillow does not write."""
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_with_unused_bits_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint16)
    full, dark = tmp_path / "full.png", tmp_path / "dark.png"
    full.write_bytes(png16(values * 257))
    dark.write_bytes(png16(values))
    assert np.array_equal(read_image(full, chosen([full])), values.transpose(2, 0, 1))
    with pytest.raises(
        DataError, match=r"use all of 16 bits, found 1 images .* below 256 of 65,536; convert them to 8"
    ):
        chosen([dark])


KINDS = {
    1: b"\1", 2: b"ab\0", 3: b"\1\0\2\0", 4: struct.pack("<I", 5), 5: struct.pack("<II", 1, 0), 6: b"\xff",
    7: b"\1\2\3", 8: b"\xff\xff", 9: struct.pack("<i", -5), 10: struct.pack("<ii", -1, 0), 11: struct.pack("<f", 1.5),
    12: struct.pack("<d", 1.5),
}  # fmt: skip
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
ODD_TAGS = (
    0x100, 0x102, 0x10E, 0x10F, 0x11A, 0x128, 0x131, 0x132, 0x13B, 0x213, 0x4746, 0x8298, 0x9C9B, 0xC4A5,
)  # fmt: skip


def exif(entries: list[tuple[int, int, bytes]]) -> bytes:
    """Return EXIF data with the given tags: number, type, value."""
    directory, rest = struct.pack("<H", len(entries)), b""
    base = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, value in sorted(entries):
        directory += struct.pack("<HHI", tag, kind, len(value) // SIZES[kind])
        if len(value) > 4:
            directory += struct.pack("<I", base + len(rest))
            rest += value
        else:
            directory += value.ljust(4, b"\0")
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + rest


def jpeg(data: bytes) -> bytes:
    """Return a JPEG, blue above and red below, with such EXIF data."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:24, :, 2], pixels[24:, :, 0] = 200, 200
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "JPEG", quality=95)
    plain = made.getvalue()
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + plain[2:]


def test_an_odd_tag_neither_refuses_a_photo_nor_hides_its_orientation(tmp_path: Path) -> None:
    """Every odd tag in every type, once and twice: 336 files, which all say: rotate by 90 degrees clockwise."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(b"Exif\0\0"))
    with Image.open(path) as image:
        image.draft(None, (16, 16))  # as memnas decodes a large JPEG
        upright = np.asarray(ImageOps.fit(image.rotate(-90, expand=True), (8, 8), Image.Resampling.BILINEAR))
    for tag, (kind, value), times in itertools.product(ODD_TAGS, KINDS.items(), (1, 2)):
        path.write_bytes(jpeg(exif([(0x112, 3, b"\6\0"), (tag, kind, value * times)])))
        assert np.array_equal(read_image(path, PLAIN), upright.transpose(2, 0, 1)), (hex(tag), kind, times)


@pytest.mark.parametrize(
    ("data", "orientation"),
    [
        (exif([(0x112, 3, b"\6\0")]), 6),
        (exif([(0x112, 4, struct.pack("<I", 8))]), 8),
        (exif([(0x112, 1, b"\3")]), 3),
        (b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\5\0\0", 5),
        (exif([(0x112, 3, b"\0\0")]), None),
        (exif([(0x112, 3, b"\x09\0")]), None),
        (exif([(0x112, 2, b"6\0")]), None),
        (exif([(0x112, 3, b"\6\0")])[:20], None),
        (b"Exif\0\0XX", None),
        (b"", None),
    ],
)
def test_orientation_alone_is_read(data: bytes, orientation: int | None) -> None:
    assert exif_orientation(data) == orientation


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_as_pillow_reads_them(suffix: str, orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC)
    data = Image.Exif()
    data[0x0112] = orientation
    path = saved(tmp_path / f"x.{suffix}", image, exif=data)
    with Image.open(path) as stored:
        stored.draft(None, (16, 16))
        expected = ImageOps.fit(ImageOps.exif_transpose(stored).convert("RGB"), (8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(read_image(path, PLAIN), np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_data_that_imagemagick_writes_as_text(orientation: int, tmp_path: Path) -> None:
    data = exif([(0x112, 3, bytes([orientation, 0]))])
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data[:20].hex()}\n{data[20:].hex()}\n", zip=True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = saved(tmp_path / "x.png", Image.fromarray(pixels), pnginfo=text)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored)).transpose(2, 0, 1)
    assert np.array_equal(read_image(path, PLAIN), expected)


@pytest.mark.parametrize("words", ["", "no profile", "\nexif\n 4\nzz"])
def test_text_that_is_no_exif_data_is_passed_over(words: str, tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Raw profile type exif", words)
    path = saved(tmp_path / "x.png", Image.new("RGB", (8, 8), (1, 2, 3)), pnginfo=text)
    assert read_image(path, PLAIN)[:, 0, 0].tolist() == [1, 2, 3]


def wide(tmp_path: Path) -> Path:
    """Write a picture of 32x8: red, green, green, blue squares of 8x8."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 255, 0), (0, 0, 255)]
    pixels = np.repeat(np.array(colours, dtype=np.uint8)[None], 8, axis=0).repeat(8, axis=1)
    return saved(tmp_path / "wide.png", Image.fromarray(pixels))


def test_centre_crop_loses_the_ends(tmp_path: Path) -> None:
    pixels = read_image(wide(tmp_path), PLAIN)
    assert (pixels == np.array([0, 255, 0])[:, None, None]).all()


def test_squash_keeps_the_ends(tmp_path: Path) -> None:
    pixels = read_image(wide(tmp_path), replace(PLAIN, resize="squash"))
    assert pixels[:, 4, [0, 7]].T.tolist() == [[255, 0, 0], [0, 0, 255]]
    assert (pixels == pixels[:, :1]).all()


def test_letterbox_keeps_the_ends_and_the_aspect_ratio(tmp_path: Path) -> None:
    pixels = read_image(wide(tmp_path), replace(PLAIN, resize="letterbox", letterbox_fill=9))
    assert (pixels[:, [0, 1, 2, 5, 6, 7]] == 9).all()  # 32x8 becomes 8x2, in the middle of 8x8
    assert pixels[:, 3, [0, 7]].T.tolist() == [[255, 0, 0], [0, 0, 255]]
    assert read_image(saved(tmp_path / "grey.png", Image.new("L", (2, 8), 50)), PLAIN).shape == (3, 8, 8)


@pytest.mark.parametrize("resize", ["center_crop", "squash", "letterbox"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_pixels_is_resized_in_every_way(resize: str, mode: str, tmp_path: Path) -> None:
    path = saved(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"), Image.new("L", (40, 10), 200).convert(mode))
    for channels in (1, 3):
        assert read_image(path, replace(PLAIN, channels=channels, resize=resize)).shape == (channels, 8, 8)


def test_it_is_recorded_and_gives_the_prepared_bytes_again(
    settings: Callable[..., DataSettings], pets: Path, tmp_path: Path
) -> None:
    changed = settings(dataset="folder", folder=str(pets), image_size=8, resize="letterbox")
    dataset = open_dataset(prepare_dataset(changed, 0, tmp_path / "store"))
    recorded = dataset.info.preprocessing
    assert recorded == Preprocessing(side=8, channels=3, resize="letterbox")
    prepared = {
        image.tobytes() for split in (dataset.train, dataset.validation, dataset.test) for image in split.images
    }
    assert {read_image(path, recorded).tobytes() for path in pets.rglob("*.png")} == prepared


def test_data_that_an_older_memnas_prepared_have_none(settings: Callable[..., DataSettings], tmp_path: Path) -> None:
    folder = prepare_dataset(settings(), 0, tmp_path)
    facts = json.loads((folder / "dataset.json").read_text())
    del facts["preprocessing"], facts["warnings"]
    (folder / "dataset.json").write_text(json.dumps(facts))
    info = open_dataset(folder).info
    assert (info.preprocessing, info.warnings) == (None, ())
    assert info.for_files() == Preprocessing(side=8, channels=1, resize="center_crop")


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(DataError, match=r"x\.jpg: expected an image, found HEIC, whatever its name says; convert it"):
        read_image(path, PLAIN)


def test_photos_of_more_pixels_are_a_setting(tmp_path: Path) -> None:
    """12,000 x 9,000 pixels, as phones with 108 megapixels write them."""
    path = saved(tmp_path / "108.jpg", Image.new("L", (12_000, 9_000), 90), quality=60)
    with pytest.raises(DataError, match=r"12000x9000 pixels are more than 89478485; raise data\.max_pixels"):
        read_image(path, PLAIN)
    assert np.abs(read_image(path, PLAIN, max_pixels=108_000_000).astype(int) - 90).max() <= 1
