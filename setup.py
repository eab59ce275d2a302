"""Which folders a wheel has, and where; all else is in pyproject.toml.

Of the repository's folders, `memnas` and `memnas_core` are packages of the same names. `flows` and `tasks` would
collide with packages that PyPI has, so a wheel has them in `memnas/command` (`memnas/__main__.py` finds them there).
Presets and the table of trained candidates are copied from where they are in the repository
(`memnas_core/files/shipped.py`). An editable installation has the folders as they are.
"""

import sys

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

LIBRARY = find_packages(include=["memnas", "memnas.*", "memnas_core", "memnas_core.*"])
COMMAND = find_packages(include=["flows", "flows.*", "tasks", "tasks.*"])
SHIPPED = {"memnas_core.shipped": ".", "memnas_core.shipped.results": "results"}


class BuildPy(build_py):
    """Takes no modules, such as this one, from folders of which only files are shipped."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return the modules of a package: its name, the module's and the file's."""
        return [] if package in SHIPPED else super().find_package_modules(package, package_dir)


if "editable_wheel" in sys.argv:
    setup(packages=[*LIBRARY, *COMMAND])
else:
    setup(
        packages=[*LIBRARY, *(f"memnas.command.{name}" for name in COMMAND), *SHIPPED],
        cmdclass={"build_py": BuildPy},
        package_dir={"memnas.command.flows": "flows", "memnas.command.tasks": "tasks", **SHIPPED},
    )
