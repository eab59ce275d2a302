"""A classifier sees a file as the training saw it, whatever is done to files, and says in which class it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memnas_core.data import Dataset, open_dataset, prepare_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.errors import DataError, InputError
from memnas_core.prediction import classifier
from memnas_core.prediction.classifier import Classifier, Unreadable
from memnas_core.prediction.image_network import ImageNetwork
from memnas_core.settings.schema import DataSettings
from memnas_core.space.moves import seed_architecture
from memnas_core.training.network import Network, build_network
from tests.core.small_search import small_settings

ORIENTATION = 0x0112
CLASSES = ("cat", "dog", "eel")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return photos of three classes: turned by their EXIF, high and wide, grey, with transparency and with 16 bits."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(30):
        folder = root / CLASSES[number % 3]
        folder.mkdir(exist_ok=True)
        height, width = generator.integers(5, 40, 2)
        small = generator.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((int(width), int(height)))
        if number % 5 == 0:
            image = image.convert("L")
        if number % 7 == 1:
            image.putalpha(image.convert("L"))
        if number % 7 == 3:
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16)  # 12 of 16 bits
        exif = Image.Exif()
        exif[ORIENTATION] = number % 8 + 1
        image.save(folder / f"{number:02d}.{'png' if number % 7 in (1, 3) or number % 2 else 'jpg'}", exif=exif)
    return sorted(root.rglob("*.*"))


@pytest.fixture(scope="module", params=["center_crop", "squash", "letterbox"])
def dataset(photos: list[Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Dataset:
    folder = str(photos[0].parent.parent)
    settings = DataSettings(
        dataset="folder",
        folder=folder,
        image_size=8,
        validation_fraction=0.2,
        max_training_images=None,
        horizontal_flip=None,
        resize=request.param,
    )
    return open_dataset(prepare_dataset(settings, 0, tmp_path_factory.mktemp("store"), divisible_by=2))


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    return build_network(dataset.info.graph(seed_architecture((1, 2), 4)), seed=0).eval()


@pytest.fixture(scope="module")
def trained(dataset: Dataset, network: Network) -> Classifier:
    return Classifier(ImageNetwork(network, dataset.info), dataset.info)


def normalised(dataset: Dataset, images: np.ndarray, store: Path) -> torch.Tensor:
    """Normalise images (n, channels, height, width) as a training does."""
    augment = Augmentation(dataset.info, small_settings(store).training, torch.device("cpu"))
    return augment.normalise(torch.from_numpy(images))


def test_files_give_the_scores_that_training_gives_the_prepared_images(
    trained: Classifier, dataset: Dataset, network: Network, photos: list[Path], tmp_path: Path
) -> None:
    """Splits are shuffled, so the two sets of scores are compared in an order of their own."""
    found = trained.predict(photos)
    splits = (dataset.train, dataset.validation, dataset.test)
    images = np.concatenate([split.images for split in splits])
    with torch.no_grad():
        expected = network(normalised(dataset, images, tmp_path)).softmax(1)
    rows = sorted([prediction.scores[name] for name in CLASSES] for prediction in found)
    assert len({tuple(row) for row in rows}) == 30, "the photos differ to the network"
    torch.testing.assert_close(torch.tensor(rows), torch.tensor(sorted(expected.tolist())))
    for prediction, path in zip(found, photos, strict=True):
        assert prediction.path == path
        assert sum(prediction.scores.values()) == pytest.approx(1, abs=1e-6)
        assert prediction.score == max(prediction.scores.values()) == prediction.scores[prediction.class_name]


def test_the_network_with_its_normalisation_is_the_training_s(dataset: Dataset) -> None:
    images = dataset.test.images.copy()
    inside = ImageNetwork(torch.nn.Identity(), dataset.info)(torch.from_numpy(images.transpose(0, 2, 3, 1).copy()))
    assert torch.equal(inside, normalised(dataset, images, Path("store")))


def test_files_are_read_a_batch_at_a_time(
    trained: Classifier, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained.predict(photos)
    monkeypatch.setattr(classifier, "BATCH", 4)
    found = []
    given = iter(photos)
    for outcome in trained.each(given):
        found.append(outcome)
        if len(found) == 1:
            assert len(list(given)) == 26, "four files were taken"
            break
    assert [prediction.class_name for prediction in trained.predict(photos)] == [p.class_name for p in expected]


def test_unreadable_files_are_all_named(trained: Classifier, photos: list[Path], tmp_path: Path) -> None:
    torn, missing = tmp_path / "torn.png", tmp_path / "missing.png"
    torn.write_bytes(b"no image")
    files = [photos[0], torn, photos[1], missing, tmp_path]
    kinds = [isinstance(outcome, Unreadable) for outcome in trained.each(files)]
    assert kinds == [False, True, False, True, True]
    with pytest.raises(DataError) as caught:
        trained.predict(files)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert text.startswith("expected 5 readable images, found 3 that cannot be read: ")
    for path in (torn, missing, tmp_path):
        assert f"{path} (" in text


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 8, 8), np.uint8),  # channels first
        np.zeros((8, 8, 3), np.uint8),  # a single image
        np.zeros((2, 8, 9, 3), np.uint8),  # another size
        np.zeros((2, 8, 8, 1), np.uint8),  # grey
        np.zeros((2, 8, 8, 3), np.float32),  # divided by 255, perhaps
    ],
)
def test_arrays_of_another_shape_or_type(images: np.ndarray, trained: Classifier) -> None:
    with pytest.raises(InputError) as caught:
        trained.scores(images)
    assert "expected uint8 of shape (n, 8, 8, 3)" in str(caught.value)
    assert f"found {images.dtype} of shape {images.shape}" in str(caught.value)
