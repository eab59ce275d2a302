"""How long a search takes, said before anything is trained."""

from pathlib import Path

from flows.start import Plan
from flows.terminal import say
from memnas_core.data import check_varied, open_dataset, prepare_dataset
from memnas_core.files.writing import errors_inside
from memnas_core.objective.budget import check_budget
from memnas_core.planning.timing import timed_plan
from tasks.workers.pool import open_workers


def say_plan(plan: Plan) -> None:
    """Prepare the images, train the first networks for a few steps, and print how long the search takes.

    Raises:
        InputError: Images, budget or workers do not fit.
        StorageError: The store cannot be written.
    """
    settings, store = plan.settings, Path(plan.settings.store)
    with errors_inside(store), open_workers(settings) as workers:
        factor, objective = settings.network.reduction, settings.objective
        dataset = prepare_dataset(settings.data, settings.search.seed, store, factor, origin=plan.origin)
        check_varied(dataset)
        info = open_dataset(dataset).info
        check_budget(settings.network, objective, info.workload(objective), settings.search.widths)
        say(str(timed_plan(settings, info, dataset, workers)))
