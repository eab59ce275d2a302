"""A search's folder with a small search in it."""

from pathlib import Path

import pytest

from memnas_core.results.folder import SearchFolder
from memnas_core.settings.schema import Settings
from tests.core.small_search import START, SmallSearch, small_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_settings(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return SearchFolder(tmp_path / "searches" / "digits")


@pytest.fixture
def search(settings: Settings, folder: SearchFolder) -> SmallSearch:
    """Return a search that has begun."""
    folder.begin(settings, START)
    return SmallSearch(settings, folder)
