"""Searches in a folder, with a home and behind proxies that would spoil them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.core.processes import wait_until
from tests.flows.canaries import MARK, plant_canaries, songs
from tests.flows.conftest import MEMNAS, Place, Running


def test_the_canaries_sing(tmp_path: Path) -> None:
    plant_canaries(tmp_path)
    subprocess.run([sys.executable, "-c", "import psutil"], cwd=tmp_path, capture_output=True, check=False)
    assert songs(tmp_path).startswith("psutil in ")


def test_no_module_of_the_current_folder_runs(finished_search: Running) -> None:
    """The search's own program, its guard, Prefect's server and the workers ran there."""
    assert (finished_search.place.folder / "psutil.py").exists()
    assert songs(finished_search.place.folder) == ""


def test_no_module_of_the_current_folder_runs_in_mlflows_server(finished_search: Running) -> None:
    folder = finished_search.place.folder
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "ui").open("w") as out:
        ui = subprocess.Popen([MEMNAS, "ui", "--port", str(port)], cwd=folder, stdout=out, stderr=out)
    try:
        wait_until(lambda: "Candidates: " in (folder / "ui").read_text() or ui.poll() is not None)
    finally:
        ui.send_signal(signal.SIGINT)
        assert ui.wait() == 0, (folder / "ui").read_text()
    assert "Ctrl-C ends" in (folder / "ui").read_text()
    assert songs(folder) == ""


def test_the_code_that_memory_is_asked_for_still_comes_from_the_current_folder(tmp_path: Path) -> None:
    plant_canaries(tmp_path)
    (tmp_path / "mine.py").write_text("from torch import nn\n\ndef build():\n    return nn.Linear(3, 2)\n")
    arguments = [MEMNAS, "memory", "mine:build", "--input", "3"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "parameters: 8 " in done.stdout
    assert not (tmp_path / MARK).exists()


def test_a_damaged_database_of_prefect_is_one_line(place: Place) -> None:
    """Prefect itself would start its server again and again for minutes."""
    home = place.folder / "home"
    home.mkdir()
    (home / "prefect.db").write_bytes(bytes(range(256)) * 200)
    done = subprocess.run(
        [MEMNAS, "search", "--params", place.params],
        cwd=place.folder,
        env=os.environ | {"PREFECT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    log = place.store / "prefect-server.log"
    assert line.startswith(f"memnas: Prefect's server (data in {home}): expected an answer at ")
    assert line.endswith(f"ended with 3; its log {log} says why")
    assert "Traceback" not in done.stderr
    assert "file is not a database" in log.read_text()
