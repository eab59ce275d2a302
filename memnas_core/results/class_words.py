"""A network's results by class, in words and as a table: what a single accuracy hides."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memnas_core.files.printable import printable
from memnas_core.records.class_counts import ClassCounts, guessing_accuracy
from memnas_core.settings.kinds import AccuracyMeasure

CLASSES_FILE = "classes.csv"

MOST_SHOWN = 10
"""Classes named in one line; of more, those with the lowest recall."""

_COLUMNS = ("class", "validation_images", "validation_recall", "test_images", "test_recall")


@dataclass(frozen=True, slots=True)
class ClassLine:
    """Results for one class; None where they are not known, recalls also where the class has no images.

    Attributes:
        name: Name of the class.
        validation_images: Number of its validation images.
        validation_recall: Share of them that is classified correctly.
        test_images: Number of its test images.
        test_recall: Share of them that is classified correctly.
    """

    name: str
    validation_images: int | None
    validation_recall: float | None
    test_images: int | None
    test_recall: float | None


def measure_words(measure: AccuracyMeasure) -> str:
    """Return what an accuracy is called."""
    return "accuracy" if measure == "plain" else "balanced accuracy"


def class_lines(names: Sequence[str], validation: ClassCounts | None, test: ClassCounts | None) -> list[ClassLine]:
    """Return the results for each class; none if nothing is known."""
    if validation is None and test is None:
        return []
    return [ClassLine(name, *_of(validation, place), *_of(test, place)) for place, name in enumerate(names)]


def _of(counts: ClassCounts | None, place: int) -> tuple[int | None, float | None]:
    return (None, None) if counts is None else (counts.images[place], counts.recalls[place])


def class_table(lines: Sequence[ClassLine]) -> str:
    """Return the results for each class as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        (line.name, line.validation_images, line.validation_recall, line.test_images, line.test_recall)
        for line in lines
    )
    return out.getvalue()


def class_figures(counts: ClassCounts) -> dict[str, float]:
    """Return the figures that stand beside a test accuracy, by name."""
    return {
        "test_majority_share": counts.majority_share,
        "test_balanced_accuracy": counts.accuracy("balanced"),
        "test_lowest_recall": counts.lowest_recall,
    }


def beside_accuracy(names: Sequence[str], counts: ClassCounts) -> str:
    """Return what belongs to an accuracy: that of guessing the largest class, both measures and the recalls.

    Args:
        names: Name of each class.
        counts: The results.
    """
    largest = names[counts.images.index(max(counts.images))]
    known = [
        (recall, f"{name} {recall:.4f} of {images:,}")
        for name, recall, images in zip(names, counts.recalls, counts.images, strict=True)
        if recall is not None
    ]
    shown, which = known, ""
    if len(known) > MOST_SHOWN:
        shown, which = sorted(known)[:MOST_SHOWN], f", the lowest of {len(known)}"
    plain, balanced = counts.accuracy("plain"), counts.accuracy("balanced")
    guessed = guessing_accuracy(counts.images, "balanced")
    return printable(
        f"accuracy {plain:.4f} (always guessing {largest}: {counts.majority_share:.4f}), balanced accuracy "
        f"{balanced:.4f} (guessing: {guessed:.4f}); recall by class{which}: {', '.join(words for _, words in shown)}"
    )


def never_found(names: Sequence[str], counts: ClassCounts, split: str) -> Iterator[str]:
    """Yield a warning for each class that has images and of which a network finds none.

    Args:
        names: Name of each class.
        counts: The results.
        split: Name of the split, such as test.
    """
    for name, recall, images in zip(names, counts.recalls, counts.images, strict=True):
        if recall == 0:
            which = f"{images:,} {split} images" if images > 1 else f"one {split} image"
            yield printable(f"Warning: the network finds none of the {which} of class {name} (recall 0).")
