"""Files appear whole or not at all, whenever the process dies and whatever the disk says."""

import signal
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import pytest

from memnas_core.errors import StorageError
from memnas_core.files.writing import new_folder, replacing, write_text
from tests.core.faults import deaths, fill, read_only, small_disk


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_write_text_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text"
    write_text(path, "first line\nä€😀\n")
    assert path.read_bytes() == "first line\nä€😀\n".encode()
    write_text(path, "second")
    assert path.read_text() == "second"
    assert names(path.parent) == {"text"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failing_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"text"}


def test_a_file_is_old_or_new_whenever_its_writer_dies(tmp_path: Path) -> None:
    path = tmp_path / "text"
    old, new = "old" * 10_000, "new" * 10_000
    path.write_text(old)
    for survived in deaths(lambda: write_text(path, new)):
        assert path.read_text() in ({new} if survived else {old, new})
        assert all(name.startswith(".") for name in names(tmp_path) - {"text"})


def fill_folder(path: Path, word: str) -> None:
    with new_folder(path) as folder:
        (folder / "inner").mkdir()
        for name in ("a", "b", "inner/c"):
            (folder / name).write_text(word)


def words(path: Path) -> list[str]:
    return [(path / name).read_text() for name in ("a", "b", "inner/c")]


def test_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    fill_folder(path, "one")
    assert words(path) == ["one"] * 3
    assert path.stat().st_mode & 0o777 == 0o755
    (path / "stranger").write_text("")
    fill_folder(path, "two")
    assert words(path) == ["two"] * 3
    assert names(path) == {"a", "b", "inner"}
    assert names(path.parent) == {"folder"}


def test_a_failing_block_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    fill_folder(path, "old")

    def fail() -> None:
        with new_folder(path) as folder:
            (folder / "a").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert words(path) == ["old"] * 3
    assert names(tmp_path) == {"folder"}


def test_a_folder_is_whole_or_absent_whenever_its_writer_dies(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for survived in deaths(lambda: fill_folder(path, "new")):
        assert path.exists() or not survived
        if path.exists():
            assert words(path) == ["new"] * 3


def test_a_replaced_folder_is_never_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    fill_folder(path, "old")
    seen = set()
    for survived in deaths(lambda: fill_folder(path, "new")):
        if not path.exists():  # the moment between two renames
            assert not survived
            fill_folder(path, "old")
            seen.add("none")
            continue
        found = words(path)
        assert found in ([["new"] * 3] if survived else [["old"] * 3, ["new"] * 3])
        seen.add(found[0])
        if found[0] == "new":
            fill_folder(path, "old")
    assert seen == {"none", "old", "new"}


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        write_text(disk / "text", "old")
        fill_folder(disk / "folder", "old")
        filler = fill(disk)
        with pytest.raises(StorageError, match="text: the disk is full; free some space"):
            write_text(disk / "text", "new" * 30_000)
        with pytest.raises(StorageError, match="folder: the disk is full"):
            fill_folder(disk / "folder", "new" * 30_000)
        assert (disk / "text").read_text() == "old"
        assert words(disk / "folder") == ["old"] * 3
        assert names(disk) == {"text", "folder", "filler"}
        filler.unlink()
        write_text(disk / "text", "new")
        assert (disk / "text").read_text() == "new"


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Another refusal than a full disk, which needs no root."""
    path = tmp_path / "text"
    write_text(path, "old")
    limits = getrlimit(RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    setrlimit(RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"text: cannot be written: .*File too large"):
            write_text(path, "new" * 1000)
    finally:
        setrlimit(RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"text"}


def test_no_permission(tmp_path: Path) -> None:
    with read_only(tmp_path / "locked") as folder:
        with pytest.raises(StorageError, match=r"text: no permission to write; .*set another store"):
            write_text(folder / "text", "new")
        with pytest.raises(StorageError, match="no permission"):
            fill_folder(folder / "new" / "folder", "new")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("I am no folder")
    with pytest.raises(StorageError, match=r"store/text: cannot be written: .*set another store"):
        write_text(tmp_path / "store" / "text", "new")
    with pytest.raises(StorageError, match="cannot be written"):
        fill_folder(tmp_path / "store" / "folder", "new")
    assert names(tmp_path) == {"store"}
