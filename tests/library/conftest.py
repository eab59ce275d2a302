"""A small search by the library, made once, and programs that use the library in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import memnas

ROOT = Path(__file__).parents[2]

SMALL: dict[str, object] = {
    "data.max_training_images": 200,
    "network.filters": 4,
    "training.epochs": 2,
    "training.batch_size": 32,
    "search.top_k": 4,
    "search.rounds": 2,
    "objective.accuracy_floor": 0.1,
    "objective.max_total_bytes": 262144,
    "final.epochs": 3,
}

Program = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs a program's text with arguments; returns what it wrote."""

Searched = tuple[memnas.SearchResult, list[memnas.Progress]]


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Return a finished search, and what was told of it meanwhile."""
    told: list[memnas.Progress] = []
    store = tmp_path_factory.mktemp("library") / "store"
    found = memnas.search(memnas.settings("digits", SMALL), name="small", store=store, workers=2, progress=told.append)
    return found, told


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return a function that runs a script in a folder of its own, as somebody would who has installed memnas."""

    def run(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        script = tmp_path / "script.py"
        script.write_text(text, encoding="utf-8")
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        return subprocess.run(
            [sys.executable, str(script), *arguments],
            cwd=tmp_path,
            env=bare | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    return run
