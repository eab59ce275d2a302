"""A store, and a round in it."""

from pathlib import Path

import pytest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "my store"


@pytest.fixture
def round_folder(store: Path) -> Path:
    folder = store / "searches" / "a" / "rounds" / "round-00"
    (folder / "weights").mkdir(parents=True)
    (folder / "candidates.parquet").write_bytes(b"table " * 1000)
    (folder / "round.json").write_text("{}", encoding="utf-8")
    (folder / "weights" / "x.safetensors").write_bytes(b"weights " * 1000)
    return folder
