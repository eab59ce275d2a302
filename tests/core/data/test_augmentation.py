"""Batch augmentation against a plain one written image by image, as the paper lists the steps."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memnas_core.data import DatasetInfo
from memnas_core.data.augmentation import Augmentation
from memnas_core.settings.schema import TrainingSettings

Image = NDArray[np.float32]
Choice = tuple[int, int, bool, int, int]  # row and column of the crop, mirrored, row and column of the cutout


def _info(channels: int, height: int, width: int, flip: bool) -> DatasetInfo:
    return DatasetInfo(
        name="test",
        classes=("a", "b"),
        shape=(channels, height, width),
        channel_mean=(0.3, 0.5, 0.7)[:channels],
        channel_std=(0.2, 0.3, 0.1)[:channels],
        train_size=1,
        validation_size=1,
        test_size=1,
        horizontal_flip=flip,
        digest="",
        source="",
    )


def _augmentation(info: DatasetInfo, padding: int, cutout: int, device: str = "cpu") -> Augmentation:
    training = TrainingSettings(1, 1, 0.1, 0.9, 0.0, None, 1, padding, cutout, "cpu", "float32")
    return Augmentation(info, training, torch.device(device))


def _images(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=random)


def _one_by_one(image: Image, padding: int, cutout: int, flip: bool) -> Iterator[tuple[Choice, Image]]:
    """Yield all that may become of one normalised image (C, H, W), with the choices that lead there."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    centres = [(y, x) for y in range(height) for x in range(width)] if cutout else [(0, 0)]
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            cropped = padded[:, top : top + height, left : left + width]
            for mirrored in (False, True) if flip else (False,):
                turned = cropped[:, :, ::-1] if mirrored else cropped
                for y, x in centres:
                    cut = turned.copy()
                    if cutout:
                        first_row, first_column = y - cutout // 2, x - cutout // 2
                        rows = slice(max(0, first_row), max(0, first_row + cutout))
                        columns = slice(max(0, first_column), max(0, first_column + cutout))
                        cut[:, rows, columns] = 0
                    yield (top, left, mirrored, y, x), cut


def _choices(images: torch.Tensor, augmentation: Augmentation, padding: int, cutout: int, flip: bool) -> list[Choice]:
    """Augment, and find out for every image which choices explain the result."""
    result = augmentation(images, torch.Generator().manual_seed(1)).numpy()
    found = []
    for plain, augmented in zip(augmentation.normalise(images).numpy(), result, strict=True):
        possible = _one_by_one(plain, padding, cutout, flip)
        found.append(next(choice for choice, image in possible if np.array_equal(image, augmented)))
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("padding", "cutout", "flip"), [(0, 0, False), (1, 0, False), (0, 0, True), (0, 3, False), (2, 2, True)]
)
def test_every_result_is_one_of_the_plain_ones(channels: int, padding: int, cutout: int, flip: bool) -> None:
    augmentation = _augmentation(_info(channels, 5, 7, flip), padding, cutout)
    _choices(_images(20, channels, 5, 7), augmentation, padding, cutout, flip)  # StopIteration where none explains


def test_all_crops_and_mirrors_are_equally_likely() -> None:
    augmentation = _augmentation(_info(1, 4, 4, True), 1, 0)
    found = Counter(_choices(_images(1800, 1, 4, 4), augmentation, 1, 0, True))
    assert len(found) == 18
    # chi-square with 17 degrees of freedom: 40.8 is exceeded by chance once in a thousand seeds
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 40.8


def test_all_cutout_centres_are_equally_likely() -> None:
    augmentation = _augmentation(_info(1, 4, 4, False), 0, 2)
    found = Counter(_choices(_images(1600, 1, 4, 4), augmentation, 0, 2, False))
    assert len(found) == 16
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 37.7  # 15 degrees of freedom


def test_padding_has_the_colour_of_an_average_pixel() -> None:
    white = torch.full((64, 1, 4, 4), 255, dtype=torch.uint8)
    augmentation = _augmentation(_info(1, 4, 4, False), 1, 0)
    values = augmentation(white, torch.Generator().manual_seed(0)).unique().tolist()
    assert values == pytest.approx([0, (1 - 0.3) / 0.2])


def test_cutout_larger_than_the_image_leaves_nothing() -> None:
    augmentation = _augmentation(_info(1, 4, 4, False), 0, 20)
    assert not augmentation(_images(8, 1, 4, 4), torch.Generator()).any()


def test_normalise() -> None:
    images = _images(6, 3, 5, 4)
    mean = np.array([0.3, 0.5, 0.7]).reshape(1, 3, 1, 1)
    std = np.array([0.2, 0.3, 0.1]).reshape(1, 3, 1, 1)
    result = _augmentation(_info(3, 5, 4, False), 0, 0).normalise(images)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), (images.numpy() / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_results_are_channels_last_and_follow_the_generator() -> None:
    images = _images(16, 3, 8, 8)
    augmentation = _augmentation(_info(3, 8, 8, True), 2, 2)
    first, second, other = (augmentation(images, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert augmentation.normalise(images).is_contiguous(memory_format=torch.channels_last)


def test_the_batch_given_is_not_changed() -> None:
    images = _images(4, 1, 8, 8)
    before = images.clone()
    augmentation = _augmentation(_info(1, 8, 8, True), 2, 2)
    augmentation(images, torch.Generator())
    augmentation.normalise(images)
    assert torch.equal(images, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_what_the_cpu_gives() -> None:
    images = _images(32, 3, 8, 8)
    info = _info(3, 8, 8, True)
    results = [
        _augmentation(info, 2, 2, device)(images, torch.Generator().manual_seed(3)).cpu() for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(results[0], results[1])
