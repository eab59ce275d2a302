"""Versions of a store and the git commits that they belong to."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from memnas_core.files.writing import write_text
from tasks.versioning.repository import Versions
from tests.tasks.versioning.dvc_command import check_out, run_dvc


def git(folder: Path, *arguments: str) -> str:
    who = [part for key in ("user.name", "user.email") for part in ("-c", f"{key}=a@b.example")]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_version_leads_to_its_commit_and_back(
    tmp_path: Path, store: Path, round_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "params.yaml"
    pointer = round_folder.with_name("round-00.dvc")

    def commits(content: str) -> str:
        settings.write_text(content, encoding="utf-8")
        git(tmp_path, "add", "params.yaml")
        git(tmp_path, "commit", "-qm", content)
        return git(tmp_path, "rev-parse", "HEAD")

    Versions.open(store).add(round_folder)
    assert "commit" not in pointer.read_text(encoding="utf-8")  # there is no project yet
    git(tmp_path, "init", "-q")
    first = commits("first")
    Versions.open(store).add(round_folder)
    commits("second")
    Versions.open(store).add(round_folder)  # a search that goes on finds it made
    assert yaml.safe_load(pointer.read_text(encoding="utf-8"))["meta"] == {"commit": first}
    assert git(tmp_path, "show", f"{first}:params.yaml") == "first"
    settings.write_text("not in git", encoding="utf-8")
    write_text(round_folder / "round.json", '{"round": 1}')
    Versions.open(store).add(round_folder)
    (found,) = [path for path in store.rglob("*.dvc") if path.is_file() and "-dirty" in path.read_text("utf-8")]
    assert found == pointer
    assert "up to date" in run_dvc("status", folder=store)
    shutil.rmtree(round_folder)
    check_out(round_folder)
    assert (round_folder / "round.json").read_text(encoding="utf-8") == '{"round": 1}'
