"""Dataclasses as flat rows, and back."""

from dataclasses import dataclass

import pytest

from memnas_core.files.flat import columns, flat, unflat


@dataclass(frozen=True)
class Size:
    height: int
    width: int | None = None


@dataclass(frozen=True)
class Picture:
    name: str
    size: Size
    sold: bool


PICTURE = Picture("sea", Size(3, 4), sold=True)


def test_there_and_back() -> None:
    assert flat(PICTURE) == {"name": "sea", "height": 3, "width": 4, "sold": True}
    assert list(flat(PICTURE)) == [column.name for column in columns(Picture)]
    assert unflat(Picture, flat(PICTURE)) == PICTURE


def test_a_column_with_a_default_may_be_missing() -> None:
    assert [column.is_optional for column in columns(Picture)] == [False, False, True, False]
    assert unflat(Picture, {"name": "sea", "height": 3, "sold": False}) == Picture("sea", Size(3), sold=False)
    with pytest.raises(TypeError, match="height"):
        unflat(Picture, {"name": "sea", "sold": False})
