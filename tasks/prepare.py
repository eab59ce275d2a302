"""Before the first round: check what can be checked, and prepare the data once."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from memnas_core.config import Settings
from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.grow_trim import seed_architecture
from tasks.versioning import Versions


@task(cache_policy=NO_CACHE)
def prepare(settings: Settings, versions: Versions) -> tuple[Path, DatasetInfo]:
    """Prepare the images, unless they are, and put them under DVC."""
    factor = seed_architecture(settings.network.strides, settings.network.filters).reduction
    folder = prepare_dataset(settings.data, settings.search.seed, Path(settings.store), divisible_by=factor)
    versions.add(folder)
    return folder, open_dataset(folder).info
