"""What changes the digest of code, and what does not. A small project of two files is written and digested."""

import subprocess
import sys
from pathlib import Path

import pytest

from memnas_core.code_digest import code_digest, reached

MAIN = """
import math
from typing import TYPE_CHECKING
from memnas_core.other import scale, table as numbers
if TYPE_CHECKING:
    from memnas_core.unused import Nothing

LIMIT = 3

def run(count: int) -> float:
    '''Say something.'''
    return min(LIMIT, scale(count)) + numbers[0]

def unused():
    return 17
"""
OTHER = """
table = (1, 2)
SHIFT = 5
CHOICES = {"late": "memnas_core.late:chosen"}

def scale(value):
    return helper(value) + len(CHOICES)

def helper(value):
    return 2 * value

def also(value):
    return 3 * value
"""
LATE = "def chosen():\n    return 1\n"
FILES = {"main": MAIN, "other": OTHER, "late": LATE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def digest(folder: Path, files: dict[str, str], entry: str = "memnas_core.main:run") -> str:
    """Write a project and return the digest of its entry, in a process that knows no other project."""
    place = folder / str(len(list(folder.iterdir())))
    package = place / "memnas_core"
    for name, text in {"__init__": "", **files}.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    source = Path(sys.modules[code_digest.__module__].__file__ or "").read_text()
    (package / "code_digest.py").write_text(source)
    script = f"from memnas_core.code_digest import code_digest; print(code_digest({entry!r}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def changed(name: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[name]
    return {**FILES, name: FILES[name].replace(old, new)}


@pytest.mark.parametrize(
    "files",
    [
        changed("main", "Say something", "Say it in other words"),
        changed("main", "    return min", "    # why\n    return  min"),
        changed("main", "count: int) -> float", "count: float) -> int"),
        changed("main", "return 17", "return 18"),
        changed("main", "import math\n", "import cmath\n"),
        changed("main", "import Nothing", "import Something"),
        changed("other", "return 3 * value", "return 4 * value"),
        changed("other", "SHIFT = 5", "SHIFT = 6"),
        changed("other", "\ndef also(value):\n    return 3 * value\n", ""),
    ],
)
def test_what_does_not_count(folder: Path, files: dict[str, str]) -> None:
    assert digest(folder, files) == digest(folder, FILES)


@pytest.mark.parametrize(
    "files",
    [
        changed("main", "LIMIT = 3", "LIMIT = 4"),
        changed("other", "return 2 * value", "return 3 * value"),
        changed("other", "table = (1, 2)", "table = (2, 1)"),
        changed("late", "return 1", "return 2"),  # reached by a registry's string
        changed("main", "other import scale,", "other import also as scale,"),  # the same word for something else
        changed("other", "SHIFT = 5", "SHIFT = 5\nprint(SHIFT)"),  # runs when the module is imported
    ],
)
def test_what_counts(folder: Path, files: dict[str, str]) -> None:
    assert digest(folder, files) != digest(folder, FILES)


def test_moves_do_not_count(folder: Path) -> None:
    moved = {
        "deep/main": MAIN.replace("memnas_core.other", "memnas_core.deep.other"),
        "deep/other": OTHER.replace("memnas_core.late", "memnas_core.far.away"),
        "far/away": LATE,
    }
    assert digest(folder, moved, "memnas_core.deep.main:run") == digest(folder, FILES)
    helper = "def helper(value):\n    return 2 * value\n"
    divided = {
        **FILES,
        "other": OTHER.replace(helper, "from memnas_core.third import helper\n"),
        "third": helper,
    }
    assert digest(folder, divided) == digest(folder, FILES)


def test_all_that_a_worker_runs_is_reached() -> None:
    found = {definition.name for definition in reached("memnas_core.training.worker:run")}
    # the choice of calibration images and of the training's seed, far from the loop itself
    assert {"_begin_with", "CALIBRATION_IMAGES", "lower", "Augmentation", "best_order", "train"} <= found


def test_an_unknown_entry_is_an_error() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        code_digest("memnas_core.training.worker:nowhere")


THREADS = """
import gc, time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from memnas_core.code_digest import code_digest

gc.callbacks.append(lambda phase, info: time.sleep(0))  # lets another thread run in the middle of any parsing
gc.set_threshold(100)
together = Barrier(8)

def one(_):
    together.wait()
    return code_digest("memnas_core.training.worker:run")

with ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(one, range(8)))))
"""


def test_threads_that_ask_at_once_get_the_same_digest() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")
