"""A search on images without settings: what it searches with, where that is kept, and that mistakes write nothing."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.proposed import keep, kept_params, proposed_params
from memnas_core.errors import InputError
from memnas_core.settings.file import load_settings
from tests.flows.command_line import Memnas, in_this_process


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return the command, run in an empty folder that is no checkout."""
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, capfd)


@pytest.fixture
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two class folders with noise."""
    folder = tmp_path_factory.mktemp("images") / "pets"
    generator = np.random.default_rng(0)
    for number in range(40):
        path = folder / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (36, 48, 3), dtype=np.uint8)).save(path)
    return folder


def test_a_draft_is_kept_in_the_store_and_taken_again_on_resume(pets: Path, tmp_path: Path) -> None:
    overrides = [f"store={tmp_path / 'store'}"]
    kept = kept_params(pets, overrides, None)
    assert kept == tmp_path / "store" / "settings" / "pets.yaml"
    with proposed_params(pets, overrides, None, resume=False) as draft:
        assert not kept.exists()
        settings = load_settings(draft)
        assert keep(draft, kept) == kept
    assert settings.data.folder == str(pets)
    assert settings.data.image_size == 32
    assert load_settings(kept) == settings
    kept.write_text(kept.read_text().replace("rounds: 3", "rounds: 9"))
    with proposed_params(pets, overrides, None, resume=True) as again:
        assert keep(again, kept) == kept
        assert load_settings(again).search.rounds == 9


def test_a_link_in_the_place_of_kept_settings_is_replaced_and_not_followed(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    kept = kept_params(pets, [f"store={tmp_path / 'store'}"], None)
    kept.parent.mkdir(parents=True)
    kept.symlink_to(tmp_path / "mine.txt")
    with proposed_params(pets, [f"store={tmp_path / 'store'}"], None, resume=False) as draft:
        keep(draft, kept)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not kept.is_symlink()
    assert load_settings(kept).data.folder == str(pets)


def test_settings_are_kept_in_a_store_that_has_the_drafts_too(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = kept_params(pets, [f"store={tmp_path}"], None)
    with proposed_params(pets, [f"store={tmp_path}"], None, resume=False) as draft:
        assert keep(draft, kept) == kept
    assert load_settings(kept).data.folder == str(pets)


def test_the_side_that_a_user_sets_decides_the_strides(pets: Path) -> None:
    with proposed_params(pets, ["data.image_size=224"], None, resume=False) as draft:
        network = load_settings(draft).network
        assert (network.stem_stride, network.strides) == (2, (2, 2, 2, 1, 2))
    with (
        pytest.raises(InputError, match="expected a number of pixels"),
        proposed_params(pets, ["data.image_size=big"], None, resume=False),
    ):
        pass


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("search.rounds=0", "search.rounds: expected a number of at least 1, found 0"),
        ("store=5", "--set store=5: expected a path"),
        ("data.image_size=40000", "data.image_size"),
    ],
)
def test_a_mistake_writes_nothing(wrong: str, words: str, memnas: Memnas, pets: Path, tmp_path: Path) -> None:
    code, out, err = memnas("search", "--images", str(pets), "--set", wrong)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_init_writes_what_it_proposes_and_replaces_nothing(memnas: Memnas, pets: Path, tmp_path: Path) -> None:
    code, out, err = memnas("init", str(pets))
    assert (code, err) == (0, "")
    assert re.search(r"^A search with the proposed settings takes .+ s to .+ s on this machine\.$", out, re.MULTILINE)
    assert load_settings(tmp_path / "pets.yaml").data.image_size == 32
    code, out, err = memnas("init", str(pets))
    assert (code, err.count("\n")) == (2, 1)
    assert "add --force to replace it" in err
    assert memnas("init", str(pets), "--force", "--image-size", "224")[0] == 0
    assert load_settings(tmp_path / "pets.yaml").data.image_size == 224
