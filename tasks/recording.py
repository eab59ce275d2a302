"""What a search reports to the terminal and to MLflow."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from memnas_core.data.description import input_facts
from memnas_core.pictures.values import shown_bytes, shown_seconds
from memnas_core.prediction.image_network import ImageNetwork
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import TrainingRecord
from memnas_core.results.class_words import CLASSES_FILE, class_figures, measure_words
from memnas_core.results.folder import FRONT_FILE, Chosen
from memnas_core.results.network_files import network_files
from memnas_core.results.report import guessing_of
from memnas_core.search.candidates import RankedCandidate
from memnas_core.search.choice import chosen_row
from memnas_core.settings.file import dump_settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json
from memnas_core.training.record import trained_weights
from memnas_core.training.worker import load_network
from tasks.session import RecordedSearch, Session
from tasks.tracking.candidate_log import CandidateLog
from tasks.tracking.store import without_secrets
from tasks.versioning.remote import CONFIG, name_remote


def show_candidate(session: Session, ranked: RankedCandidate, record: TrainingRecord) -> None:
    """Print the line of a candidate that has finished."""
    result = (
        f"{measure_words(session.settings.objective.accuracy)} {record.validation_accuracy:.4f}"
        if record.validation_accuracy is not None
        else f"{record.status}: {record.message}"
    )
    activations = ranked.memory.activation_bytes(session.settings.objective.activation_convention)
    session.display.training_done(
        record.arch_id,
        f"{result}  weights {shown_bytes(ranked.memory.param_bytes)}  activations {shown_bytes(activations)}  "
        f"{shown_seconds(record.seconds)}  {ranked.candidate.words}",
    )


def log_candidate(session: RecordedSearch, ranked: RankedCandidate, record: TrainingRecord, move: str) -> None:
    """Log a candidate whose training has ended to MLflow, with its picture and lifetime plot.

    Args:
        session: The search.
        ranked: The candidate.
        record: Record of all its rungs.
        move: What was done to its base, in words.
    """
    candidate, memory, objective = ranked.candidate, ranked.memory, session.settings.objective
    with _files(session, candidate.architecture) as folder:
        log = CandidateLog(
            arch_id=candidate.arch_id,
            name=candidate.arch_id[:8],
            round=candidate.round,
            parent_id=candidate.parent_id or "",
            move=move,
            status=record.status,
            memory=memory,
            peak_bytes=memory.activation_bytes(objective.activation_convention),
            predicted_rank=ranked.predicted_rank,
            predicted_score=ranked.predicted_score,
            predicted_accuracy=ranked.predicted_accuracy,
            accuracy=record.validation_accuracy,
            training_started=record.started,
            training_seconds=record.seconds,
            images_seen=record.images_seen,
            history=record.history,
            artifacts=folder,
        )
        round_run = session.tracker.start_round(session.run, candidate.round)
        session.candidate_runs[candidate.arch_id] = session.tracker.log_candidate(round_run, log)


def log_beginning(session: RecordedSearch) -> None:
    """Log what a search begins with to MLflow: its images and its settings, as all readers may see them."""
    session.tracker.log_dataset(session.run, session.info)
    session.tracker.log_text(session.run, "settings.yaml", dump_settings(without_secrets(session.settings)))


def log_round(session: RecordedSearch, number: int, rows: Sequence[CandidateRow]) -> None:
    """Log the scores and ranks after re-ranking, and the winner's figures, to MLflow."""
    tracker = session.tracker
    round_run = tracker.start_round(session.run, number)
    for row in rows:
        if row.measured_score is not None and row.measured_rank is not None:
            tracker.update_scores(session.candidate_runs[row.arch_id], row.measured_score, row.measured_rank)
    won = session.state.base.performance
    figures = {"accuracy": won.accuracy, "param_bytes": won.param_bytes, "peak_bytes": won.activation_bytes}
    tracker.log_figures(round_run, {"round": number, **figures, "candidates": len(rows)})


def log_winner(session: RecordedSearch, number: int) -> None:
    """Keep the network of a round's winner, once, log the best network so far, and end the round's run in MLflow."""
    tracker = session.tracker
    round_run = tracker.start_round(session.run, number)
    for row in session.state.rows:
        if row.round == number and row.is_winner and row.training_key:
            training = session.folder.trainings / row.training_key
            candidate_run = tracker.candidate_run(round_run, row.arch_id)
            _log_model(session, candidate_run, row, training)
            tracker.mark_winner(round_run, candidate_run, row.arch_id)
    _log_best(session, number)
    tracker.end(round_run, "FINISHED")


def _log_best(session: RecordedSearch, number: int) -> None:
    """Log the figures of the network that would be chosen after a round; those of all rounds are a curve."""
    settings = session.settings
    rows = [row for row in session.state.rows if row.round <= number]  # the next round may have ended meanwhile
    best = chosen_row(rows, settings, guessing_of(session.folder, rows, settings))
    size = best.memory.param_bytes + best.memory.activation_bytes(settings.objective.activation_convention)
    figures = {"best_accuracy": best.measured_accuracy or 0.0, "best_bytes": size}
    session.tracker.log_figures(session.run, figures, step=number)


def log_chosen(session: RecordedSearch, row: CandidateRow, chosen: Chosen, training: Path) -> None:
    """Register the chosen network, and log its test accuracy, its results by class, the front and the report."""
    model = _log_model(session, session.run, row, training)
    session.tracker.register(session.run, model, session.model)
    session.tracker.log_figures(
        session.run,
        {
            "test_accuracy": chosen.test_accuracy,
            **(class_figures(chosen.test_counts) if chosen.test_counts is not None else {}),
            "accuracy": chosen.validation_accuracy,
            "param_bytes": row.memory.param_bytes,
            "rounds": len(session.state.rounds) - 1,
            "images_seen": session.state.images_seen,
        },
    )
    folder = session.folder
    for path in (folder.chosen / CLASSES_FILE, folder.path / FRONT_FILE, folder.report):
        if path.is_file():  # people may remove what no search needs
            session.tracker.log_file(session.run, path)


def publish_versions(session: Session, paths: Sequence[Path]) -> None:
    """Log a small DVC repository to the search's run, with which others pull versions from the remote."""
    versions, folder = session.versions, session.folder
    assert versions.remote is not None, "only what was copied to a remote is published"
    files = [versions.root / ".dvcignore", *folder.beginning, *(path.with_name(f"{path.name}.dvc") for path in paths)]
    with tempfile.TemporaryDirectory(prefix="memnas-") as name:
        config = Path(name) / "config"
        config.write_text(CONFIG, encoding="utf-8")
        name_remote(config, versions.remote)
        session.tracker.log_file(session.run, config, "store/.dvc")
    for path in files:
        place = path.resolve().relative_to(versions.root).parent
        session.tracker.log_file(session.run, path, str("store" / place))


def _log_model(session: RecordedSearch, run: str, row: CandidateRow, training: Path) -> str:
    """Keep a trained network as the model of a run, and return the model's id."""
    architecture = from_json(row.architecture)
    weights = trained_weights(training)
    network = ImageNetwork(load_network(architecture, weights, session.info), session.info)
    channels, height, width = session.info.shape
    example = np.zeros((2, height, width, channels), dtype=np.uint8)
    with _files(session, architecture) as folder:
        return session.tracker.log_model(
            run,
            network,
            example,
            json.dumps({"classes": session.info.classes, "input": input_facts(session.info)}, indent=2),
            session.model,
            [*sorted(folder.iterdir()), weights],
        )


@contextmanager
def _files(session: RecordedSearch, architecture: Architecture) -> Iterator[Path]:
    """Provide a temporary folder with the files that describe a network."""
    texts = network_files(architecture, session.state.workload, session.settings.objective)
    with tempfile.TemporaryDirectory(prefix="memnas-") as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        yield folder
