"""What a search is about to do, and how long that takes on this machine."""

from pathlib import Path

from memnas.choosing import PathName, Source, resolved
from memnas_core.planning.plan import Plan


def plan(
    settings: "Source | None" = None,
    *,
    images: PathName | None = None,
    store: PathName | None = None,
    workers: int | None = None,
) -> Plan:
    """Return the steps of a search and their time on this machine.

    The images are prepared in the store, which a search needs too, and the workers train the smallest and the largest
    first network for a few steps.

    Args:
        settings: As in `memnas.search`.
        images: As in `memnas.search`.
        store: As in `memnas.search`.
        workers: As in `memnas.search`.

    Raises:
        InputError: Settings or images cannot be used.
        StorageError: The store cannot be written.
    """
    from memnas_core.data import open_dataset, prepare_dataset
    from memnas_core.planning.timing import timed_plan
    from memnas_core.workers.places import training_places
    from memnas_core.workers.processes import Workers

    chosen = resolved(settings, images, store, workers)
    places = training_places(chosen.execution, chosen.training.device)
    factor = chosen.network.reduction
    dataset = prepare_dataset(chosen.data, chosen.search.seed, Path(chosen.store), factor)
    with Workers(places) as pool:
        return timed_plan(chosen, open_dataset(dataset).info, dataset, pool)
