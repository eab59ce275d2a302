"""From files of images to names of classes, with the network that a search found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from memnas_core.data import DatasetInfo
from memnas_core.data.decoding import SHOWN_FAILURES
from memnas_core.data.description import preprocessing_of
from memnas_core.data.in_threads import own_limits
from memnas_core.data.preprocessing import MAX_PIXELS, try_image
from memnas_core.data.source import ImageArray
from memnas_core.errors import DataError, InputError
from memnas_core.export.store import find_trained
from memnas_core.prediction.image_network import ImageNetwork
from memnas_core.training.worker import load_network

BATCH = 64  # images that are decoded before the network runs; about 10 MB at 224 x 224


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network makes of an image.

    Attributes:
        path: File of the image.
        class_name: Name of the class with the largest score.
        score: Score of this class, in [0, 1].
        scores: Name of each class -> score; they add up to 1. They are the softmax of what the network computes, and
            no probabilities of being right.
    """

    path: Path
    class_name: str
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that cannot be read as an image.

    Attributes:
        path: The file.
        reason: What is wrong with it.
    """

    path: Path
    reason: str


class Classifier:
    """A trained network and everything that turns a file into its input and its output into a class.

    Attributes:
        classes: Name of every class, in the order of the network's outputs.
    """

    def __init__(self, network: ImageNetwork, info: DatasetInfo, max_pixels: int = MAX_PIXELS) -> None:
        """Take a network and what it was trained on.

        Args:
            network: The trained network with its normalisation.
            info: Facts about the data set; classes, shape and preprocessing are used.
            max_pixels: Largest image that is decoded, in pixels.
        """
        self.classes = info.classes
        self._preprocessing = preprocessing_of(info)
        self._max_pixels = max_pixels
        self._network = network.eval()
        self._info = info

    def predict(self, paths: Iterable[Path | str]) -> list[Prediction]:
        """Return what the network makes of images, in the order given.

        Args:
            paths: Files of images of any size; each is turned, cut and resized as the images of the search were.

        Raises:
            DataError: A file cannot be read; the message names all that cannot.
        """
        outcomes = list(self.each(paths))
        unreadable = [outcome for outcome in outcomes if isinstance(outcome, Unreadable)]
        if unreadable:
            raise unreadable_error(unreadable, len(outcomes))
        return [outcome for outcome in outcomes if isinstance(outcome, Prediction)]

    def each(self, paths: Iterable[Path | str]) -> Iterator[Prediction | Unreadable]:
        """Yield what the network makes of each image, in the order given; files are read when they are needed."""
        left = (Path(path) for path in paths)
        while batch := list(islice(left, BATCH)):
            with own_limits():
                read = [try_image(path, self._preprocessing, self._max_pixels) for path in batch]
            images = [outcome.transpose(1, 2, 0) for outcome in read if not isinstance(outcome, str)]
            found = iter(self.scores(np.stack(images)) if images else ())
            for path, outcome in zip(batch, read, strict=True):
                if isinstance(outcome, str):
                    yield Unreadable(path, outcome)
                else:
                    yield self._prediction(path, next(found))

    def scores(self, images: ImageArray) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        """Return the scores of images that are already turned, cut and resized.

        Args:
            images: uint8, shape (n, height, width, channels); colours are red, green, blue.

        Returns:
            Softmax of the network's scores, shape (n, classes).

        Raises:
            InputError: The images have another type or shape.
        """
        channels, height, width = self._info.shape
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, channels):
            raise InputError(
                f"images: expected uint8 of shape (n, {height}, {width}, {channels}): n, height, width, channels; "
                f"found {images.dtype} of shape {images.shape}; give files to predict(), which resizes them"
            )
        with torch.inference_mode():
            found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = (
                self._network(torch.from_numpy(images)).softmax(1).numpy()
            )
        return found

    def _prediction(self, path: Path, scores: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> Prediction:
        best = int(scores.argmax())
        named = dict(zip(self.classes, (float(score) for score in scores), strict=True))
        return Prediction(path, self.classes[best], float(scores[best]), named)


def load_classifier(target: str, store: Path | str = "store") -> Classifier:
    """Return the classifier that a search found.

    Args:
        target: `SEARCH`, `SEARCH/ID` or `ID`; see `memnas_core.export.store`.
        store: Folder of the store, as in the settings.

    Raises:
        InputError: There is no such network, or several.
        RecordError: The record of the search is damaged, or its weights are not on disk.
    """
    trained = find_trained(Path(store), target)
    network = load_network(trained.architecture, trained.weights, trained.info)
    return Classifier(ImageNetwork(network, trained.info), trained.info, trained.settings.data.max_pixels)


def unreadable_error(unreadable: Sequence[Unreadable], count: int) -> DataError:
    """Return the error about files that cannot be read.

    Args:
        unreadable: The files, at least one.
        count: Number of all files that were given.
    """
    shown = ", ".join(f"{file.path} ({file.reason})" for file in unreadable[:SHOWN_FAILURES])
    more = ", ..." if len(unreadable) > SHOWN_FAILURES else ""
    return DataError(
        f"expected {count} readable {'image' if count == 1 else 'images'}, found {len(unreadable)} that cannot be "
        f"read: {shown}{more}; replace or leave them out"
    )
