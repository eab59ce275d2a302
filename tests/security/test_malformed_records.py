"""A search's folder that was spoilt, by accident or on purpose: one line that names the file, and nothing changes."""

from pathlib import Path

import pytest

from tests.security.conftest import SEARCH, Memnas, Refused
from tests.security.malformed_records import CASES, EXPORT, REPORT, Case
from tests.security.spoiling import MARK


def test_the_store_is_good(memnas: Memnas, store: Path) -> None:
    """What the refusals below are worth something against."""
    assert memnas(*REPORT)[0] == 0
    code, _, err = memnas(*EXPORT)
    assert (code, err) == (0, "")
    written = (store / "searches" / SEARCH / "exports").iterdir()
    assert len(list(written)) == 6  # the file, its card, its data sheet and three test vectors


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_refused(case: Case, refused: Refused, store: Path) -> None:
    (path,) = (store / "searches" / SEARCH).glob(case.file)
    case.spoil(path)
    refused(*case.command, words=case.named, code=2 if case.file == "settings.yaml" else 1)
    assert not Path(MARK).exists()
