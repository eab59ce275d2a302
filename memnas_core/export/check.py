"""Comparison of an exported file's results with those of the torch network that it was made from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from memnas_core.export.file_format import ExportError, OpenedFile

CHECK_IMAGES = 1000
TOLERANCE = 1e-4
"""Largest difference of scores, relative to the largest score. A network has thousands of additions, and float32 has
a relative precision of about 1e-7 in each."""

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of the comparison.

    Attributes:
        images: Number of images that were run, one at a time.
        torch_accuracy: Accuracy of the torch network on these images, in [0, 1].
        file_accuracy: Accuracy of the file on these images, in [0, 1].
        same_classes: Number of images to which both give the same class.
        largest_difference: Largest absolute difference between scores of the file and the torch network.
        largest_score: Largest absolute score of the torch network.
        median_seconds: Median time of one image on this machine with one thread, in seconds; None if it would be
            meaningless.
    """

    images: int
    torch_accuracy: float
    file_accuracy: float
    same_classes: int
    largest_difference: float
    largest_score: float
    median_seconds: float | None

    @property
    def accuracy_difference(self) -> float:
        """Accuracy of the file minus accuracy of the torch network."""
        return self.file_accuracy - self.torch_accuracy


def check_file(opened: OpenedFile, network: nn.Module, images: Tensor, labels: Tensor, exact: bool) -> CheckResult:
    """Return how a file compares with the torch network on images.

    Args:
        opened: The opened file.
        network: The torch network, in evaluation mode.
        images: Normalised images, shape (n, channels, height, width), n > 0.
        labels: Classes of the images, shape (n,).
        exact: Whether scores must be equal within the tolerance and classes the same, as in float32.

    Raises:
        ExportError: Scores or classes differ although `exact` is true, or a score is not finite.
    """
    with _one_thread(), torch.no_grad():
        expected = network(images)
        found, seconds = _run(opened, images)
    difference = float((found - expected).abs().max())
    size = float(expected.abs().max())
    if not found.isfinite().all():
        raise ExportError(f"{opened.ran_by}: expected finite scores, found others; it was not kept")
    classes, expected_classes = found.argmax(1), expected.argmax(1)
    # If the scores of two classes are equal within the tolerance, either class is right.
    level = expected.gather(1, classes[:, None]).squeeze(1) >= expected.max(1).values - 2 * TOLERANCE * size
    if exact and (difference > TOLERANCE * size or not level.all()):
        raise ExportError(
            f"{opened.ran_by}: expected the torch network's scores within {TOLERANCE * size:.2g}, found a difference "
            f"of {difference:.2g} and {int((~level).sum())} other classes in {len(images)} images; it was not kept"
        )
    return CheckResult(
        images=len(images),
        torch_accuracy=float((expected_classes == labels).float().mean()),
        file_accuracy=float((classes == labels).float().mean()),
        same_classes=int((classes == expected_classes).sum()),
        largest_difference=difference,
        largest_score=size,
        median_seconds=median(seconds) if opened.on_this_machine else None,
    )


def _run(opened: OpenedFile, images: Tensor) -> tuple[Tensor, list[float]]:
    """Return the scores of all images, shape (n, classes), and the seconds that each image took."""
    for image in images[:_WARM_UP].split(1):
        opened.run(image)
    scores, seconds = [], []
    for image in images.split(1):
        begin = perf_counter()
        scores.append(opened.run(image))
        seconds.append(perf_counter() - begin)
    return torch.cat(scores), seconds


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
