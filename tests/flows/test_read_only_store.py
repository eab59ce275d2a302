"""A store that nobody may write to any more while a search runs: a line, and it goes on once that is put right."""

import os
import shutil
from pathlib import Path

import pytest

from memnas_core.errors import StorageError
from memnas_core.files.writing import errors_inside
from tests.flows.conftest import Place, Running
from tests.flows.test_search_end_to_end import outcome

pytestmark = pytest.mark.timeout(1200)


def allow(store: Path, mode: int) -> None:
    for folder in [store, *(path for path in store.rglob("*") if path.is_dir())]:
        folder.chmod(mode)


def test_a_line_and_a_resume(finished_search: Running, place: Place, prefect_server: dict[str, str]) -> None:
    under: list[str] = []
    if os.geteuid() == 0:  # whom no permission keeps from anything, unless that is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv")
        under = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    running = place.start(environment=prefect_server, under=under)
    running.wait_for_line("round 0:")
    allow(place.result / "trainings", 0o555)
    assert running.process.wait() == 1
    assert "Traceback" not in running.text()
    last = running.text().splitlines()[-1]
    assert last.startswith(f"memnas: {place.result}/trainings/")
    assert last.endswith("no permission to write; change it or set another store")
    assert running.left_over() == []
    allow(place.result / "trainings", 0o755)
    resumed = place.start("--resume", environment=prefect_server)
    resumed.finish()
    assert outcome(place) == outcome(finished_search.place)


def test_only_errors_about_the_folder_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=r"^store/gone: cannot be written"), errors_inside(Path("store")):
        Path("store/gone").unlink()
    with pytest.raises(StorageError, match=r"store/gone: cannot be written: .*No such file"), errors_inside(tmp_path):
        (tmp_path / "store" / "gone").unlink()
    for path in (Path("/nowhere/gone"), tmp_path.with_name(f"{tmp_path.name}2") / "gone"):
        with pytest.raises(FileNotFoundError), errors_inside(tmp_path):
            path.unlink()
    with pytest.raises(ConnectionResetError), errors_inside(tmp_path):
        raise ConnectionResetError
