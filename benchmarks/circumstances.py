"""How a benchmark's figures were measured: command, date, machine and versions, shown above its tables."""

import platform
import shlex
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version

from memnas_core.environment import machine


def command(benchmark: str) -> str:
    """Return the command that this process was started with, whatever its Python is called."""
    return shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]])


def circumstances(benchmark: str, packages: Iterable[str], remark: str) -> Iterator[str]:
    """Yield one line of Markdown for each circumstance.

    Args:
        benchmark: Name of the module.
        packages: Packages, beside Python, whose versions influence the figures.
        remark: What a reader should know about the machine, such as its load.
    """
    yield f"- command: `{command(benchmark)}`"
    yield f"- date: {datetime.now(UTC):%Y-%m-%d}"
    yield f"- machine: {machine()}, {remark}"
    used = [f"python {platform.python_version()}", *(f"{package} {version(package)}" for package in packages)]
    yield f"- versions: {', '.join(used)}"
