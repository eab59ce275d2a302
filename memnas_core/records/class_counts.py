"""How many images of each class a network classifies correctly, and the accuracies that follow from it.

==================  ==========================================================================
plain accuracy      share of all images that are classified correctly
recall of a class   share of the images of that class that are classified correctly
balanced accuracy   mean recall of the classes that have images (scikit-learn's definition)
==================  ==========================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass

from memnas_core.settings.kinds import AccuracyMeasure


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Results on one split, by class.

    Attributes:
        images: Number of images of each class.
        right: How many of them are classified correctly.
    """

    images: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        pairs = zip(self.images, self.right, strict=True)
        if not any(self.images) or not all(0 <= right <= images for images, right in pairs):
            raise ValueError(f"expected counts of images and of correct ones among them, found {self}")

    @property
    def recalls(self) -> tuple[float | None, ...]:
        """Recall of each class, in [0, 1]; None where it has no images."""
        return tuple(right / images if images else None for images, right in zip(self.images, self.right, strict=True))

    @property
    def lowest_recall(self) -> float:
        """The lowest recall of a class with images, in [0, 1]."""
        return min(recall for recall in self.recalls if recall is not None)

    @property
    def majority_share(self) -> float:
        """Plain accuracy of always guessing the largest class, in [0, 1]."""
        return guessing_accuracy(self.images, "plain")

    def accuracy(self, measure: AccuracyMeasure) -> float:
        """Return the plain or the balanced accuracy, in [0, 1]."""
        if measure == "plain":
            return sum(self.right) / sum(self.images)
        recalls = [recall for recall in self.recalls if recall is not None]
        return sum(recalls) / len(recalls)


def guessing_accuracy(images: Sequence[int], measure: AccuracyMeasure) -> float:
    """Return the accuracy of always guessing the largest class, in [0, 1].

    Args:
        images: Number of images of each class, not all 0.
        measure: Plain accuracy, or balanced accuracy, which is the same for any class that has images.
    """
    return max(images) / sum(images) if measure == "plain" else 1 / sum(count > 0 for count in images)
