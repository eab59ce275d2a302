"""The command line run in this process, and a store whose every file may be spoilt."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.records.candidates import CandidateRow
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.settings.file import dump_settings
from tests.core.small_search import START, SmallSearch, small_settings
from tests.flows.command_line import Memnas, in_this_process

Refused = Callable[..., None]

SEARCH = "letters"


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Return everything in a folder: bytes of files, and the kind of all else."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else f"{path.lstat().st_mode:o}"
        for path in folder.rglob("*")
    }


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return a function that runs the command in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    if not Path("params.yaml").exists():
        Path("params.yaml").write_text(dump_settings(small_settings(Path("store"))))

    return in_this_process(monkeypatch, capfd)


@pytest.fixture
def refused(memnas: Memnas, tmp_path: Path) -> Refused:
    """Return a function that expects one line, no traceback, and every file as it was."""

    def check(*arguments: str, words: str, code: int = 2) -> None:
        before = snapshot(tmp_path)
        found, _, err = memnas(*arguments)
        assert found == code, err
        assert err.startswith("memnas: ")
        assert len(err.splitlines()) == 1
        assert "Traceback" not in err
        assert words in err
        assert snapshot(tmp_path) == before

    return check


@pytest.fixture(scope="session")
def finished_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with one finished search of two rounds on digits, and its prepared images."""
    path = tmp_path_factory.mktemp("finished") / "store"
    settings = small_settings(path)
    data = prepare_dataset(settings.data, settings.search.seed, path, divisible_by=2)
    folder = SearchFolder(path / "searches" / SEARCH)
    folder.begin(settings, replace(START, dataset=open_dataset(data).info))
    search = SmallSearch(settings, folder)
    search.write_round([0.5])
    search.write_round([0.625, 0.75])
    row = winner(search.rows)
    chosen = Chosen(row.arch_id, 1, 0.8125, 0.6875, None, 1_700_000_500.0)
    folder.write_chosen(chosen, search.job(row.arch_id, 1).path, {"architecture.json": row.architecture})
    folder.write_metrics(json.loads("{}"))
    return path


def winner(rows: list[CandidateRow]) -> CandidateRow:
    return next(row for row in rows if row.round == 1 and row.is_winner)


@pytest.fixture
def store(finished_store: Path, tmp_path: Path) -> Path:
    """Return a copy of the store that a test may spoil."""
    return Path(shutil.copytree(finished_store, tmp_path / "store"))
