"""What stands at the place of an output, a lock or a log: only a plain file is written to, and nothing else changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memnas_core.errors import InputError, StorageError
from memnas_core.files.locks import exclusive
from memnas_core.files.outputs import open_log, refuse_special

Plant = Callable[[Path, Path], object]

LINKS: dict[str, Plant] = {
    "a link": lambda path, victim: path.symlink_to(victim),
    "a link to nothing": lambda path, victim: path.symlink_to(victim.with_name("new")),
}
SPECIAL: dict[str, Plant] = {
    **LINKS,
    "a pipe": lambda path, _: os.mkfifo(path),
    "a folder": lambda path, _: path.mkdir(),
}
OTHERS: dict[str, Plant] = SPECIAL | {"a second name": lambda path, victim: path.hardlink_to(victim)}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("kind", OTHERS)
def test_a_lock_elsewhere(kind: str, victim: Path, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    OTHERS[kind](lock, victim)
    before = lock.lstat()
    with (
        pytest.raises(StorageError, match=r"lock: cannot be written: .*expected a plain file, found a"),
        exclusive(lock),
    ):
        pass
    assert (lock.lstat().st_ino, lock.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", OTHERS)
def test_a_log_elsewhere(kind: str, victim: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    OTHERS[kind](log, victim)
    with pytest.raises(StorageError, match=r"log: cannot be written: .*expected a plain file, found a"):
        open_log(log)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_a_log_grows(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        with open_log(tmp_path / "logs" / "log") as log:
            log.write(line)
    assert (tmp_path / "logs" / "log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("kind", SPECIAL)
def test_an_output_elsewhere(kind: str, victim: Path, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "out", victim)
    with pytest.raises(InputError, match=r"--plot: expected a plain file or none at .*out, found a"):
        refuse_special(tmp_path / "out", "--plot")


def test_a_device() -> None:
    with pytest.raises(InputError, match="found a device"):
        refuse_special(Path("/dev/full"), "--plot")
    with pytest.raises(StorageError, match="found a device"):
        open_log(Path("/dev/null"))
    assert Path("/dev/full").is_char_device()


def test_plain_files_and_new_ones(victim: Path, tmp_path: Path) -> None:
    refuse_special(victim, "--plot")
    refuse_special(tmp_path / "new", "--plot")
    refuse_special(victim / "below a file", "--plot")  # writing there will say what is wrong
