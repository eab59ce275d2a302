"""The wheel: what it installs, and that command and library work from it, beside others' `flows` and `tasks`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("memnas", "memnas_core", "flows", "tasks")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "results/candidates.parquet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel that is built from a copy of the repository, as a build writes into its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*FILES, *(path.name for path in ROOT.glob("params*.yaml"))):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "."]
    subprocess.run([*command, str(source)], cwd=folder, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of an environment with the wheel, which sees this one's packages but not this checkout."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False, symlinks=True)
    packages = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"])  # a path alone: its .pth files are not read
    command = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--ignore-installed", str(wheel)], check=True, capture_output=True)
    return place / "bin"


def test_no_package_of_a_name_that_others_have(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert {name.split("/")[0] for name in names} == {"memnas", "memnas_core", "memnas-0.1.0.dist-info"}
    for folder in ("flows", "tasks"):
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}
        assert {f"memnas/command/{name}" for name in ours} <= set(names)
    assert {"memnas/py.typed", "memnas_core/py.typed"} <= set(names)
    shipped = {name for name in names if name.startswith("memnas_core/shipped/")}
    presets = {f"memnas_core/shipped/{path.name}" for path in ROOT.glob("params*.yaml")}
    assert shipped == {*presets, "memnas_core/shipped/results/candidates.parquet"}


def test_the_library_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = """
import memnas, memnas_core.training.job
print(memnas.__file__)
print(memnas.trained_candidates().num_rows, memnas.settings("fashion").data.dataset)
print(memnas_core.training.job.training_version())
"""
    done = subprocess.run(
        [installed / "python", "-c", code], cwd=tmp_path, env=bare(), capture_output=True, text=True, check=True
    )
    place, table, version = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed.parent)
    assert table == "613 fashion-mnist"
    from memnas_core.training.job import training_version

    assert version == training_version()


def test_a_search_outside_any_checkout_beside_others_of_these_names(installed: Path, tmp_path: Path) -> None:
    """The folder has `flows` and `tasks` of its own, and so has the environment; neither is imported."""
    packages = next(installed.parent.glob("lib/python*/site-packages"))
    for place in (tmp_path, packages):
        for name in ("flows", "tasks"):
            (place / name).mkdir()
            (place / name / "__init__.py").write_text("raise AssertionError('not ours')")
    small = ["search.rounds=1", "search.top_k=2", "training.epochs=1", "final.epochs=null", "network.filters=4"]
    command = [installed / "memnas", "search", *(word for setting in small for word in ("--set", setting))]
    done = subprocess.run(command, cwd=tmp_path, env=bare(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("No params.yaml here: taking the preset digits.\nSearching on digits;")
    assert "not ours" not in done.stderr
    assert (tmp_path / "store" / "searches" / "digits" / "report.html").is_file()


def bare() -> dict[str, str]:
    """Return the environment without what would lead to this checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
