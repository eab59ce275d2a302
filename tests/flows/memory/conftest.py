"""An architecture in a file."""

from pathlib import Path

import pytest

from memnas_core.space.architecture_json import to_json
from tests.flows.memory.memory_command import ARCHITECTURE


@pytest.fixture
def architecture_file(tmp_path: Path) -> Path:
    path = tmp_path / "architecture.json"
    path.write_text(to_json(ARCHITECTURE))
    return path
