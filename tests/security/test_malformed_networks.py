"""Networks from somebody else, given to `memnas memory`: one line that names the file, and nothing runs."""

import os
from pathlib import Path

import pytest

from tests.security.conftest import Memnas, Refused
from tests.security.malformed_networks import CASES, GOOD, IMAGE, Case
from tests.security.spoiling import MARK


def test_a_good_architecture(memnas: Memnas, tmp_path: Path) -> None:
    """What the refusals below are worth something against."""
    (tmp_path / "a.json").write_text(GOOD)
    assert memnas("memory", "a.json", *IMAGE)[0] == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_refused(case: Case, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / case.file).write_bytes(case.content)
    code = 1 if case.label == "plot into nowhere" else 2
    refused("memory", case.file, *case.arguments, words=case.words, code=code)
    assert not Path(MARK).exists()


def test_a_network_without_an_end(refused: Refused) -> None:
    refused("memory", "/dev/zero", *IMAGE, words="/dev/zero: cannot be read")


@pytest.mark.parametrize("option", ["--plot", "--arena-plot"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_pictures_replace_no_special_file(option: str, kind: str, refused: Refused, tmp_path: Path) -> None:
    """Run by root, `--plot /dev/full` once made a file of the device."""
    (tmp_path / "a.json").write_text(GOOD)
    (tmp_path / "precious").write_text("victim")
    place = "/dev/full" if kind == "device" else "x.svg"
    if kind == "link":
        (tmp_path / place).symlink_to(tmp_path / "precious")
    elif kind == "pipe":
        os.mkfifo(tmp_path / place)
    refused("memory", "a.json", *IMAGE, option, place, words=f"{option}: expected a plain file or none at {place}")
    assert Path("/dev/full").is_char_device()
