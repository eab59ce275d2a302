"""Prepared digits."""

import pytest

from memnas_core.data import Dataset, open_dataset, prepare_dataset
from memnas_core.settings.schema import DataSettings


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    settings = DataSettings("digits", None, None, 0.2, 600, None)
    return open_dataset(prepare_dataset(settings, 0, tmp_path_factory.mktemp("store")))
