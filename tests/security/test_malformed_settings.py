"""What a person may give by mistake, or another person by intent, to every command: one line, and nothing changes."""

from pathlib import Path

import pytest

from tests.security.conftest import Refused
from tests.security.malformed_settings import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
@pytest.mark.usefixtures("store")
def test_refused(case: Case, refused: Refused, tmp_path: Path) -> None:
    if case.settings is not None:
        (tmp_path / "params.yaml").write_bytes(case.settings)
    refused(*case.arguments, words=case.words)


def test_settings_without_an_end(refused: Refused) -> None:
    refused("search", "--params", "/dev/zero", words="/dev/zero: cannot be read as a settings file")
