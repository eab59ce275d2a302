"""Settings of the library: where they come from, and what is said of mistakes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import memnas
from memnas_core.data.survey import survey_folder
from memnas_core.settings.file import load_settings, parse_settings
from memnas_core.settings.presets import PRESETS
from memnas_core.settings.proposal import propose

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two classes of made-up photos."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(12):
            pixels = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_settings_file_of_the_repository(name: str) -> None:
    assert memnas.settings(name) == load_settings(ROOT / PRESETS[name])


def test_changes_are_those_of_the_command() -> None:
    changed = memnas.settings("digits", {"search.rounds": 2, "store": Path("here"), "network.strides": (1, 2)})
    overrides = ["search.rounds=2", "store=here", "network.strides=[1, 2]"]
    assert changed == load_settings(ROOT / "params.yaml", overrides)
    assert memnas.settings() == memnas.settings("digits")
    assert memnas.settings(changed, {"search.rounds": 4, "store": "store"}) == memnas.settings(
        ROOT / "params.yaml", {"network.strides": [1, 2]}
    )


def test_a_folder_of_images_gives_what_init_proposes(photos: Path) -> None:
    def proposed(side: int | None) -> object:
        return parse_settings(propose(survey_folder(photos, copies=False), side).values, "proposed")

    assert memnas.settings(images=photos) == proposed(None)
    assert memnas.settings(None, {"data.image_size": 8}, images=photos) == proposed(8)
    given = memnas.settings("digits", images=photos)
    assert (given.data.dataset, given.data.folder) == ("folder", str(photos))
    assert given.search == memnas.settings("digits").search


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"changes": {"search.round": 2}}, "changes: search.round: expected one of seed, moves, "),
        ({"changes": {"serch.rounds": 2}}, "changes: serch.rounds: expected one of the sections data, network, "),
        ({"changes": {"search.rounds": "2"}}, 'changes: search.rounds: expected a whole number, found "2"'),
        ({"changes": {"search.": 2}}, "changes: expected keys such as search.rounds, found 'search.'"),
        ({"changes": {"objective.accuracy_weight": 2}}, "expected a number of at most 1, found 2"),
        ({"source": "digit"}, "preset: expected one of digits, fashion, paper, imagenet, or a settings file, found d"),
        ({"source": "absent.yaml"}, "absent.yaml: no such settings file"),
        ({"images": "/absent"}, "data.folder: expected a folder at /absent, found nothing"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(memnas.MemnasError) as caught:
        memnas.settings(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_search_needs_to_be_told_something() -> None:
    with pytest.raises(memnas.MemnasError, match=r"expected settings, such as .*, or images, found neither"):
        memnas.search()
