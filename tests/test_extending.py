"""The examples of docs/extending.md, taken out of the page and run as they are."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
MODULES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
PROGRAMS = [name for name in MODULES if name.startswith("use_") and name != "use_layer_convention.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all modules of the page."""
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "store").mkdir()
    return tmp_path


def run(program: str, folder: Path, package: Path) -> None:
    """Run a program of the page in its folder; the package is the one that lies in `package`."""
    script = f"import sys; sys.path[:0] = ['.', {str(package)!r}]; import runpy; runpy.run_path({program!r})"
    command = [sys.executable, "-c", script, str(ROOT / "params.yaml"), "store"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_an_example_of_each() -> None:
    assert len(PROGRAMS) == 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_entry_from_outside(program: str, folder: Path) -> None:
    run(program, folder, ROOT)


def test_a_memory_convention(folder: Path) -> None:
    """The diff of the page is applied to a copy of the package."""
    shutil.copytree(ROOT / "memnas_core", folder / "copy" / "memnas_core", ignore=shutil.ignore_patterns("__pycache__"))
    (diff,) = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
    files = re.findall(r"^\+\+\+ b/(\S+)\n(.*?)(?=^--- |\Z)", diff, re.DOTALL | re.MULTILINE)
    assert len(files) == 2
    for name, changes in files:
        path = folder / "copy" / name
        text = path.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*@@\n", changes, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            after = "".join(line[1:] for line in lines if line[0] in " +")
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
    run("use_layer_convention.py", folder, folder / "copy")
