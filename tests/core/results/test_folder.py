"""A search's folder: what is in it, and what it survives."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from memnas_core.errors import RecordError, StorageError
from memnas_core.files.flat import flat
from memnas_core.records.trainings import Status
from memnas_core.results.checks import remove_damaged_rounds
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.settings.schema import Settings
from memnas_core.training.record import WEIGHTS_FILE, finished
from tests.core.faults import deaths, fill, small_disk
from tests.core.results.folder_states import state, tree
from tests.core.small_search import START, SmallSearch

CHOSEN = Chosen("c0ffee", 1, 0.75, 0.625, None, 1_700_000_500.0)


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
        assert row == {name: "" if value is None else str(value) for name, value in flat(expected).items()}
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
