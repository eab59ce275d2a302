"""What a search says on resume of trainings that other code made."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from memnas_core.results.code_versions import FILE, note_version
from memnas_core.results.folder import SearchFolder
from memnas_core.training.job import training_version
from memnas_core.training.record import read_record, write_record
from tasks.display import Display
from tasks.other_code import say_what_is_redone
from tasks.session import Session
from tests.core.small_search import INFO, START, SmallSearch, small_settings

BEGUN = START.started  # made-up trainings begin ten seconds later


@pytest.fixture
def search(tmp_path: Path) -> SmallSearch:
    """Return a search that was stopped in round 1: of its eight trainings five had ended, one of them in failure."""
    settings, folder = small_settings(tmp_path), SearchFolder(tmp_path / "searches" / "digits")
    folder.begin(settings, START)
    search = SmallSearch(settings, folder)
    search.write_round([0.5])
    search.round([0.75, 0.7, 0.65, 0.6, None])
    return search


def said(search: SmallSearch) -> list[str]:
    """Return what a process says that goes on with the search after round 0."""
    nothing, out = None, io.StringIO()
    display = Display(Console(file=out, soft_wrap=True, highlight=False))
    session = Session(
        search.settings, search.folder, Path("nowhere"), INFO, nothing, nothing, nothing, display, nothing
    )  # type: ignore[arg-type]
    for summary, rows in search.folder.rounds():
        session.state.accept(rows)
        session.state.close_round(summary)
    say_what_is_redone(session)
    return out.getvalue().splitlines()


def test_the_same_code_says_nothing(search: SmallSearch) -> None:
    note_version(search.folder.path, training_version(), BEGUN)
    note_version(search.folder.path, training_version(), BEGUN + 1000)
    assert said(search) == []
    text = (search.folder.path / FILE).read_text()
    assert text == f"since,version\n2023-11-14T22:13:20+00:00,{training_version()}\n"


def test_trainings_of_an_unfinished_round(search: SmallSearch) -> None:
    note_version(search.folder.path, "0ther", BEGUN)
    assert said(search) == [
        f"5 finished trainings were made by other code (version 0ther; this is {training_version()}) and will be "
        "trained again. Finished rounds stay as they are."
    ]


def test_versions_hold_from_their_time_on(search: SmallSearch) -> None:
    """Four trainings of round 1 began before the code changed, and one after it had changed back."""
    note_version(search.folder.path, "first", BEGUN)
    note_version(search.folder.path, "second", BEGUN + 5)
    note_version(search.folder.path, training_version(), BEGUN + 60)
    of_round_1 = [path for path in search.folder.trainings.iterdir() if path.name != _key_of_round_0(search)]
    record = read_record(of_round_1[0])
    job = replace(search.job(record.arch_id, 1))
    weights = (of_round_1[0] / "weights.safetensors").read_bytes() if record.validation_accuracy else None
    write_record(job, replace(record, started=BEGUN + 70), weights)
    assert said(search)[0].startswith("4 finished trainings were made by other code (version second; this is ")


def _key_of_round_0(search: SmallSearch) -> str:
    key = next(row.training_key for row in search.rows if row.round == 0)
    assert key is not None
    return key


def test_a_search_of_an_earlier_memnas(search: SmallSearch) -> None:
    assert said(search) == [
        f"5 finished trainings do not say which code made them (this is version {training_version()}); those of other "
        "code will be trained again."
    ]
    (search.folder.path / FILE).write_text("since,version\nyesterday,1\n")
    assert len(said(search)) == 1


def test_the_last_retraining(search: SmallSearch) -> None:
    """Of the 60 epochs of `final.epochs`; a damaged training is nobody's."""
    note_version(search.folder.path, "0ther", BEGUN)
    winner = search.rows[0]
    record = read_record(search.folder.trainings / _key_of_round_0(search))
    line = record.history[0]
    job = replace(search.job(winner.arch_id, 0), seed=7)
    write_record(job, replace(record, history=(line,) * 60), b"")
    assert said(search)[0].startswith("6 finished trainings ")
    (job.path / "training.json").write_text("{")
    assert said(search)[0].startswith("5 finished trainings ")
