"""A search's folder: how a search starts, goes on and is kept out; what is in it; what it survives."""

import csv
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from memnas_core.config import Settings
from memnas_core.errors import RecordError, ResumeError, StorageError
from memnas_core.records import Status
from memnas_core.result_checks import remove_damaged_rounds
from memnas_core.result_folder import Chosen, SearchFolder
from memnas_core.settings_file import load_settings
from memnas_core.training_records import WEIGHTS_FILE, finished
from tests.core.faults import deaths, fill, read_only, small_disk
from tests.core.small_search import INFO, START, SmallSearch, small_settings

CHOSEN = Chosen("c0ffee", 1, 0.75, 0.625, None, 1_700_000_500.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_settings(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return SearchFolder(tmp_path / "searches" / "digits")


@pytest.fixture
def search(settings: Settings, folder: SearchFolder) -> SmallSearch:
    """Return a search that has begun."""
    folder.begin(settings, START)
    return SmallSearch(settings, folder)


def tree(path: Path) -> set[str]:
    return {str(entry.relative_to(path)) for entry in path.rglob("*") if entry.is_file()}


def state(folder: SearchFolder) -> dict[str, bytes]:
    return {name: (folder.path / name).read_bytes() for name in tree(folder.path)}


def test_layout(search: SmallSearch) -> None:
    folder = search.folder
    search.write_round([0.5])
    search.write_round([0.625, None, 0.75])
    seed, best = search.rows[0], next(row for row in search.rows if row.round == 1 and row.is_winner)
    folder.write_front([seed, best])
    folder.write_chosen(CHOSEN, search.job(best.arch_id, 1).path, {"architecture.json": "{}", "picture.svg": "<svg/>"})
    folder.write_metrics({"test_accuracy": 0.625})
    trained = [row for row in search.rows if row.status is Status.TRAINED]
    trainings = {f"trainings/{path.name}/training.json" for path in folder.trainings.iterdir()}
    weights = {f"trainings/{search.job(row.arch_id, row.round).key}/weights.safetensors" for row in trained}
    assert len(trainings) == 4
    folders = [f"trainings/{path.name}" for path in folder.trainings.iterdir()]
    assert tree(folder.path) == {
        "settings.yaml",
        "start.json",
        *trainings,
        *weights,
        "rounds/round-00/candidates.parquet",
        "rounds/round-00/round.json",
        "rounds/round-01/candidates.parquet",
        "rounds/round-01/round.json",
        *(f"rounds/round-{row.round:02d}/weights/{row.arch_id}.safetensors" for row in trained),
        "rounds.csv",
        "candidates.csv",
        "front.csv",
        "metrics.json",
        "chosen/chosen.json",
        "chosen/architecture.json",
        "chosen/picture.svg",
        "chosen/training.json",
        "chosen/weights.safetensors",
        *(f"{place}/SHA256SUMS" for place in (*folders, "rounds/round-00", "rounds/round-01", "chosen")),
        "SHA256SUMS",
    }
    for row in trained:
        copied, original = folder.weights(row.round, row.arch_id), search.job(row.arch_id, row.round).path
        assert copied.read_bytes() == (original / WEIGHTS_FILE).read_bytes()
        assert load_file(copied)


# -- starting and going on ------------------------------------------------------------------------------------


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


# -- rounds ---------------------------------------------------------------------------------------------------


def test_rounds_round_trip(search: SmallSearch) -> None:
    assert list(search.folder.rounds()) == []
    for accuracies in ([0.5], [0.625, None, 0.75], [None, None]):
        search.write_round(accuracies)
    found = list(SearchFolder(search.folder.path).rounds())
    assert [summary for summary, _ in found] == search.rounds
    assert [row for _, rows in found for row in rows] == search.rows
    assert [summary.round for summary, _ in found] == [0, 1, 2]
    assert {path.name for path in search.folder.path.glob("rounds/*")} == {"round-00", "round-01", "round-02"}


def test_a_hundred_rounds_stay_in_order(folder: SearchFolder) -> None:
    assert folder.round_folder(7).name == "round-07"
    assert folder.round_folder(100).name == "round-100"


def test_a_round_without_its_weights_is_not_written(search: SmallSearch) -> None:
    summary, rows = search.round([0.5])
    with pytest.raises(RecordError, match=r"nowhere/SHA256SUMS: expected checksums, found .*; go on with --resume"):
        search.folder.write_round(summary, rows, {rows[0].arch_id: Path("nowhere")})
    assert list(search.folder.rounds()) == []
    assert not list(search.folder.path.glob("rounds/*"))


def test_a_round_is_whole_or_absent_whenever_its_writer_dies(search: SmallSearch) -> None:
    search.write_round([0.5])
    summary, rows = search.round([0.75, 0.625])
    trainings = search.trainings(rows)
    before = state(search.folder)
    absent = 0
    for survived in deaths(lambda: search.folder.write_round(summary, rows, trainings)):
        found = list(search.folder.rounds())
        if len(found) == 1:
            absent += 1
            assert not survived
            search.folder.begin(search.settings, START)  # as --resume does
            assert state(search.folder) == before
        else:
            assert found[1] == (summary, rows)
            assert all(search.folder.weights(1, arch_id).read_bytes() for arch_id in trainings)
    assert absent > 5


def test_a_full_disk_keeps_the_rounds_before(settings: Settings, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2000) as disk:
        search = SmallSearch(settings, SearchFolder(disk / "digits"))
        search.folder.begin(settings, START)
        search.write_round([0.5])
        summary, rows = search.round([0.75])
        before = state(search.folder)
        filler = fill(disk)
        with pytest.raises(StorageError, match="round-01: the disk is full; free some space and go on with --resume"):
            search.folder.write_round(summary, rows, search.trainings(rows))
        assert state(search.folder) == before
        filler.unlink()
        search.folder.write_round(summary, rows, search.trainings(rows))
        assert len(list(search.folder.rounds())) == 2


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("candidates.parquet", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("candidates.parquet", Path.unlink),
        ("round.json", lambda path: path.write_text(path.read_text()[:50])),
        ("round.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("round.json", Path.unlink),
    ],
)
def test_a_damaged_round_says_what_to_do(name: str, damage: Callable[[Path], object], search: SmallSearch) -> None:
    search.write_round([0.5])
    search.write_round([0.75])
    damage(search.folder.round_folder(1) / name)
    rounds = search.folder.rounds()
    assert next(rounds)[0] == search.rounds[0]
    with pytest.raises(RecordError) as caught:
        next(rounds)
    message = str(caught.value)
    assert str(search.folder.round_folder(1) / name) in message
    assert "go on with --resume, which makes the round again from its trainings" in message
    assert "\n" not in message
    # that helps: the round before is whole and the trainings are kept
    assert remove_damaged_rounds(search.folder)
    assert len(list(search.folder.rounds())) == 1
    assert all(finished(search.job(row.arch_id, row.round)) for row in search.rows if row.images_seen)


# -- tables and the chosen network ----------------------------------------------------------------------------


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables(search: SmallSearch) -> None:
    search.write_round([0.5])
    search.write_round([0.625, None])
    rounds = read_csv(search.folder.path / "rounds.csv")
    assert [row["round"] for row in rounds] == ["0", "1"]
    for row, summary in zip(rounds, search.rounds, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in asdict(summary).items()}
    candidates = read_csv(search.folder.path / "candidates.csv")
    begun = [row for row in search.rows if row.status is not Status.GENERATED]
    assert len(search.rows) > len(begun) == 3
    for row, expected in zip(candidates, begun, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in asdict(expected).items()}
        assert json.loads(row["architecture"])
    assert [row["status"] for row in candidates] == ["trained", "trained", "diverged"]
    assert candidates[2]["measured_accuracy"] == ""
    search.folder.write_front([])
    assert (search.folder.path / "front.csv").read_text() == ""


def test_chosen_round_trip(search: SmallSearch) -> None:
    search.write_round([0.5])
    training = search.job(search.rows[0].arch_id, 0).path
    for chosen in (CHOSEN, replace(CHOSEN, retrained_epochs=60, arch_id="later")):  # the second replaces the first
        search.folder.write_chosen(chosen, training, {"architecture.json": "{}"})
        assert search.folder.read_chosen() == chosen
    assert (search.folder.chosen / WEIGHTS_FILE).read_bytes() == (training / WEIGHTS_FILE).read_bytes()
    assert not search.folder.is_finished


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"arch_id": "c0ffee", "surprise": 1}'])
def test_a_damaged_choice(content: str | None, search: SmallSearch) -> None:
    if content is not None:
        search.folder.chosen.mkdir()
        (search.folder.chosen / "chosen.json").write_text(content)
    with pytest.raises(RecordError, match=r"chosen\.json: expected "):
        search.folder.read_chosen()


def test_metrics_mark_the_end(search: SmallSearch) -> None:
    for survived in deaths(lambda: search.folder.write_metrics({"rounds": 2, "test_accuracy": 0.5})):
        assert search.folder.is_finished or not survived
        if search.folder.is_finished:
            assert json.loads((search.folder.path / "metrics.json").read_text()) == {"rounds": 2, "test_accuracy": 0.5}
