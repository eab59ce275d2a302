"""From a search's folder to its report: finished searches, running ones and damaged ones."""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from shutil import rmtree
from xml.etree import ElementTree

import pytest
import torch

from memnas_core.environment import PACKAGES, machine, versions
from memnas_core.errors import RecordError, ResumeError, StorageError
from memnas_core.memory.figures import measure
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.trainings import Status
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.results.network_files import lifetime_table, network_files
from memnas_core.results.report import write_report
from memnas_core.search.choice import best_row
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from memnas_core.training.network import build_network
from memnas_core.training.record import RECORD_FILE
from tests.core.faults import fill, small_disk
from tests.core.random_architectures import random_walks
from tests.core.small_search import SHAPE, START, WORKLOAD, SmallSearch, small_settings


@pytest.fixture
def search(tmp_path: Path) -> SmallSearch:
    """Return a search with a seed and one round on disk."""
    return two_rounds(tmp_path)


def two_rounds(store: Path) -> SmallSearch:
    settings = small_settings(store)
    search = SmallSearch(settings, SearchFolder(store / "searches" / "my digits"))
    search.folder.begin(settings, START)
    search.write_round([0.5])
    search.write_round([0.625, None, 0.75])
    return search


def finish(
    search: SmallSearch,
    row: CandidateRow,
    retrained_epochs: int | None = None,
    test_counts: ClassCounts | None = None,
) -> None:
    assert row.measured_accuracy is not None
    training = search.job(row.arch_id, row.round).path
    finished = START.started + 272
    chosen = Chosen(
        row.arch_id, row.round, row.measured_accuracy, 0.4375, retrained_epochs, finished, test_counts=test_counts
    )
    files = network_files(from_json(row.architecture), WORKLOAD, search.settings.objective)
    search.folder.write_chosen(chosen, training, files)


def text_of(folder: SearchFolder) -> str:
    """Return the report's words without markup, with single spaces."""
    page = folder.report.read_text(encoding="utf-8")
    page = re.sub(r"<(style|script).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_a_finished_search(search: SmallSearch) -> None:
    row = next(row for row in search.rows if row.round == 1 and row.is_winner)
    finish(search, row, retrained_epochs=60)
    assert write_report(search.folder) == search.folder.report
    text = text_of(search.folder)
    assert "my digits" in text
    assert "43.75 % test accuracy" in text
    assert f"The chosen network is {row.arch_id} , found in round 1, retrained" in text
    assert "60 epochs" in text
    assert "4 min 32 s" in text
    assert START.machine in text
    assert "torch 2.14.1" in text
    assert "Rank τ" in text
    for trained in search.rows:
        assert (trained.arch_id in text) == (trained.status is not Status.GENERATED)


def test_results_by_class(search: SmallSearch) -> None:
    """A digit that the network never finds is told, and what always guessing the largest class would reach."""
    row = next(row for row in search.rows if row.round == 1 and row.is_winner)
    counts = ClassCounts(images=(2, 10) + (1,) * 8, right=(0, 10) + (1,) * 8)
    finish(search, row, test_counts=counts)
    write_report(search.folder)
    text = text_of(search.folder)
    assert "Warning: the network finds none of the 2 test images of class 0 (recall 0)." in text
    assert "On the test images, always guessing the largest class has 50.00 %; the network has 90.00 %" in text
    assert "and a balanced accuracy of 90.00 %" in text
    assert "0 – – 2 0.00 % 1 – – 10 100.00 %" in text, "records of the trainings are from an earlier memnas"
    finish(search, row)
    write_report(search.folder)
    assert "Validation images" not in text_of(search.folder)


def test_a_report_says_which_accuracy_it_shows(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    settings = replace(settings, objective=replace(settings.objective, accuracy="balanced"))
    search = SmallSearch(settings, SearchFolder(tmp_path / "digits"))
    search.folder.begin(settings, START)
    search.write_round([0.5])
    write_report(search.folder)
    text = text_of(search.folder)
    assert "50.00 % validation balanced accuracy" in text
    assert "Accuracy the balanced one, in all tables and pictures" in text


def test_an_unfinished_search_shows_what_would_be_chosen_now(search: SmallSearch) -> None:
    write_report(search.folder)
    text = text_of(search.folder)
    assert "the search is not finished" in text
    assert "not measured yet" in text
    assert f"The best network so far is {best_row(search.rows, search.settings.objective).arch_id}" in text
    search.write_round([0.5])
    write_report(search.folder)
    assert search.rows[-1].round == 2
    assert search.rounds[2].winner_id in text_of(search.folder)


def test_a_search_that_is_writing_at_this_moment(search: SmallSearch) -> None:
    for number in range(30):  # trainings that are being put in their places
        (search.folder.trainings / f".{number}.abc").mkdir()
    (search.folder.trainings / ".4567.progress").write_text("{}")
    (search.folder.path / "rounds" / ".round-02.xyz").mkdir()
    write_report(search.folder)
    assert search.folder.report.is_file()


def test_a_network_that_an_earlier_round_ranked_without_training_it(tmp_path: Path) -> None:
    """Rounds share networks: the second round trains one that the first has left aside."""
    settings = small_settings(tmp_path)
    search = SmallSearch(settings, SearchFolder(tmp_path / "digits"))
    search.folder.begin(settings, START)
    search.write_round([0.5])
    search.write_round([None])  # the base stays, so that the next round has the same candidates
    search.write_round([0.75])
    (row,) = [row for row in search.rows if row.round == 2 and row.is_winner]
    assert [r.status for r in search.rows if r.round == 1 and r.arch_id == row.arch_id] == [Status.GENERATED]
    finish(search, row)
    write_report(search.folder)
    assert f"{row.arch_id} , found in round 2, with the weights of the search" in text_of(search.folder)


def test_pictures_are_those_of_the_chosen_network(search: SmallSearch) -> None:
    objective = search.settings.objective
    architecture = from_json(search.rows[0].architecture)
    files = network_files(architecture, WORKLOAD, objective)
    assert set(files) == {"architecture.json", "architecture.svg", "lifetimes.svg"}
    assert from_json(files["architecture.json"]) == architecture
    for name in ("architecture.svg", "lifetimes.svg"):
        assert ElementTree.fromstring(files[name]).tag == "{http://www.w3.org/2000/svg}svg"
    assert architecture.arch_id in files["lifetimes.svg"]
    figures = measure(architecture, Workload(SHAPE, 10, 4, 4))
    for convention in ("paper", "sequential", "minimum"):
        told = replace(objective, activation_convention=convention)
        table = lifetime_table(architecture, WORKLOAD, told)
        assert table.peak == figures.activation_bytes(convention)
        assert f"convention {convention}" in network_files(architecture, WORKLOAD, told)["lifetimes.svg"]
    half = lifetime_table(architecture, WORKLOAD._replace(activation_bytes=2), objective)
    assert half.peak == figures.minimum_bytes // 2


def test_lifetimes_are_in_the_order_in_which_the_torch_network_runs(search: SmallSearch) -> None:
    side = Shape(3, 16, 16)
    objective = replace(search.settings.objective, activation_convention="arena")
    reordered = 0
    for architecture in random_walks(seed=4, count=20):
        plain = lower(architecture, side, 10)
        shown = lifetime_table(architecture, Workload(side, 10, 4, 4), objective)
        with torch.device("meta"):
            network = build_network(plain, seed=0)
        assert [name for step in shown.steps for name in step] == [layer.name for layer in network.graph.layers]
        assert shown.peak == network.least.bytes
        reordered += network.graph != plain
    assert reordered  # else the plain order would do


def test_no_search(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="expected the folder of a search"):
        write_report(SearchFolder(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_no_round_yet(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path / "digits")
    folder.begin(small_settings(tmp_path), START)
    with pytest.raises(RecordError, match="expected at least one finished round, found none; go on with --resume"):
        write_report(folder)
    assert not folder.report.exists()


def lose_trainings(search: SmallSearch) -> None:
    rmtree(search.folder.trainings)
    search.folder.trainings.mkdir()


def lose_round(search: SmallSearch) -> None:
    finish(search, next(row for row in search.rows if row.round == 1 and row.is_winner))
    rmtree(search.folder.round_folder(1))


def damage_chosen(search: SmallSearch) -> None:
    finish(search, search.rows[0])
    (search.folder.chosen / "chosen.json").write_text("{")


def damage_chosen_training(search: SmallSearch) -> None:
    finish(search, search.rows[0])
    (search.folder.chosen / RECORD_FILE).unlink()


@pytest.mark.parametrize("damage", [lose_trainings, lose_round, damage_chosen, damage_chosen_training])
def test_a_damaged_record_leaves_the_old_report(damage: Callable[[SmallSearch], None], search: SmallSearch) -> None:
    write_report(search.folder)
    before = search.folder.report.read_bytes()
    damage(search)
    with pytest.raises(RecordError) as caught:
        write_report(search.folder)
    assert str(search.folder.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert search.folder.report.read_bytes() == before


def test_a_full_disk_leaves_the_old_report(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2000) as disk:
        search = two_rounds(disk)
        search.folder.report.write_text("old")
        fill(disk)
        with pytest.raises(StorageError, match=r"report\.html: the disk is full"):
            write_report(search.folder)
        assert search.folder.report.read_text() == "old"


def test_environment() -> None:
    found = dict(versions())
    assert list(found) == ["python", *PACKAGES]
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert found["memnas"] == "0.1.0"
    assert all(re.match(r"\d+\.\d+", version) for version in found.values())
    cores = len(os.sched_getaffinity(0))
    assert re.fullmatch(rf".+, {cores} cores?, Linux \S+", machine())
