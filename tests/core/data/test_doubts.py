"""What is said of copies, balance and few images; the figures are counted by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memnas_core.data import check_varied, open_dataset, prepare_dataset
from memnas_core.data.doubts import (
    Marked,
    half_interval,
    refuse_equal_images,
    said_of_balance,
    said_of_copies,
    said_of_validation,
)
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings


def test_copies_across_splits() -> None:
    splits = {
        "train": Marked(["a", "b", "c", None], [0, 0, 1, 1]),
        "validation": Marked(["d", "a"], [1, 0]),
        "test": Marked(["a", "b", "e"], [0, 0, 1]),
    }
    validation, test = said_of_copies(splits, ("cat", "dog"))
    assert validation.startswith("1 of the 2 validation images are training images as well")
    assert test.startswith("2 of the 3 test images are training images as well")


def test_copies_within_one_folder() -> None:
    (sentence,) = said_of_copies({"train": Marked(["a", "a", "a", "b", None, None], [0] * 6)}, ("cat",))
    assert sentence.startswith("2 of 6 images are copies of others")


def test_equal_images_in_different_classes() -> None:
    sentences = said_of_copies({"train": Marked(["a", "b", "a"], [0, 1, 1])}, ("cat", "kitten"))
    assert sentences[0].startswith("Equal images lie in different classes (1 in cat and kitten)")


def test_no_copies() -> None:
    assert said_of_copies({"train": Marked(["a", "b", None], [0, 1, 1])}, ("cat", "dog")) == []


def test_balance() -> None:
    small, unbalanced = said_of_balance({"ok": 1000, "defect": 12})
    assert small.startswith("1 of 2 classes have fewer than 20 images (defect 12)")
    assert "83 times" in unbalanced  # 1000 / 12
    assert "always answering ok is right for 98.8%" in unbalanced  # 1000 / 1012
    assert said_of_balance({"cat": 30, "dog": 50}) == []


def test_few_validation_images() -> None:
    (sentence,) = said_of_validation(60)
    assert "each is 1.7 points of accuracy" in sentence
    assert "up to 13 points either way" in sentence
    assert said_of_validation(1000) == []


def test_the_interval_holds_what_coins_do() -> None:
    """Of accuracies of a coin on 60 images, 95 % lie within it: counted over 20,000 draws."""
    drawn = np.random.default_rng(0).binomial(60, 0.5, 20_000) / 60
    assert (np.abs(drawn - 0.5) <= half_interval(60)).mean() == pytest.approx(0.95, abs=0.02)


def test_images_without_anything_to_tell_apart() -> None:
    black = np.zeros((10, 3, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match="here: expected images that differ, found 10 that are one colour"):
        refuse_equal_images(black, "here")
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match="found 10 that are nearly equal"):
        refuse_equal_images(np.repeat(noise, 10, axis=0), "here")
    refuse_equal_images(np.random.default_rng(0).integers(100, 108, (10, 3, 4, 4), dtype=np.uint8), "here")


def photos(root: Path, numbers: dict[str, range]) -> Path:
    """Write small pictures of noise; equal numbers give equal pictures."""
    for place, wanted in numbers.items():
        (root / place).mkdir(parents=True)
        for number in wanted:
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number}.png")
    return root


def test_what_is_doubtful_is_recorded_with_the_prepared_images(
    settings: Callable[..., DataSettings], tmp_path: Path
) -> None:
    root = photos(
        tmp_path / "in",
        {"train/a": range(30), "train/b": range(100, 130), "test/a": range(24, 34), "test/b": range(200, 210)},
    )
    folder = prepare_dataset(settings(dataset="folder", folder=str(root), image_size=8), 0, tmp_path / "store")
    info = open_dataset(folder).info
    assert (info.validation_size, info.test_size) == (12, 20)
    few, copies = (
        next(w for w in info.warnings if words in w) for words in ("validation images choose", "of the 20 test")
    )
    assert few.startswith("Only 12 validation images")
    held_out = {image.tobytes() for image in open_dataset(folder).validation.images}
    trained = sum(_pixels(number) not in held_out for number in range(24, 30))  # six of the test images are in train/a
    assert copies.startswith(f"{trained} of the 20 test images")
    check_varied(folder)


def _pixels(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return pixels.transpose(2, 0, 1).tobytes()


def test_black_images_are_refused_before_a_training(settings: Callable[..., DataSettings], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number % 2, 0, 0)).save(tmp_path / "in" / name / f"{number}.png")
    folder = prepare_dataset(settings(dataset="folder", folder=str(tmp_path / "in")), 0, tmp_path / "store")
    with pytest.raises(DataError, match="10 images in the folder in: expected images that differ"):
        check_varied(folder)
