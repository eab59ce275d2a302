"""The names of the core's packages stand for what is in them, and import nothing heavy."""

import subprocess
import sys

CODE = """
import pkgutil, sys, memnas_core
list(pkgutil.walk_packages(memnas_core.__path__, "memnas_core."))
print([name for name in ("torch", "prefect", "mlflow", "dvc") if name in sys.modules])
"""


def test_packages_of_the_core_import_no_torch() -> None:
    """Tools walk through packages, which imports each of them."""
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
