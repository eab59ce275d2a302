"""A search by the library against the command's, and what it leaves of the caller's process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import memnas
from memnas_core.results.checks import damage
from memnas_core.results.folder import SearchFolder
from tests.library.conftest import ROOT, SMALL, Program, Searched

DECIDED = ("arch_id", "parent_id", "move", "round", "param_bytes", "arena_bytes", "predicted_score", "predicted_rank")
MEASURED = ("measured_accuracy", "measured_score", "measured_rank", "status", "images_seen", "is_winner")


def test_finds_what_the_command_finds(searched: Searched, tmp_path: Path) -> None:
    """Tables and the handed-over network of `memnas search` with the same settings; keys of trainings are the same."""
    command = [sys.executable, "-m", "memnas", "search", "--preset", "digits", "--name", "small"]
    for key, value in {**SMALL, "store": str(tmp_path / "store")}.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    ours, theirs = searched[0], memnas.load("small", tmp_path / "store")
    columns = [*DECIDED, *MEASURED, "training_key"]
    assert ours.candidates.select(columns).equals(theirs.candidates.select(columns))
    assert ours.front.select(columns).equals(theirs.front.select(columns))
    assert ours.chosen.arch_id == theirs.chosen.arch_id
    assert ours.chosen.test_accuracy == theirs.chosen.test_accuracy
    files = {path.name for path in theirs.path.iterdir()}
    assert {path.name for path in ours.path.iterdir()} == files - {"chosen.dvc"}


def test_the_folder_is_as_whole_as_the_commands(searched: Searched) -> None:
    folder = SearchFolder(searched[0].path)
    assert folder.is_finished
    assert damage(folder) is None
    assert searched[0].report.stat().st_size > 10_000


def test_progress_tells_of_each_training(searched: Searched) -> None:
    found, told = searched
    trained = [row for row in found.candidates.to_pylist() if row["status"] != "generated"]
    assert {one.arch_id for one in told} == {row["arch_id"] for row in trained}
    assert [(one.round, one.rung, one.trained, one.of) for one in told] == [
        *((0, 0, number, 2) for number in (1, 2)),
        *((1, 0, number, 4) for number in (1, 2, 3, 4)),
        (1, 1, 1, 1),
        *((2, 0, number, 4) for number in (1, 2, 3, 4)),
        (2, 1, 1, 1),
        (None, 0, 1, 1),
    ]
    first = told[0]
    assert str(first).startswith(f"round 0 of 2, 1/2: {first.arch_id[:8]} accuracy {first.accuracy:.4f}, weights ")
    assert str(told[-1]).startswith("the end, 1/1: ")
    by_id = {row["arch_id"]: row for row in trained}
    assert all(one.param_bytes == by_id[one.arch_id]["param_bytes"] for one in told)
    assert all(one.activation_bytes == by_id[one.arch_id]["arena_bytes"] for one in told)


def test_a_finished_search_is_not_run_again(searched: Searched) -> None:
    found, _ = searched
    told: list[memnas.Progress] = []
    settings = memnas.settings("digits", SMALL)
    again = memnas.search(settings, name="small", store=found.path.parents[1], progress=told.append)
    assert told == []
    assert again.chosen.arch_id == found.chosen.arch_id
    with pytest.raises(memnas.MemnasError, match="expected no search of that name, found a finished search"):
        memnas.search(settings, name="small", store=found.path.parents[1], resume=False)
    other = memnas.settings(settings, {"search.seed": 5})
    with pytest.raises(memnas.MemnasError, match="expected the settings of the search that is there"):
        memnas.search(other, name="small", store=found.path.parents[1])


def test_a_damaged_round_is_told_of_and_made_again(
    searched: Searched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = shutil.copytree(searched[0].path.parents[1], tmp_path / "store")
    copy = store / "searches" / "small"
    (copy / "metrics.json").unlink()
    table = copy / "rounds" / "round-01" / "candidates.parquet"
    table.write_bytes(table.read_bytes()[:-1])
    again = memnas.search(memnas.settings("digits", SMALL), name="small", store=store, workers=1)
    assert "Round 1 and those after it are made again from their trainings." in caplog.text
    assert again.candidates.column("arch_id") == searched[0].candidates.column("arch_id")
    assert again.chosen.arch_id == searched[0].chosen.arch_id


def test_ray_is_for_the_command(tmp_path: Path) -> None:
    settings = memnas.settings("digits", {"execution.runner": "ray"})
    with pytest.raises(memnas.MemnasError, match=r"execution\.runner: expected processes, found ray"):
        memnas.search(settings, store=tmp_path)


ALONE = """
import signal, socket, sys

def watch(event, arguments):
    if event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
        raise AssertionError(f"a connection to {arguments[1]}")

sys.addaudithook(watch)
handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)]

import memnas

assert not {"prefect", "mlflow", "dvc", "torch", "pandas", "pyarrow"} & set(sys.modules)
import by_size, psutil, wide_convolution

print("begins")
own = {"search.seed_cells": [["conv_5x5", "average_pool_3x3"]], "controller.version": "by_size"}
settings = memnas.settings("digits", {**SMALL, **own})
found = memnas.search(settings, store="store", workers=2, progress=print)
assert any("conv_5x5" in text for text in found.candidates["move"].to_pylist())
assert "conv_5x5" in found.candidates["architecture"][0].as_py()
assert any(value is not None for value in found.candidates["predicted_accuracy"].to_pylist())
assert not {"prefect", "mlflow", "dvc", "flows", "tasks"} & set(sys.modules)
now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)]
assert now == handlers
own = {child.name() for child in psutil.Process().children()}
assert not [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())], own
print("ends")
"""


def test_a_script_without_a_main_guard_with_entries_of_its_own(program: Program, tmp_path: Path) -> None:
    """An operation and a controller of docs/extending.md in a script of the plainest kind.

    Workers know the operation and do not run the script, and nothing connects, handles signals or stays behind.
    """
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for name in ("wide_convolution.py", "by_size.py"):
        (text,) = re.findall(rf"```python\n# {name}\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = program(f"SMALL = {SMALL!r}\n{ALONE}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("begins\n")
    assert done.stdout.endswith("ends\n")
    assert done.stdout.count("begins") == 1


INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
import memnas, psutil

settings = memnas.settings("digits", SMALL)
trainings = Path("store/searches/small/trainings")

def finished():  # hidden folders are trainings that were being written
    return {path.parent.name: path.stat().st_mtime_ns for path in trainings.glob("[!.]*/training.json")}

def interrupt(progress):
    if progress.round == 1:
        os.killpg(0, signal.SIGINT)  # as a terminal does
        time.sleep(60)

try:
    memnas.search(settings, name="small", store="store", workers=2, progress=interrupt)
except KeyboardInterrupt:
    left = [one for one in psutil.Process().children() if "resource_tracker" not in " ".join(one.cmdline())]
    assert not left, left
else:
    raise AssertionError("it went on")
before = finished()
assert before
found = memnas.search(settings, name="small", store="store", workers=2)
assert before.items() <= finished().items()  # nothing was trained again
print(found.chosen.arch_id, found.chosen.test_accuracy)
"""


def test_ctrl_c_leaves_the_caller_alive_and_the_next_call_goes_on(searched: Searched, program: Program) -> None:
    done = program(f"SMALL = {SMALL!r}\n{INTERRUPTED}")
    assert done.returncode == 0, done.stderr
    chosen = searched[0].chosen
    assert done.stdout == f"{chosen.arch_id} {chosen.test_accuracy}\n"


def test_an_error_of_the_callers_ends_the_workers(tmp_path: Path) -> None:
    before = set(psutil.Process().children())

    def refuse(_progress: memnas.Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        memnas.search(memnas.settings("digits", SMALL), store=tmp_path, workers=1, progress=refuse)
    left = set(psutil.Process().children()) - before
    assert not [one for one in left if "resource_tracker" not in " ".join(one.cmdline())]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_import_is_quick_and_light() -> None:
    """Five processes: the least of their times is the import's, the rest is the machine's."""
    code = "import sys, time; t = time.perf_counter(); import memnas; print(time.perf_counter() - t, *sys.modules)"
    command = [sys.executable, "-c", code]
    outputs = [subprocess.check_output(command, cwd=ROOT, text=True).split() for _ in range(5)]
    assert min(float(seconds) for seconds, *_ in outputs) < 1
    assert not {"torch", "numpy", "pyarrow", "prefect", "mlflow", "dvc", "socket"} & set(outputs[0][1:])


def test_a_plan_counts_the_images_of_the_search(searched: Searched) -> None:
    found, told = searched
    plan = memnas.plan(found.settings, workers=2)
    assert (plan.rounds, plan.first, plan.candidates, plan.workers) == (2, 2, 4, 2)
    # Rungs of 0.1 and 0.4 of two epochs over 200 images, 4 candidates of which a quarter goes on: 4 x 40 + 1 x 160.
    assert plan.images == 2 * 400 + 2 * (4 * 40 + 160)
    assert plan.final_images == 3 * 200
    assert plan.seconds is not None
    assert 0 < plan.seconds[0] < plan.seconds[1]
    assert str(plan).startswith(
        "Rounds: 2, of 4 candidates each, which train on about 1,440 images, and the end on 600: "
    )
    assert len(told) == 2 + 2 * (4 + 1) + 1
