"""Short trainings on digits, for tests of jobs."""

from dataclasses import replace
from pathlib import Path

import pytest

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.settings.schema import DataSettings
from memnas_core.training import worker  # its test_counts is no test
from memnas_core.training.job import TrainingJob
from tests.core.short_training import ARCHITECTURE, SHORT_TRAINING


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = DataSettings("digits", None, None, 0.1, 300, None)
    return prepare_dataset(settings, 0, tmp_path_factory.mktemp("store"))


@pytest.fixture
def job(dataset: Path, tmp_path: Path) -> TrainingJob:
    """Return a job that takes a fraction of a second and whose folder is the test's own."""
    digest = open_dataset(dataset).info.digest
    return TrainingJob(ARCHITECTURE, ARCHITECTURE.arch_id, dataset, digest, SHORT_TRAINING, 1, tmp_path / "trainings")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """Return a job that is done; tests do not change it."""
    digest = open_dataset(dataset).info.digest
    folder = tmp_path_factory.mktemp("trained")
    made = TrainingJob(
        ARCHITECTURE, ARCHITECTURE.arch_id, dataset, digest, replace(SHORT_TRAINING, epochs=2), 1, folder
    )
    worker.run(made)
    return made
