"""What is checked before a search starts; nothing is written meanwhile."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flows.start import plan_search
from memnas_core.errors import DataError, InputError, ResumeError, SettingsError, TrackingError
from memnas_core.results.beginning import LONGEST_NAME, find_search
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.file import dump_settings
from tests.core.small_search import START, small_settings


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Write settings whose store is beside them and does not exist."""
    path = tmp_path / "params.yaml"
    path.write_text(dump_settings(small_settings(tmp_path / "store")))
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Write two class folders with a few grey images."""
    for number in range(12):
        path = tmp_path / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * number, dtype=np.uint8)).save(path)
    return tmp_path / "pets"


def test_a_finished_search_whose_images_were_changed_is_not_finished(params: Path, pets: Path) -> None:
    """It goes on: its images are compared with those that it began with, and a search on others is refused."""
    overrides = ["data.dataset=folder", f"data.folder={pets}"]
    plan = plan_search(params, overrides, None, resume=False)
    plan.folder.begin(plan.settings, replace(START, images=plan.images))
    plan.folder.write_metrics({})
    assert plan_search(params, overrides, None, resume=True).is_finished
    Image.fromarray(np.full((8, 8), 255, dtype=np.uint8)).save(pets / "cat" / "added.png")
    changed = plan_search(params, overrides, None, resume=True)
    assert not changed.is_finished
    others = replace(START, dataset=replace(START.dataset, digest="0" * 64), images=changed.images)
    with pytest.raises(ResumeError, match=r"expected the data that the search began with .*, found others"):
        changed.folder.begin(changed.settings, others)
    # Files that are written again may hold the same images.
    changed.folder.begin(changed.settings, replace(START, images=changed.images))
    changed.folder.write_metrics({})
    assert plan_search(params, overrides, None, resume=True).is_finished
    shutil.rmtree(pets)
    assert plan_search(params, overrides, None, resume=True).is_finished, "it needs its images no more"


def begin(params: Path, name: str) -> SearchFolder:
    settings = small_settings(params.parent / "store")
    _, folder = find_search(settings, name)
    folder.begin(settings, START)
    return folder


def test_a_plan(params: Path, tmp_path: Path) -> None:
    plan = plan_search(params, ["search.rounds=9"], None, resume=False)
    assert plan.name == "digits"
    assert plan.folder.path == tmp_path / "store" / "searches" / "digits"
    assert plan.settings.search.rounds == 9
    assert plan.settings == replace(small_settings(tmp_path / "store"), search=replace(plan.settings.search, rounds=9))
    assert not plan.is_finished
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml"}


def test_a_budget_that_something_meets(params: Path) -> None:
    limits = ["objective.max_param_bytes=376", "objective.max_activation_bytes=1280", "objective.max_total_bytes=1656"]
    assert plan_search(params, limits, None, resume=False).settings.objective.max_total_bytes == 1656


def test_names(params: Path, pets: Path) -> None:
    overrides = ["data.dataset=folder", f"data.folder={pets}"]
    assert plan_search(params, overrides, None, resume=False).name == "pets"
    assert plan_search(params, overrides, "lr=0.1, second try", resume=False).name == "lr=0.1, second try"
    assert plan_search(params, [], "ünïcode 😀", resume=False).folder.path.name == "ünïcode 😀"
    assert plan_search(params, [], "n" * LONGEST_NAME, resume=False).name == "n" * LONGEST_NAME


@pytest.mark.parametrize(
    "name", ["a/b", "../b", "/", "..", ".", ".hidden", "a/", "n" * (LONGEST_NAME + 1), "ü" * LONGEST_NAME]
)
def test_names_that_are_no_plain_file_names(name: str, params: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--name .*expected a plain file name of at most 200 bytes"):
        plan_search(params, [], name, resume=False)
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml"}


def test_a_folder_without_a_name(params: Path) -> None:
    with pytest.raises(InputError, match=r"^--name ''"):
        plan_search(params, ["data.dataset=folder", "data.folder=/"], None, resume=False)


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (["search.rounds=0"], SettingsError, "search.rounds: expected a number of at least 1, found 0"),
        (["search.round=3"], SettingsError, "search.round: expected one of"),
        (["network.strides=[2,2,2,2]"], DataError, "data.image_size: expected a multiple of 16"),
        (["data.image_size=9"], DataError, "data.image_size: expected a multiple of 2"),
        (["data.dataset=folder", "data.folder=/nowhere"], DataError, "expected a folder at /nowhere, found nothing"),
        (["data.dataset=folder"], SettingsError, "data.folder: expected the path of the class folders"),
        (["tracking.uri='http://127.0.0.1:9'"], TrackingError, "127.0.0.1:9"),
        (["objective.device=pdp11"], SettingsError, "objective.device: expected null or one of stm32f411, "),
        (["objective.max_param_bytes=0"], SettingsError, "expected a number of at least 1, found 0"),
        # F = 4, 1x8x8, 10 classes, 4 bytes: stem 9 * 4 + 8, classifier 5 * 10, so 94 weights; the stem's output and a
        # quarter of it in the block of stride 2, 256 + 64 activations, or the image and the stem's output, 64 + 256.
        (
            ["objective.max_param_bytes=375"],
            SettingsError,
            "expected max_param_bytes of at least 376, found 375; the smallest network of these settings has 376 bytes "
            "of weights and 1,280 bytes of activations (minimum), 1,656 together",
        ),
        (["objective.max_total_bytes=1655"], SettingsError, "max_total_bytes of at least 1,656, found 1,655"),
        (["objective.device=stm32f411", "objective.max_activation_bytes=9"], SettingsError, "(device stm32f411)"),
    ],
)
def test_what_cannot_work_is_refused(
    overrides: list[str], error: type[Exception], words: str, params: Path, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        plan_search(params, overrides, None, resume=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(params: Path) -> None:
    with pytest.raises(SettingsError, match=r"training\.device: expected a CUDA device, found none"):
        plan_search(params, ["training.device=cuda"], None, resume=False)


def test_an_unfinished_search(params: Path) -> None:
    begin(params, "mine")
    with pytest.raises(ResumeError, match="found an unfinished search; add --resume"):
        plan_search(params, [], "mine", resume=False)
    plan = plan_search(params, [], "mine", resume=True)
    assert not plan.is_finished
    with pytest.raises(ResumeError, match=r"search\.seed: 5 here, 0 there"):
        plan_search(params, ["search.seed=5"], "mine", resume=True)
    assert plan_search(params, ["search.seed=5"], "other", resume=True).name == "other"
    assert plan_search(params, ["execution.workers=7"], "mine", resume=True).settings.execution.workers == 7


def test_a_finished_search(params: Path) -> None:
    begin(params, "mine").write_metrics({})
    assert plan_search(params, [], "mine", resume=True).is_finished
    with pytest.raises(ResumeError, match="found a finished search"):
        plan_search(params, [], "mine", resume=False)


def test_a_finished_search_needs_no_images_any_more(params: Path, tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "store")
    gone = replace(settings.data, dataset="folder", folder=str(tmp_path / "pets"))
    folder = SearchFolder(tmp_path / "store" / "searches" / "pets")
    folder.begin(replace(settings, data=gone), START)
    overrides = ["data.dataset=folder", f"data.folder={tmp_path / 'pets'}"]
    with pytest.raises(DataError, match="found nothing"):
        plan_search(params, overrides, None, resume=True)
    folder.write_metrics({})
    assert plan_search(params, overrides, None, resume=True).is_finished
