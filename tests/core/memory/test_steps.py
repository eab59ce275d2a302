"""Bytes in each step, by hand."""

from memnas_core.memory.steps import aligned, profile


def test_profile() -> None:
    assert profile([(5, 1, 2), (3, 2, 4), (1, 4, 4)], 4) == [5, 8, 3, 4]
    assert profile([(5, 1, 1)], 3) == [5, 0, 0]
    assert profile([], 0) == [0]


def test_aligned() -> None:
    assert [aligned(size, 16) for size in (0, 1, 16, 17)] == [0, 16, 16, 32]
