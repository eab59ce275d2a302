"""Compares what an exported file computes with the torch network that it came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from memnas_core.export.model_file import ExportError, OpenedFile

CHECK_IMAGES = 1000
TOLERANCE = 1e-4
"""Of the largest score's size; float32 keeps about 1e-7 in each of the thousands of additions of a network."""

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the comparison gave.

    Attributes:
        images: How many were run, one at a time.
        torch_accuracy: Of the torch network on them, in [0, 1].
        file_accuracy: Of the file on them, in [0, 1].
        same_classes: To how many images both give the same class.
        largest_difference: Between two scores.
        largest_score: Size of the largest score of the torch network.
        median_seconds: Of one image's run on this machine with one thread; None where it would tell nothing.
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
        """The file's accuracy minus the torch network's."""
        return self.file_accuracy - self.torch_accuracy


def check_file(opened: OpenedFile, network: nn.Module, images: Tensor, labels: Tensor, exact: bool) -> CheckResult:
    """Run a file on images.

    Args:
        opened: The file.
        network: The torch network, in evaluation mode.
        images: Normalised images, shape (n, channels, height, width), n > 0.
        labels: Their classes, shape (n,).
        exact: Whether scores must be equal within the tolerance and classes the same, as in float32.

    Raises:
        ExportError: They are not, or a score is no finite number.
    """
    with _one_thread(), torch.no_grad():
        expected = network(images)
        found, seconds = _run(opened, images)
    difference = float((found - expected).abs().max())
    size = float(expected.abs().max())
    if not found.isfinite().all():
        raise ExportError(f"{opened.ran_by}: expected finite scores, found others; it was not kept")
    classes, expected_classes = found.argmax(1), expected.argmax(1)
    # Where two classes are level within the tolerance, either is right.
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
    """Return the scores of all images, shape (n, classes), and the seconds that each took."""
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
