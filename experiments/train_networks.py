"""Stage `networks`: train the networks of Table 1 alike, including those that the searches found.

    python -m experiments.train_networks

Every network is trained from newly drawn weights once for each seed, on equally many images under the same settings,
and tested once on the test images. The store keeps each finished training under a key of all that decides its result,
so a run that was stopped continues. Writes `results/networks/`, one file for each network as soon as its trainings are
finished.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from experiments.found import TABLE1_FOUND, found_networks
from experiments.network_jobs import NetworkJob, NetworkResult, finished, make_job, run, write_result
from experiments.networks import SMALL
from experiments.plan import RESULTS, Plan, load_plan
from experiments.stage import run_stage, stage_progress
from memnas_core.data import DatasetInfo, open_dataset, prepare_dataset
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.workers.places import training_places
from memnas_core.workers.processes import Workers

NETWORKS = RESULTS / "networks"


def training_settings(plan: Plan) -> TrainingSettings:
    """Return the settings file's training section with Table 1's budget."""
    return replace(plan.load_settings().training, epochs=plan.networks.epochs)


def train_networks(
    models: Mapping[str, Architecture | None], plan: Plan, workers: Workers, progress: Progress, target: Path
) -> None:
    """Train the networks that are not yet trained, and write the file of each.

    Args:
        models: Rows of Table 1 with the architecture of a found network, or None for a public definition.
        plan: Data, settings, budget and seeds.
        workers: Processes that train.
        progress: Receives a bar; its unit is a share of the work, since training times differ tenfold between networks.
        target: Folder to write.

    Raises:
        WorkerLostError: A worker process died; finished trainings are kept.
    """
    settings = plan.load_settings()
    store = Path(settings.store)
    dataset = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=settings.network.reduction)
    info = open_dataset(dataset).info
    training = training_settings(plan)
    jobs = {
        model: [
            make_job(model, architecture, dataset, info, training, seed, store / "networks")
            for seed in plan.networks.seeds
        ]
        for model, architecture in models.items()
    }
    # The longest come first, so that no worker is left alone with a long one at the end.
    queue = sorted((job for of_model in jobs.values() for job in of_model), key=lambda job: -job.work)
    todo = [job for job in queue if finished(job) is None]
    bar = progress.add_task("trainings", total=sum(job.work for job in queue))
    progress.advance(bar, sum(job.work for job in queue) - sum(job.work for job in todo))
    for model, of_model in jobs.items():
        _write_if_complete(model, of_model, info, target)
    with ThreadPoolExecutor(workers.count) as threads:
        running = {threads.submit(workers.run, run, job): job for job in todo}
        for done in as_completed(running):
            try:
                done.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
            job = running[done]
            progress.advance(bar, job.work)
            _write_if_complete(job.model, jobs[job.model], info, target)


def _write_if_complete(model: str, jobs: Sequence[NetworkJob], info: DatasetInfo, target: Path) -> None:
    trainings = [training for job in jobs if (training := finished(job)) is not None]
    if len(trainings) < len(jobs):
        return
    architecture = jobs[0].architecture
    result = NetworkResult(
        model=model,
        arch_id=architecture.arch_id if architecture else None,
        source="found by a search" if architecture else source_of(model),
        data=info,
        training=jobs[0].settings,
        trainings=tuple(trainings),
    )
    write_result(target, result)


def source_of(model: str) -> str:
    """Return where the public definition of a row of Table 1 comes from."""
    (definition,) = (definition for definition in SMALL if definition.model == model)
    return definition.source


def main() -> None:
    """Train all networks of Table 1 that have a definition or were found."""
    plan = load_plan()
    found = found_networks(TABLE1_FOUND, plan)
    models: dict[str, Architecture | None] = {definition.model: None for definition in SMALL} | dict(found)
    settings = plan.load_settings()
    places = training_places(settings.execution, settings.training.device)
    with Workers(places) as workers, stage_progress() as progress:
        train_networks(models, plan, workers, progress, NETWORKS)
    progress.console.print(f"{len(models)} networks, each trained {len(plan.networks.seeds)} times: {NETWORKS}")


if __name__ == "__main__":
    run_stage(main)
