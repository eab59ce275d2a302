"""A whole search in the caller's process and workers of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memnas.choosing import PathName, Source, resolved
from memnas.progress import Progress
from memnas.results import SearchResult
from memnas_core.errors import SettingsError

if TYPE_CHECKING:
    from memnas_core.results.beginning import Beginning


def search(
    settings: "Source | None" = None,
    *,
    images: PathName | None = None,
    name: str | None = None,
    store: PathName | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], object] | None = None,
    resume: bool = True,
) -> SearchResult:
    """Search, or go on with a search, and return what was found.

    Trainings run in worker processes, each with one torch thread. They import modules and run no script, so that a
    program needs no `if __name__ == "__main__"`; an operation of your own has to stand in a module that they can
    import, not in a notebook's cell. The same settings give the same networks and accuracies as `memnas search`, in
    the same folder, `STORE/searches/NAME`; only MLflow and DVC do not hear of it.

    Ctrl-C, or an error of `progress`, ends the workers and leaves this process as it is. What was finished is on disk,
    and the same call goes on from there.

    Args:
        settings: Settings, the name of a preset, or a settings file. None: what follows from the images.
        images: Folder with a folder of PNG or JPEG files for each class; it takes the place of the settings' data set.
        name: Name of the search; None: the data set's, or its folder's.
        store: Folder that receives prepared images and searches; None: that of the settings.
        workers: Number of worker processes; None: that of the settings, by default one for each CPU core.
        progress: Is called after each training, in the caller's thread; `print` shows a line for each.
        resume: Whether a search of that name goes on; one that is finished is only loaded.

    Raises:
        InputError: Settings, images or the name cannot be used, or a search of that name was told something else.
        TrainingError: No network of the first round could be trained.
        StorageError: The store cannot be written.
    """
    from memnas_core.results.beginning import check_beginning

    beginning = check_beginning(resolved(settings, images, store, workers), name, resume)
    if not beginning.is_finished:
        _run(beginning, progress or (lambda _progress: None))
    return SearchResult(beginning.folder.path.absolute())


def _run(beginning: "Beginning", progress: Callable[[Progress], object]) -> None:
    from memnas.steps import ParallelSteps, conclude
    from memnas_core.data import check_varied, find_local, open_dataset, prepare_dataset
    from memnas_core.environment import machine, versions
    from memnas_core.files.writing import errors_inside
    from memnas_core.objective.budget import check_budget
    from memnas_core.records.trainings import Limits
    from memnas_core.results.code_versions import note_version
    from memnas_core.results.folder import Start
    from memnas_core.search.loop import run_rounds
    from memnas_core.search.state import SearchState
    from memnas_core.training.job import training_version
    from memnas_core.workers.places import training_places
    from memnas_core.workers.processes import Workers

    settings, folder, store = beginning.settings, beginning.folder, Path(beginning.settings.store)
    if settings.execution.runner != "processes":
        raise SettingsError(
            f"execution.runner: expected processes, found {settings.execution.runner}; only `memnas search` trains on "
            "a Ray cluster"
        )
    places = training_places(settings.execution, settings.training.device)
    origin = find_local(settings.data)
    with errors_inside(store), folder.locked(), Workers(places) as pool:
        pool.check(Limits.of(settings.execution))
        factor = settings.network.reduction
        dataset = prepare_dataset(settings.data, settings.search.seed, store, factor, origin=origin)
        check_varied(dataset)
        info = open_dataset(dataset).info
        check_budget(settings.network, settings.objective, info.workload(settings.objective), settings.search.widths)
        fingerprint = origin.fingerprint if origin else ""
        folder.begin(settings, Start(info, versions(), machine(), time.time(), images=fingerprint))
        note_version(folder.path, training_version(), time.time())
        state = SearchState(settings, dataset, info, folder.trainings)
        steps = ParallelSteps(pool, folder, dataset, progress)
        steps.load_rounds(state)
        run_rounds(state, steps)
        conclude(state, steps)
