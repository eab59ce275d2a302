"""What a search tells the person at the terminal and MLflow, and when."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json
from memnas_core.choice import best_row
from memnas_core.contenders import Contender
from memnas_core.network_files import network_files
from memnas_core.pictures.values import shown_bytes, shown_seconds
from memnas_core.records import CandidateRow
from memnas_core.result_folder import Chosen
from memnas_core.trainer import load_network
from memnas_core.training_records import TrainingRecord, trained_weights
from tasks.remote import CONFIG, name_remote
from tasks.session import Search
from tasks.tracking.candidate_log import CandidateLog


def show_candidate(search: Search, contender: Contender, record: TrainingRecord) -> None:
    """Print the line of a candidate that has finished."""
    result = (
        f"accuracy {record.validation_accuracy:.4f}"
        if record.validation_accuracy is not None
        else f"{record.status}: {record.message}"
    )
    activations = contender.memory.activation_bytes(search.settings.objective.activation_convention)
    search.display.training_done(
        record.arch_id,
        f"{result}  weights {shown_bytes(contender.memory.param_bytes)}  activations {shown_bytes(activations)}  "
        f"{shown_seconds(record.seconds)}  {contender.candidate.move}",
    )


def log_candidate(search: Search, contender: Contender, record: TrainingRecord) -> None:
    """Put a candidate whose training has ended into MLflow, with its picture and lifetime plot."""
    candidate, memory, objective = contender.candidate, contender.memory, search.settings.objective
    with _files(search, candidate.architecture) as folder:
        log = CandidateLog(
            arch_id=candidate.arch_id,
            name=candidate.arch_id[:8],
            round=candidate.round,
            parent_id=candidate.parent_id or "",
            move=candidate.move,
            status=record.status,
            param_bytes=memory.param_bytes,
            paper_bytes=memory.paper_bytes,
            sequential_bytes=memory.sequential_bytes,
            minimum_bytes=memory.minimum_bytes,
            arena_bytes=memory.arena_bytes,
            peak_bytes=memory.activation_bytes(objective.activation_convention),
            predicted_rank=contender.predicted_rank,
            predicted_score=contender.predicted_score,
            predicted_accuracy=contender.predicted_accuracy,
            accuracy=record.validation_accuracy,
            training_seconds=record.seconds,
            images_seen=record.images_seen,
            history=record.history,
            artifacts=folder,
        )
        round_run = search.tracker.start_round(search.run, candidate.round)
        search.candidate_runs[candidate.arch_id] = search.tracker.log_candidate(round_run, log)


def log_round(search: Search, number: int, rows: Sequence[CandidateRow]) -> None:
    """Add what re-ranking found to MLflow."""
    tracker = search.tracker
    round_run = tracker.start_round(search.run, number)
    for row in rows:
        if row.measured_score is not None and row.measured_rank is not None:
            tracker.update_scores(search.candidate_runs[row.arch_id], row.measured_score, row.measured_rank)
    won = search.base.performance
    figures = {"accuracy": won.accuracy, "param_bytes": won.param_bytes, "peak_bytes": won.activation_bytes}
    tracker.log_figures(round_run, {"round": number, **figures, "candidates": len(rows)})


def log_winner(search: Search, number: int) -> None:
    """Register the network of a round's winner, once, and end the round's run in MLflow."""
    tracker = search.tracker
    round_run = tracker.start_round(search.run, number)
    for row in search.rows:
        if row.round == number and row.is_winner and row.training_key:
            training = search.folder.trainings / row.training_key
            candidate_run = tracker.candidate_run(round_run, row.arch_id)
            version = _register(search, round_run, candidate_run, row, training)
            if best_row(search.rows, search.settings.objective).arch_id == row.arch_id:
                tracker.set_best(search.model, version)
    tracker.end(round_run, "FINISHED")


def log_chosen(search: Search, row: CandidateRow, chosen: Chosen, training: Path) -> None:
    """Register the network that the search hands over as the best, with its test accuracy."""
    version = _register(search, search.run, search.run, row, training)
    search.tracker.set_best(search.model, version)
    search.tracker.log_figures(
        search.run,
        {
            "test_accuracy": chosen.test_accuracy,
            "accuracy": chosen.validation_accuracy,
            "param_bytes": row.param_bytes,
            "rounds": len(search.rounds) - 1,
            "images_seen": search.images_seen,
        },
    )


def publish_versions(search: Search, paths: Sequence[Path]) -> None:
    """Put a small DVC repository into the search's run, from which others pull the versions that the remote has."""
    versions, folder = search.versions, search.folder
    assert versions.remote is not None, "only what was copied to a remote is published"
    files = [versions.root / ".dvcignore", *folder.beginning, *(path.with_name(f"{path.name}.dvc") for path in paths)]
    with tempfile.TemporaryDirectory(prefix="memnas-") as name:
        config = Path(name) / "config"
        config.write_text(CONFIG, encoding="utf-8")
        name_remote(config, versions.remote)
        search.tracker.log_file(search.run, config, "store/.dvc")
    for path in files:
        place = path.resolve().relative_to(versions.root).parent
        search.tracker.log_file(search.run, path, str("store" / place))


def _register(search: Search, round_run: str, candidate_run: str, row: CandidateRow, training: Path) -> str:
    architecture = from_json(row.architecture)
    weights = trained_weights(training)
    network = load_network(architecture, weights, search.info)
    example = np.zeros((2, *search.info.shape), dtype=np.float32)
    with _files(search, architecture) as folder:
        return search.tracker.log_winner(
            round_run,
            candidate_run,
            network,
            example,
            search.model,
            [*sorted(folder.iterdir()), weights],
        )


@contextmanager
def _files(search: Search, architecture: Architecture) -> Iterator[Path]:
    """Give a folder with the files that describe a network, for as long as the block runs."""
    texts = network_files(architecture, search.input_shape, search.classes, search.settings.objective)
    with tempfile.TemporaryDirectory(prefix="memnas-") as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        yield folder
