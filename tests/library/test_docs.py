"""The examples of docs/library.md and of README's section on Python, run as they are."""

import re
from pathlib import Path

from tests.library.conftest import ROOT, Program


def blocks(page: Path) -> str:
    """Return the Python of a page, in its order."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def test_the_page_on_the_library(program: Program) -> None:
    done = program(blocks(ROOT / "docs" / "library.md"))
    assert done.returncode == 0, done.stderr
    for words in ("changes: search.round: expected one of seed, moves, ", "14019488 6021120\n", "613\n"):
        assert words in done.stdout


def test_readme(program: Program, tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## In Python\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    done = program(section)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.pt2.md").is_file()
