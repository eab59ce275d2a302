"""What follows from a folder of images: resolution, strides, lengths of trainings. Right values by hand."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.search.generation import first_generation
from memnas_core.settings.file import parse_settings
from memnas_core.settings.proposal import halved, propose, stem_stride, strides
from memnas_core.settings.schema import Settings
from memnas_core.settings.survey import SizeRange, Survey
from memnas_core.space.layers import Shape, Workload

PHOTOS = Survey(
    folder=Path("/photos"),
    classes=("cat", "dog"),
    counts={"train": {"cat": 1500, "dog": 1500}, "test": {"cat": 500, "dog": 500}},
    splits={"train": "train", "test": "test"},
    width=SizeRange(32, 32, 32),
    height=SizeRange(32, 32, 32),
    aspect=1.0,
    channels=3,
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    decode_seconds=0.001,
    is_mirrored=None,
    warnings=(),
)


def settings(survey: Survey, side: int | None = None) -> Settings:
    return parse_settings(propose(survey, side).values, "the proposal")


def of_size(pixels: int) -> Survey:
    return replace(PHOTOS, width=SizeRange(pixels, pixels, pixels), height=SizeRange(pixels, 2 * pixels, 4 * pixels))


def test_every_setting_has_a_sentence() -> None:
    proposal = propose(PHOTOS)
    sections = asdict(settings(PHOTOS))
    names = {f"{section}.{key}" for section, keys in sections.items() if isinstance(keys, dict) for key in keys}
    assert set(proposal.reasons) == names | {"store"}
    assert all(reason.endswith(".") for reason in proposal.reasons.values())


@pytest.mark.parametrize(
    ("pixels", "side", "stem", "blocks", "padding"),
    [
        (5, 8, 1, [2, 1, 1, 1, 1], 1),
        (8, 8, 1, [2, 1, 1, 1, 1], 1),
        (28, 16, 1, [2, 1, 2, 1, 1], 2),
        (32, 32, 1, [2, 1, 2, 1, 1], 4),
        (3000, 64, 2, [2, 1, 2, 1, 1], 8),
    ],
)
def test_the_size_of_images_decides_resolution_strides_and_padding(
    pixels: int, side: int, stem: int, blocks: list[int], padding: int
) -> None:
    found = settings(of_size(pixels))
    assert found.data.image_size == side
    assert (found.network.stem_stride, list(found.network.strides)) == (stem, blocks)
    assert found.training.crop_padding == padding


@pytest.mark.parametrize(
    ("side", "stem", "blocks"),
    [(224, 2, [2, 2, 2, 1, 2]), (96, 2, [2, 1, 2, 1, 1]), (36, 1, [2, 1, 2, 1, 1]), (33, 1, [1, 1, 1, 1, 1])],
)
def test_strides_follow_a_side_of_the_users(side: int, stem: int, blocks: list[int]) -> None:
    network = settings(PHOTOS, side).network
    assert (network.stem_stride, list(network.strides)) == (stem, blocks)


@given(st.integers(1, 1024))
def test_strides_divide_any_side_and_leave_a_map(side: int) -> None:
    halvings = halved(side)
    assert side % 2**halvings == 0
    assert math.prod([stem_stride(halvings), *strides(halvings)]) == 2**halvings
    assert halvings == 0 or side >> halvings >= 4


def test_the_number_of_images_decides_the_lengths_of_trainings() -> None:
    found = settings(PHOTOS)  # 3,000 with a fifth held out for validation: 2,400, and all of them at the end
    assert found.data.validation_fraction == 0.2
    assert (found.final.epochs, found.final.all_images) == (100, True)  # 300,000 / 3,000
    assert (found.training.epochs, found.search.rungs) == (3, (1.0,))  # 300,000 / 40 / 2,400 is 3.1
    assert found.training.weight_decay == 0.002
    many = replace(PHOTOS, counts={"train": {"cat": 25_000, "dog": 25_000}})  # validation and test held out: 40,500
    found = settings(many)
    assert found.data.validation_fraction == 0.1
    assert (found.final.epochs, found.final.all_images) == (10, False)  # 300,000 / 40,500 is 7
    assert (found.training.epochs, found.search.rungs) == (1, (0.25,))  # 10 / 40
    assert found.training.weight_decay == 0.0005
    few = replace(PHOTOS, counts={"train": {"cat": 150, "dog": 150}, "test": {"cat": 9, "dog": 9}})  # 240 to train on
    found = settings(few)
    assert (found.final.epochs, found.training.epochs) == (150, 5)  # at most; 150 * 300 / 40 / 240 is 4.7
    assert found.training.batch_size == 32


@pytest.mark.parametrize(
    ("splits", "sizes"),
    [
        ({}, (192, 48)),  # a fifth of 300 for the test, a fifth of the other 240 for validation
        ({"test": {"cat": 7}}, (240, 60)),
        ({"validation": {"cat": 7}}, (240, 7)),
        ({"validation": {"cat": 7}, "test": {"cat": 9}}, (300, 7)),
    ],
)
def test_images_that_are_left_to_train_and_validate(splits: dict[str, dict[str, int]], sizes: tuple[int, int]) -> None:
    survey = replace(PHOTOS, counts={"train": {"cat": 150, "dog": 150}, **splits})
    assert survey.train_and_validation(0.2) == sizes


def test_mirroring_follows_the_survey() -> None:
    assert settings(replace(PHOTOS, is_mirrored=False)).data.horizontal_flip is False


@pytest.mark.parametrize(("aspect", "resize"), [(1.0, "center_crop"), (16 / 9, "center_crop"), (4.0, "squash")])
def test_long_pictures_are_squashed(aspect: float, resize: str) -> None:
    assert settings(replace(PHOTOS, aspect=aspect)).data.resize == resize


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_the_first_networks_are_within_the_proposed_budget_and_need_half_of_it(side: int) -> None:
    found = settings(PHOTOS, side)
    workload = Workload(Shape(3, side, side), 2, 4, 4)
    first = first_generation(found.search, found.network, workload, found.objective)
    totals = [memory.param_bytes + memory.arena_bytes for memory in first.memory]
    assert len(totals) == 2
    assert max(totals) <= 480_000
    assert min(totals) <= max(totals) / 2
    assert settings(PHOTOS, 224).objective.max_total_bytes is None  # the image alone has 602,112 bytes
