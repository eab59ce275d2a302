"""Accuracies from counts by class, against scikit-learn and tables worked by hand."""

import warnings
from dataclasses import asdict
from json import dumps

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from memnas_core.files.untrusted import parse_record
from memnas_core.records.class_counts import ClassCounts, guessing_accuracy


def test_a_small_class_that_is_never_found() -> None:
    """1,000 images of one class and 12 of another, all taken for the first: by hand."""
    counts = ClassCounts(images=(12, 1000), right=(0, 1000))
    assert counts.accuracy("plain") == counts.majority_share == 1000 / 1012
    assert counts.recalls == (0.0, 1.0)
    assert counts.lowest_recall == 0.0
    assert counts.accuracy("balanced") == guessing_accuracy(counts.images, "balanced") == 0.5


def test_a_confusion_table_by_hand() -> None:
    """Of 10, 5 and 20 images 8, 4 and 10 lie on the diagonal; a fourth class has none."""
    counts = ClassCounts(images=(10, 5, 20, 0), right=(8, 4, 10, 0))
    assert counts.accuracy("plain") == 22 / 35
    assert counts.recalls == (0.8, 0.8, 0.5, None)
    assert counts.accuracy("balanced") == pytest.approx(0.7)
    assert counts.majority_share == 20 / 35
    assert guessing_accuracy(counts.images, "balanced") == pytest.approx(1 / 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_against_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    right = np.bincount(true[true == predicted], minlength=4)
    counts = ClassCounts(tuple(np.bincount(true, minlength=4).tolist()), tuple(right.tolist()))
    assert counts.accuracy("plain") == pytest.approx(accuracy_score(true, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and not there
        assert counts.accuracy("balanced") == pytest.approx(balanced_accuracy_score(true, predicted))
    there = sorted(set(true.tolist()))
    expected = recall_score(true, predicted, labels=there, average=None)
    assert [counts.recalls[label] for label in there] == pytest.approx(list(expected))


@pytest.mark.parametrize(("images", "right"), [((1, 2), (1,)), ((1, 2), (1, 3)), ((1, 2), (-1, 2)), ((0, 0), (0, 0))])
def test_counts_that_cannot_be_are_refused(images: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"counts of images|shorter"):
        ClassCounts(images, right)
    with pytest.raises(ValueError, match=r"counts of images|shorter"):
        parse_record(dumps({"images": images, "right": right}), ClassCounts)


def test_counts_are_read_back() -> None:
    counts = ClassCounts((3, 4), (2, 4))
    assert parse_record(dumps(asdict(counts)), ClassCounts) == counts
