"""A search's folder when a search starts, goes on, and is kept out while another process has it."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.errors import RecordError, ResumeError, StorageError
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings
from tests.core.faults import deaths, fill, read_only, small_disk
from tests.core.results.folder_states import state
from tests.core.small_search import INFO, START, SmallSearch


def test_nothing_there(folder: SearchFolder, settings: Settings) -> None:
    for resume in (False, True):
        folder.check(settings, resume)
    assert not folder.exists
    assert not folder.is_finished
    assert not folder.path.parent.exists()  # nothing is written
    with pytest.raises(ResumeError, match=r"digits: expected the folder of a search, found no settings\.yaml"):
        folder.settings()


def test_begin(folder: SearchFolder, settings: Settings) -> None:
    folder.begin(settings, START)
    assert folder.exists
    assert folder.settings() == settings == load_settings(folder.path / "settings.yaml")
    assert folder.start() == START
    folder.check(settings, resume=True)


def test_a_search_of_an_earlier_memnas_is_read_and_goes_on(folder: SearchFolder, settings: Settings) -> None:
    """It had no objective.accuracy, and counted the images that are classified correctly; its digest is from then."""
    folder.begin(settings, START)
    written = folder.path / "settings.yaml"
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join(line for line in lines if line != "  accuracy: plain\n"))
    assert len(written.read_text().splitlines()) == len(lines) - 1
    assert '"settings": "20a727f0ef9792e6"' in (folder.path / "start.json").read_text()
    assert folder.settings() == settings
    folder.check(settings, resume=True)
    other = replace(settings, objective=replace(settings.objective, accuracy="balanced"))
    with pytest.raises(ResumeError, match=r"objective\.accuracy: balanced here, plain there"):
        folder.check(other, resume=True)


def test_other_files_are_left_alone(folder: SearchFolder, settings: Settings) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.tex").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(ResumeError, match=r"found other files; choose another --name"):
            folder.check(settings, resume)
    assert state(folder) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(("is_finished", "words"), [(False, "an unfinished search"), (True, "a finished search")])
def test_a_search_is_not_overwritten(is_finished: bool, words: str, search: SmallSearch) -> None:
    if is_finished:
        search.folder.write_metrics({})
    before = state(search.folder)
    with pytest.raises(ResumeError, match=f"found {words}; add --resume to go on with it, or choose another --name"):
        search.folder.check(search.settings, resume=False)
    search.folder.check(search.settings, resume=True)
    assert search.folder.is_finished == is_finished
    assert state(search.folder) == before


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("search", "seed", 7, "search.seed: 7 here, 0 there"),
        ("objective", "accuracy_weight", 1.0, "objective.accuracy_weight: 1.0 here, 0.5 there"),
        ("final", "epochs", None, "final.epochs: None here, 60 there"),
        ("data", "dataset", "cifar10", "data.dataset: cifar10 here, digits there"),
    ],
)
def test_other_settings_are_named(section: str, key: str, value: object, words: str, search: SmallSearch) -> None:
    changed = replace(getattr(search.settings, section), **{key: value})
    for resume in (False, True):
        with pytest.raises(ResumeError) as caught:
            search.folder.check(replace(search.settings, **{section: changed}), resume)
        assert words in str(caught.value)
        assert "go on with the same ones, or choose another --name" in str(caught.value)
    assert caught.value.exit_code == 2


def test_where_things_run_may_change(search: SmallSearch) -> None:
    settings = search.settings
    elsewhere = replace(
        settings,
        store="/elsewhere",
        execution=replace(settings.execution, workers=9),
        tracking=replace(settings.tracking, experiment="other"),
    )
    search.folder.check(elsewhere, resume=True)
    search.folder.begin(elsewhere, START)
    assert search.folder.settings() == settings


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: "store: [", r"settings\.yaml, line 1: expected YAML"),
        (lambda text: text[: len(text) // 2], r"settings\.yaml"),
        (lambda text: text.replace("seed: 0", "seed: 1"), "expected the settings that the search began with"),
    ],
    ids=["other text", "truncated", "another seed"],
)
def test_damaged_settings_are_written_again(damage: Callable[[str], str], words: str, search: SmallSearch) -> None:
    path = search.folder.path / "settings.yaml"
    whole = path.read_text()
    path.write_text(damage(whole))
    assert path.read_text() != whole
    others = replace(search.settings, final=replace(search.settings.final, epochs=61))
    with pytest.raises(ResumeError, match=f"{words}.*; restore the file, or choose another --name"):
        search.folder.check(others, resume=True)
    search.folder.check(search.settings, resume=True)
    search.folder.begin(search.settings, START)
    assert path.read_text() == whole


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"dataset": 1}', "\udcff"])
def test_a_damaged_start_is_written_again(content: str, search: SmallSearch) -> None:
    path = search.folder.path / "start.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    search.folder.check(search.settings, resume=True)
    now = replace(START, started=START.started + 1000)
    search.folder.begin(search.settings, now)
    found = search.folder.start()
    assert replace(found, started=START.started) == START
    assert found.started == (search.folder.path / "settings.yaml").stat().st_mtime  # about when it began
    other = replace(START, dataset=replace(INFO, digest="e" * 64))
    with pytest.raises(ResumeError, match="expected the data that the search began with"):
        search.folder.begin(search.settings, other)


def test_damaged_settings_and_start(search: SmallSearch) -> None:
    (search.folder.path / "settings.yaml").write_text("store: [")
    (search.folder.path / "start.json").write_text("{")
    with pytest.raises(ResumeError, match=r"settings\.yaml, line 1: expected YAML.*; restore the file"):
        search.folder.check(search.settings, resume=True)


def test_going_on_keeps_what_was_begun(search: SmallSearch) -> None:
    later = replace(START, machine="another machine", started=START.started + 1000)
    search.folder.begin(search.settings, later)
    assert search.folder.start() == START


def test_other_data_are_refused(search: SmallSearch) -> None:
    other = replace(START, dataset=replace(INFO, digest="e" * 64))
    with pytest.raises(ResumeError) as caught:
        search.folder.begin(search.settings, other)
    assert f"({'d' * 12}), found others ({'e' * 12}); restore them" in str(caught.value)
    assert search.folder.start() == START


def test_leftovers_are_removed(search: SmallSearch) -> None:
    folder = search.folder
    search.write_round([0.5])
    before = state(folder)
    (folder.path / ".report.html.x7").write_text("half")
    (folder.path / ".chosen.x8").mkdir()
    (folder.trainings / ".key.abc").mkdir()
    (folder.trainings / ".key.abc" / "weights.safetensors").write_text("half")
    (folder.trainings / ".key.progress").write_text("{}")
    (folder.path / "rounds" / ".round-01.xyz").mkdir()
    folder.begin(search.settings, START)
    assert state(folder) == before
    assert not list(folder.path.rglob(".*"))


def test_a_beginning_may_end_at_any_moment(folder: SearchFolder, settings: Settings) -> None:
    """Whatever is left, a search of that name can begin, without --resume too if none has begun."""
    for survived in deaths(lambda: folder.begin(settings, START)):
        folder.check(settings, resume=folder.exists)
        assert folder.exists or not survived
        if folder.exists:
            assert folder.settings() == settings
            assert folder.start() == START
    folder.begin(settings, START)


def test_a_beginning_on_a_full_disk(settings: Settings, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        folder = SearchFolder(disk / "searches" / "digits")
        folder.trainings.mkdir(parents=True)
        filler = fill(disk)
        with pytest.raises(StorageError, match="the disk is full; free some space and go on with --resume"):
            folder.begin(settings, START)
        filler.unlink()
        folder.check(settings, resume=True)
        folder.begin(settings, START)
        assert folder.start() == START


def test_a_store_that_cannot_be_written(settings: Settings, tmp_path: Path) -> None:
    def fails(store: Path, words: str) -> None:
        folder = SearchFolder(store / "searches" / "digits")
        folder.check(settings, resume=False)
        with pytest.raises(StorageError, match=words):
            folder.begin(settings, START)
        with pytest.raises(StorageError, match=words), folder.locked():
            pass

    with read_only(tmp_path / "locked") as store:
        fails(store, "no permission to write; change it or set another store")
    (tmp_path / "file").write_text("")
    fails(tmp_path / "file", "cannot be written: .*set another store")


def test_searches_that_begin_in_the_same_second_have_different_ids() -> None:
    other = replace(START, started=START.started + 0.001)
    elsewhere = replace(START, machine="Difference engine, 1 core, Linux")
    assert len({START.id, other.id, elsewhere.id}) == 3
    assert replace(START).id == START.id
    assert re.fullmatch("[0-9a-f]{8}", START.id)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"dataset": 1}', "\udcff"])
def test_a_damaged_start(content: str, search: SmallSearch) -> None:
    (search.folder.path / "start.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RecordError):
        search.folder.start()


# -- one process at a time ------------------------------------------------------------------------------------


@contextmanager
def another_process(work: Callable[[], object]) -> Iterator[int]:
    """Run `work` in a process that writes one byte when it is done and then waits to be killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            kept = work()
            os.write(writer, b"." if kept else b"!")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.close(writer)
        assert os.read(reader, 1) == b"."
        yield child
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_lock_holds_between_processes(folder: SearchFolder) -> None:
    def hold() -> object:
        lock = folder.locked()
        lock.__enter__()
        return lock

    with another_process(hold):
        with pytest.raises(ResumeError, match="digits: another memnas process is running this search; wait"):
            folder.locked().__enter__()
        with SearchFolder(folder.path.parent / "other").locked():
            pass  # another search is free
    with folder.locked(), pytest.raises(ResumeError):  # a killed process holds nothing, and we keep others out
        folder.locked().__enter__()
    with folder.locked():
        assert not folder.exists  # a lock is no search
