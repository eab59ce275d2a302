"""Commands on a store in a folder without a settings file, as `memnas search --images` leaves it."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.flows.command_line import Memnas, in_this_process
from tests.flows.made_up_store import write_store


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return a function that runs the command beside a store with a finished search `digits`."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path)
    Path("params.yaml").unlink()
    return in_this_process(monkeypatch, capfd)


def test_the_store_of_the_current_folder_is_found(memnas: Memnas) -> None:
    Image.new("L", (8, 8)).save("black.png")
    assert memnas("report") == (0, "Report: store/searches/digits/report.html\n", "")
    code, out, _ = memnas("predict", "digits", "black.png")
    assert (code, out[:11]) == (0, "black.png: ")
    code, _, err = memnas("export", "digits", "--format", "pt2")
    assert (code, err) == (0, "")
    assert list(Path("store/searches/digits/exports").glob("digits-*.pt2"))


def test_a_store_elsewhere_is_named(memnas: Memnas) -> None:
    Path("store").rename("other store")
    code, out, err = memnas("report", "--set", "store=other store")
    assert (code, out, err) == (0, "Report: other store/searches/digits/report.html\n", "")


def test_one_line_says_what_to_do(memnas: Memnas) -> None:
    second = Path("store/searches/second")
    shutil.copytree("store/searches/digits", second)
    os.utime(second / "settings.yaml", (2e9, 2e9))
    code, out, err = memnas("report")
    assert (code, out) == (2, "")
    assert err == "memnas: store: expected one search, found digits, second; choose with --name\n"
    assert memnas("report", "--name", "second")[:2] == (0, "Report: store/searches/second/report.html\n")
    code, _, err = memnas("report", "--name", "third")
    assert code == 2
    assert "no search 'third' in store, only digits, second; name the store with --set store=DIR or a" in err
    shutil.rmtree("store")
    for command in (["report"], ["ui"], ["export", "digits", "--format", "pt2"], ["predict", "digits", "black.png"]):
        code, out, err = memnas(*command)
        assert (code, out) == (2, "")
        assert err.startswith("memnas: params.yaml: no such settings file, and no search in store; name the store with")
        assert err.count("\n") == 1


def test_a_named_settings_file_must_be_there(memnas: Memnas) -> None:
    assert memnas("report", "--params", "params.yaml")[2].startswith("memnas: params.yaml: no such settings file; name")
