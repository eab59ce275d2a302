"""The example in a git project of its own: settings are tried, shown and drawn with DVC's command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.flows.conftest import TINY_SETTINGS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the stage of this project's dvc.yaml, whose search is a tiny one."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    for name in (".dvc/config", ".dvcignore", ".gitignore", "experiments/example.py", "results/code/search.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    example = {"stages": {"example": pipeline["stages"]["example"]}, "plots": pipeline["plots"][:1]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(example), encoding="utf-8")
    (folder / "params.yaml").write_text(TINY_SETTINGS.format(store="store"), encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "The example"]):
        git(folder, *command)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of somebody who has activated this one, with a name for git."""
    who = {f"GIT_{role}_{key}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"COLUMNS": "100", "PATH": path, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder.parent / "prefect")}
    return os.environ | who | own


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=True)
    return done.stdout


def dvc(folder: Path) -> Callable[..., str]:
    """Return a function that runs a command of DVC in a project and returns what it prints."""

    def run(*arguments: str) -> str:
        command = ["dvc", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def networks(folder: Path) -> list[dict[str, str]]:
    with (folder / "results" / "example" / "networks.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(900)
def test_settings_are_tried_shown_and_drawn(project: Path) -> None:
    run = dvc(project)
    run("repro")
    git(project, "add", ".")
    git(project, "commit", "-qm", "Two rounds")
    assert {row["round"] for row in networks(project)} == {"0", "1", "2"}

    run("exp", "run", "-S", "search.rounds=1")
    rows = networks(project)
    assert {row["round"] for row in rows} == {"0", "1"}
    assert sorted(row["family"] for row in rows[:2]) == ["conv_3x3 + conv_3x3", "conv_3x3 + depthwise_3x3"]
    assert {row["family"] for row in rows[2:]} <= {row["family"] for row in rows[:2]}
    figures = [(float(row["accuracy"]), -int(row["total_bytes"])) for row in rows]
    for row, own in zip(rows, figures, strict=True):
        beaten = any(other != own and other[0] >= own[0] and other[1] >= own[1] for other in figures)
        assert row["on_front"] == str(not beaten)

    table = run("exp", "show", "--only-changed", "--no-pager")
    assert "…" not in table  # which DVC writes where the screen is too narrow
    columns = table.splitlines()[1].split()
    assert (columns[0], columns[-1]) == ("Experiment", "search.rounds")
    assert set(columns[2:-1]) <= {"test_accuracy", "total_bytes", "trained"}

    (plot,) = json.loads(run("plots", "show", "--json"))["data"]["Front of the example"]
    assert [point["arch_id"] for point in plot["content"]["data"]["values"]] == [row["arch_id"] for row in rows]
    drawn = plot["content"]["encoding"]
    assert (drawn["x"]["field"], drawn["y"]["field"], drawn["color"]["field"]) == ("total_bytes", "accuracy", "family")
    run("plots", "show")
    assert (project / "dvc_plots" / "index.html").is_file()
    assert "dvc_plots" not in git(project, "status", "--short")


def test_commands_name_no_environment() -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert {stage["cmd"].split()[0] for stage in pipeline["stages"].values()} == {"python"}
