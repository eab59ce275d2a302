"""A tracker with a search."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tasks.tracking.tracker import Tracker
from tests.tasks.tracking.tracked import SETTINGS


@pytest.fixture(autouse=True)
def _uri() -> Iterator[None]:
    """Let a test that loads models with MLflow alone name its store."""
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking") / "my store"


@pytest.fixture(scope="module")
def tracker(store: Path) -> Tracker:
    return Tracker.connect(None, store, "memnas")


@pytest.fixture
def search_run(tracker: Tracker, request: pytest.FixtureRequest) -> str:
    """Return the run of a search that is the test's own."""
    return tracker.start_search(request.node.name, SETTINGS, {})
