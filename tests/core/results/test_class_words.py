"""Results by class in words."""

from memnas_core.records.class_counts import ClassCounts
from memnas_core.results.class_words import (
    beside_accuracy,
    class_figures,
    class_lines,
    class_table,
    measure_words,
    never_found,
)

NAMES = ("crack", "good")
COUNTS = ClassCounts(images=(12, 1000), right=(0, 1000))


def test_a_class_that_is_never_found_is_told() -> None:
    assert list(never_found(NAMES, COUNTS, "test")) == [
        "Warning: the network finds none of the 12 test images of class crack (recall 0)."
    ]
    assert list(never_found(NAMES, ClassCounts((1, 0), (0, 0)), "validation")) == [
        "Warning: the network finds none of the one validation image of class crack (recall 0)."
    ]
    assert list(never_found(NAMES, ClassCounts((2, 2), (1, 2)), "test")) == []


def test_what_belongs_to_an_accuracy() -> None:
    assert beside_accuracy(NAMES, COUNTS) == (
        "accuracy 0.9881 (always guessing good: 0.9881), balanced accuracy 0.5000 (guessing: 0.5000); "
        "recall by class: crack 0.0000 of 12, good 1.0000 of 1,000"
    )
    assert class_figures(COUNTS) == {
        "test_majority_share": 1000 / 1012,
        "test_balanced_accuracy": 0.5,
        "test_lowest_recall": 0.0,
    }
    assert (measure_words("plain"), measure_words("balanced")) == ("accuracy", "balanced accuracy")


def test_of_many_classes_the_worst_are_named() -> None:
    counts = ClassCounts(images=(10,) * 13, right=(10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 5, 5))
    words = beside_accuracy([f"c{place}" for place in range(13)], counts)
    assert "recall by class, the lowest of 13: c10 0.0000 of 10, c9 0.1000 of 10, c8 0.2000 of 10" in words
    assert "c0 1.0000" not in words


def test_names_from_others_do_not_reach_a_terminal_as_codes() -> None:
    words = [beside_accuracy(("\x1b[2J", "b"), COUNTS), *never_found(("\x1b[2J", "b"), COUNTS, "test")]
    assert all(text.isprintable() for text in words)


def test_the_table_of_classes() -> None:
    validation = ClassCounts(images=(0, 4), right=(0, 3))
    assert class_table(class_lines(NAMES, validation, COUNTS)) == (
        "class,validation_images,validation_recall,test_images,test_recall\ncrack,0,,12,0.0\ngood,4,0.75,1000,1.0\n"
    )
    assert class_table(class_lines(NAMES, None, COUNTS)).splitlines()[1] == "crack,,,12,0.0"
    assert class_lines(NAMES, None, None) == []
