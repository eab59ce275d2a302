"""One trial of each fault that is not tried elsewhere, at moments that are the same each time, and the report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import __main__ as faults
from benchmarks.faults.injections import Fault
from benchmarks.faults.report import page_lines
from benchmarks.faults.services import Services
from benchmarks.faults.trials import Laboratory, Reference, Row

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("faults")
    with Services(folder / "services") as services:
        yield Laboratory(ROOT / "benchmarks" / "faults.yaml", folder, services)


@pytest.fixture(scope="module")
def reference(laboratory: Laboratory) -> Reference:
    return laboratory.reference()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.PARENT_WITH_SERVER, "round 0:"),
        (Fault.TRACKING_SERVER, "1/4"),
        (Fault.FULL_DISK, "2/4"),
        (Fault.DATA_FILE, "round 0:"),
        (Fault.RECORD, "round 1:"),
        (Fault.ROUND, "round 1:"),
    ],
)
def test_nothing_is_lost(fault: Fault, words: str, laboratory: Laboratory, reference: Reference) -> None:
    row = laboratory.trial(list(Fault).index(fault), fault, words, seed=0, reference=reference)
    assert row.tables_equal, row
    assert (row.trained_again, row.processes_left, row.resumes) == (0, 0, 1), row
    assert row.finished_before >= 2
    assert "Traceback" not in row.last_line


ROW = Row(
    trial=4,
    fault=Fault.FULL_DISK,
    hit="60 MB were free",
    moment_seconds=12.34,
    finished_before=5,
    destroyed=0,
    exit_code=1,
    last_line="memnas: the disk is full",
    resumes=1,
    trained_again=0,
    processes_left=0,
    tables_equal=True,
    differing="",
    reference_seconds=20.0,
    seconds=40.0,
    code="c0de",
)


def test_the_report_says_first_what_was_found() -> None:
    good = "\n".join(page_lines([ROW, replace(ROW, trial=5, exit_code=0)], ["- n: 2"]))
    assert good.startswith("- **Nothing was lost: 2 trials, 0 with another result than an undisturbed search, 0 of 10 ")
    assert "- 1 searches came through" in good
    assert "| disk full | 2 | 12.3 to 12.3 | 10 | 0 | 0 | 0 |" in good
    bad = "\n".join(page_lines([ROW, replace(ROW, tables_equal=False, differing="front.csv", trained_again=3)], []))
    assert bad.startswith("- **Not everything survived: 2 trials, 1 with another result")
    assert "Trial 4 (disk full, 60 MB were free) differs in front.csv." in bad


def test_moments_of_a_fault_lie_in_all_parts_of_a_search() -> None:
    for place in range(len(Fault)):
        moments = [faults.moment_of(number, 6, seed=0) for number in range(place, 6 * len(Fault), len(Fault))]
        span = faults.MOST_SHARE - faults.LEAST_SHARE
        parts = [int((moment - faults.LEAST_SHARE) / span * 6) for moment in moments]
        assert parts == [0, 1, 2, 3, 4, 5]
    assert faults.moment_of(1, 6, seed=0) != faults.moment_of(1, 6, seed=1)


def test_trials_that_are_done_are_not_repeated(tmp_path: Path) -> None:
    done = {ROW.trial}
    assert list(faults.measure(tmp_path / "no.yaml", tmp_path, [ROW.trial], done, 6, seed=0)) == []
