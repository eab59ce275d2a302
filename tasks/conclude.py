"""The end of a search: the Pareto front, the network chosen for lambda, its retraining and its one test."""

import time
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from memnas_core.architecture_json import from_json
from memnas_core.choice import best_row, front_of
from memnas_core.jobs import candidate_seed
from memnas_core.network_files import network_files
from memnas_core.pictures.values import shown_bytes
from memnas_core.records import CandidateRow, Status
from memnas_core.result_checks import check_rounds
from memnas_core.result_folder import Chosen
from memnas_core.result_report import write_report
from memnas_core.trainer import test_accuracy
from memnas_core.training_records import TrainingRecord, finished, read_record, trained_weights
from tasks.recording import log_chosen
from tasks.round_steps import run_training
from tasks.session import Search


# Should a worker die, the second attempt finds what the first has finished.
@task(cache_policy=NO_CACHE, retries=1)
def conclude(search: Search) -> None:
    """Choose, retrain if asked, score once on the test set, and write everything that a search leaves."""
    objective, folder = search.settings.objective, search.folder
    front = front_of(search.rows, objective)
    row = best_row(search.rows, objective)
    architecture = from_json(row.architecture)
    search.display.say(
        f"Chosen for lambda = {objective.accuracy_weight}: {row.arch_id} of round {row.round}, "
        f"from a Pareto front of {len(front)}."
    )
    if objective.accuracy_floor is not None and (row.measured_accuracy or 0.0) <= objective.accuracy_floor:
        search.display.say(
            f"No network is more accurate than objective.accuracy_floor, {objective.accuracy_floor}: this is the most "
            f"accurate, {row.measured_accuracy:.4f} on the validation images. More search.rounds may find a better one."
        )
    training, record, epochs = _final_training(search, row)
    weights, data = trained_weights(training).absolute(), search.dataset.absolute()
    accuracy = search.workers.run(test_accuracy, architecture, weights, data, search.settings.training)
    assert record.validation_accuracy is not None, "only trained networks are chosen"
    chosen = Chosen(row.arch_id, row.round, record.validation_accuracy, accuracy, epochs, time.time())
    folder.write_front(front)
    folder.write_chosen(chosen, training, network_files(architecture, search.input_shape, search.classes, objective))
    log_chosen(search, row, chosen, training)
    search.keep_version(folder.chosen)
    write_report(folder)
    check_rounds(folder)
    folder.write_metrics(
        {
            "arch_id": row.arch_id,
            "validation_accuracy": chosen.validation_accuracy,
            "test_accuracy": chosen.test_accuracy,
            "param_bytes": row.param_bytes,
            "paper_bytes": row.paper_bytes,
            "sequential_bytes": row.sequential_bytes,
            "minimum_bytes": row.minimum_bytes,
            "arena_bytes": row.arena_bytes,
            "rounds": len(search.rounds) - 1,
            "trained": sum(summary.trained for summary in search.rounds),
            "images_seen": search.images_seen,
        }
    )
    search.display.say(
        f"Test accuracy {accuracy:.4f}, weights {shown_bytes(row.param_bytes)}, peak activations "
        f"{shown_bytes(row.memory.activation_bytes(objective.activation_convention))} "
        f"({objective.activation_convention})."
    )


def _final_training(search: Search, row: CandidateRow) -> tuple[Path, TrainingRecord, int | None]:
    """Return folder and record of the training that is handed over, and the epochs of a retraining if there was one."""
    settings = search.settings
    architecture = from_json(row.architecture)
    epochs = settings.final.epochs
    if epochs is not None:
        seed = candidate_seed(settings.search.seed, row.round, f"final {row.arch_id}")
        longer = search.training_job(architecture, row.arch_id, row.round)
        longer = replace(longer, settings=replace(settings.training, epochs=epochs), seed=seed)
        search.display.say(f"Retraining it from nothing for {epochs} epochs.")
        record = finished(longer) or run_training(search, longer)
        if record.status is Status.TRAINED:
            return longer.path, record, epochs
        search.display.say(f"The retraining failed ({record.message}); the search's own weights are kept.")
    assert row.training_key is not None, "only trained networks are chosen"
    own = search.folder.trainings / row.training_key
    return own, read_record(own), None
