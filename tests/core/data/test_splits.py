"""Stratified splits: hand-worked shares, and what must hold for any class sizes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.data.splits import apportion, plan_splits
from memnas_core.errors import DataError
from memnas_core.settings.schema import DataSettings

Make = Callable[..., DataSettings]
class_sizes = st.lists(st.integers(3, 200), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("counts", "total", "least", "leave", "expected"),
    [
        # shares 4.0, 3.2, 0.8 -> 4, 3, 0 and the largest remainder gets the eighth
        ((50, 40, 10), 8, 0, 0, (4, 3, 1)),
        # shares 1.96, 0.04 -> 1, 0; the small class must have one, so nothing is left for the first
        ((98, 2), 2, 1, 0, (1, 1)),
        # shares 2.5, 2.5 of 5 in classes of 3 of which one stays: at most 2 each
        ((3, 3), 5, 1, 1, (2, 2)),
        # three classes need three places though two were asked for
        ((9, 9, 9), 2, 1, 0, (1, 1, 1)),
    ],
)
def test_apportion_by_hand(
    counts: tuple[int, ...], total: int, least: int, leave: int, expected: tuple[int, ...]
) -> None:
    assert tuple(apportion(np.array(counts), total, least, leave)) == expected


@given(counts=class_sizes, share=st.floats(0, 1), least=st.integers(0, 1), leave=st.integers(0, 2))
def test_apportion_keeps_its_bounds(counts: list[int], share: float, least: int, leave: int) -> None:
    sizes = np.array(counts)
    total = round(share * sizes.sum())
    places = apportion(sizes, total, least, leave)
    assert (places >= least).all()
    assert (places <= sizes - leave).all()
    assert places.sum() == min(max(total, least * len(counts)), (sizes - leave).sum())
    ideal = total * sizes / sizes.sum()
    if (np.floor(ideal) >= least).all() and (np.ceil(ideal) <= sizes - leave).all():
        assert (np.abs(places - ideal) < 1).all()  # the quota rule of largest remainders


@given(
    counts=class_sizes,
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    needs_validation=st.booleans(),
    needs_test=st.booleans(),
)
def test_splits_are_disjoint_and_stratified(
    counts: list[int], fraction: float, seed: int, needs_validation: bool, needs_test: bool
) -> None:
    sizes = np.array(counts)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    plan = plan_splits(
        labels,
        [str(label) for label in range(len(counts))],
        _settings(fraction, None),
        seed,
        needs_validation=needs_validation,
        needs_test=needs_test,
    )
    assert (plan.validation is not None, plan.test is not None) == (needs_validation, needs_test)
    parts = [part for part in (plan.train, plan.validation, plan.test) if part is not None]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))  # disjoint, and nothing is lost
    per_class = [np.bincount(labels[part], minlength=len(counts)) for part in parts]
    assert all((part > 0).all() for part in per_class)
    if plan.test is not None and (sizes * 0.2 >= 1).all():
        assert (np.abs(per_class[-1] - 0.2 * sizes) < 1.5).all()  # 1 of rounding, 0.5 of the rounded total


def test_test_split_is_the_same_for_all_seeds_and_settings(settings: Make) -> None:
    labels = np.repeat(np.arange(4), 50)
    plans = [
        plan_splits(labels, "abcd", changed, seed, needs_validation=True, needs_test=True)
        for seed, changed in ((0, settings()), (1, settings(validation_fraction=0.5)), (2, settings()))
    ]
    tests = [plan.test for plan in plans]
    validations = [plan.validation for plan in plans]
    assert tests[0] is not None
    assert tests[0].shape == (40,)
    assert all(np.array_equal(tests[0], test) for test in tests if test is not None)
    assert validations[0] is not None
    assert validations[2] is not None
    assert set(validations[0]) != set(validations[2])


def test_max_training_images_is_exact_and_stratified(settings: Make) -> None:
    labels = np.repeat([0, 1, 2], [100, 60, 40])
    full = plan_splits(labels, "abc", settings(), 5, needs_validation=True, needs_test=False)
    small = plan_splits(labels, "abc", settings(max_training_images=20), 5, needs_validation=True, needs_test=False)
    assert np.bincount(labels[small.train]).tolist() == [10, 6, 4]
    assert set(small.train) < set(full.train)
    assert full.validation is not None
    assert small.validation is not None
    assert np.array_equal(full.validation, small.validation)
    more = plan_splits(labels, "abc", settings(max_training_images=999), 5, needs_validation=True, needs_test=False)
    assert len(more.train) == 160


def test_too_few_images(settings: Make) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    with pytest.raises(DataError, match=r"at least 3 .* class b has 2, c has 1;"):
        plan_splits(labels, "abc", settings(), 0, needs_validation=True, needs_test=True)
    with pytest.raises(DataError, match=r"at least 2 .* class c has 1;"):
        plan_splits(labels, "abc", settings(), 0, needs_validation=True, needs_test=False)
    plan_splits(labels, "abc", settings(), 0, needs_validation=False, needs_test=False)


def test_fewer_training_images_than_classes(settings: Make) -> None:
    labels = np.repeat(np.arange(10), 10)
    with pytest.raises(DataError, match=r"data\.max_training_images: expected at least 10.* found 9"):
        plan_splits(labels, "abcdefghij", settings(max_training_images=9), 0, needs_validation=True, needs_test=True)


def _settings(fraction: float, limit: int | None) -> DataSettings:
    return DataSettings("digits", None, None, fraction, limit, None)
