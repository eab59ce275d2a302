"""Damage to what a search has left is noticed, and a damaged round is dropped with all that followed from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memnas_core.errors import RecordError
from memnas_core.records.trainings import Status
from memnas_core.results.checks import check_rounds, damage, remove_damaged_rounds
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.training.record import WEIGHTS_FILE, finished
from tests.core.faults import deaths, flip, truncate
from tests.core.small_search import START, SmallSearch, small_settings


@pytest.fixture
def search(tmp_path: Path) -> SmallSearch:
    """Three rounds of made-up accuracies with real files, and a chosen network."""
    settings = small_settings(tmp_path)
    made = SmallSearch(settings, SearchFolder(tmp_path / "searches" / "digits"))
    made.folder.begin(settings, START)
    for accuracies in ([0.5], [0.625, None, 0.75], [0.8125]):
        made.write_round(accuracies)
    made.folder.write_front(made.rows[:1])
    row = made.rows[0]
    chosen = Chosen(row.arch_id, 0, 0.5, 0.5, None, START.started + 500)
    made.folder.write_chosen(chosen, made.job(row.arch_id, 0).path, {"architecture.json": "{}"})
    made.folder.write_metrics({"test_accuracy": 0.5})
    return made


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "truncated": truncate,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_damage_to_any_file_is_noticed(harm: Callable[[Path], object], search: SmallSearch) -> None:
    folder = search.folder
    assert damage(folder) is None
    read = [path for path in folder.path.rglob("*") if path.is_file()]
    read.remove(folder.path / "SHA256SUMS")
    failed = {search.job(row.arch_id, row.round).path for row in search.rows if row.status is Status.DIVERGED}
    unread = [path for path in read if path.parent in failed]  # nothing is needed from a training that failed
    assert len(failed) == 1
    for path in read:
        whole = path.read_bytes()
        harm(path)
        found = damage(folder)
        assert (found is None) == (path in unread), path
        path.write_bytes(whole)
    assert damage(folder) is None


@pytest.mark.parametrize("name", ["candidates.parquet", "round.json", "weights", "SHA256SUMS", "a training"])
def test_a_damaged_round_goes_with_those_after_it(name: str, search: SmallSearch) -> None:
    folder = search.folder
    assert remove_damaged_rounds(folder) is None
    winner = next(row for row in search.rows if row.round == 1 and row.is_winner)
    path = {
        "weights": folder.weights(1, winner.arch_id),
        "a training": search.job(winner.arch_id, 1).path / WEIGHTS_FILE,
    }.get(name, folder.round_folder(1) / name)
    flip(path)
    with pytest.raises(RecordError, match="go on with --resume, which makes the round again"):
        check_rounds(folder)
    removed = remove_damaged_rounds(folder)
    assert removed is not None
    number, error = removed
    assert number == 1
    assert str(path.parent) in str(error)
    assert list(folder.round_numbers()) == [0]
    assert remove_damaged_rounds(folder) is None
    # What was trained is still there, but for what was hit.
    trained = [row for row in search.rows if row.status is Status.TRAINED]
    hit = winner.arch_id if name == "a training" else ""
    assert [finished(search.job(row.arch_id, row.round)) is None for row in trained] == [
        row.arch_id == hit and row.round == 1 for row in trained
    ]


def test_removing_rounds_may_end_at_any_moment(search: SmallSearch) -> None:
    folder = search.folder
    flip(folder.round_folder(0) / "candidates.parquet")
    for _ in deaths(lambda: bool(remove_damaged_rounds(folder)) and None):
        kept = list(folder.round_numbers())
        assert kept == list(range(len(kept)))
        assert not kept or kept[0] == 0
    assert list(folder.round_numbers()) == []
