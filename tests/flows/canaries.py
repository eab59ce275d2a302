"""A folder with a module of every name that Python or an installed package has; each says that it ran, and fails."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

MARK = "a-canary-sang"

_CANARY = """\
import sys
from pathlib import Path
with Path(__file__).with_name({mark!r}).open("a") as mark:
    mark.write(f"{{__name__}} in {{' '.join(sys.orig_argv)[:200]}}\\n")
raise ImportError("a module of the current folder was imported")
"""


def plant_canaries(folder: Path) -> None:
    """Write the modules into a folder."""
    names = (sys.stdlib_module_names | set(packages_distributions())) - set(sys.builtin_module_names)
    for name in names:
        if name.isidentifier():
            (folder / f"{name}.py").write_text(_CANARY.format(mark=MARK))


def songs(folder: Path) -> str:
    """Return which of them ran, and in which programs."""
    path = folder / MARK
    return path.read_text() if path.exists() else ""
