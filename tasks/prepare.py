"""The task before the first round, which prepares the data once."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from memnas_core.data import DatasetInfo, check_varied, open_dataset, prepare_dataset
from memnas_core.data.source import Origin
from memnas_core.settings.schema import Settings
from tasks.versioning.repository import Versions


@task(cache_policy=NO_CACHE)
def prepare(settings: Settings, versions: Versions, origin: Origin | None) -> tuple[Path, DatasetInfo]:
    """Prepare the images, unless that was done before, and put them under DVC.

    Args:
        settings: Settings of the search.
        versions: The store's DVC repository.
        origin: The folder of images as it was found a moment ago; None for named data sets.
    """
    factor = settings.network.reduction
    store = Path(settings.store)
    folder = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=factor, origin=origin)
    check_varied(folder)
    versions.add(folder)
    return folder, open_dataset(folder).info
