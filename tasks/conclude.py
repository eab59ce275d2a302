"""The end of a search: the Pareto front, the network chosen for lambda, its retraining and its one test."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from memnas_core.pictures.values import shown_bytes
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.results.class_words import beside_accuracy, measure_words, never_found
from memnas_core.results.conclusion import finish, hand_over
from memnas_core.search.choice import choice_in_words, chosen_row, front_of
from memnas_core.space.architecture_json import from_json
from memnas_core.training.record import finished, read_record, trained_weights
from memnas_core.training.worker import test_counts
from tasks.recording import log_chosen
from tasks.round_steps import run_training
from tasks.session import Session


# If a worker dies, the second attempt finds what the first has finished.
@task(cache_policy=NO_CACHE, retries=1)
def conclude(session: Session) -> None:
    """Choose a network, retrain it if asked, test it once, and write all final results of the search."""
    objective, folder, guessing = session.settings.objective, session.folder, session.state.guessing
    front = front_of(session.state.rows, objective)
    row = chosen_row(session.state.rows, session.settings, guessing)
    architecture = from_json(row.architecture)
    for line in choice_in_words(front, row, objective, guessing):
        session.display.say(line)
    training, record, epochs = _final_training(session, row)
    weights, data = trained_weights(training).absolute(), session.dataset.absolute()
    counts = session.workers.run(test_counts, architecture, weights, data, session.settings.training)
    chosen = hand_over(folder, session.state, front, row, training, record, epochs, counts)
    log_chosen(session, row, chosen, training)
    session.keep_version(folder.chosen)
    finish(folder, session.state, row, chosen)
    accuracy, classes = chosen.test_accuracy, session.info.classes
    session.display.say(
        f"Test {measure_words(objective.accuracy)} {accuracy:.4f}, weights {shown_bytes(row.memory.param_bytes)}, "
        f"peak activations {shown_bytes(row.memory.activation_bytes(objective.activation_convention))} "
        f"({objective.activation_convention})."
    )
    session.display.say(f"On the test images: {beside_accuracy(classes, counts)}.")
    for split, each in (("validation", record.validation_counts), ("test", counts)):
        for warning in never_found(classes, each, split) if each is not None else ():
            session.display.say(warning)


def _final_training(session: Session, row: CandidateRow) -> tuple[Path, TrainingRecord, int | None]:
    """Return folder and record of the final training, and the epochs of the retraining if there was one."""
    settings = session.settings
    epochs = settings.final.epochs
    if epochs is not None:
        longer = session.state.final_job(row, epochs)
        images = ", on the training and the validation images together" if longer.all_images else ""
        session.display.say(f"Retraining it from nothing for {epochs} epochs{images}.")
        record = finished(longer) or run_training(session, longer)
        if record.status is Status.TRAINED:
            return longer.path, record, epochs
        session.display.say(f"The retraining failed ({record.message}); the search's own weights are kept.")
    assert row.training_key is not None, "only trained networks are chosen"
    own = session.folder.trainings / row.training_key
    return own, read_record(own), None
