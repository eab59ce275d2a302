"""The last entries in a search's folder: the network that it hands over, the report, the figures."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.trainings import TrainingRecord
from memnas_core.results.checks import check_rounds
from memnas_core.results.class_words import CLASSES_FILE, class_figures, class_lines, class_table
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.results.network_files import network_files
from memnas_core.results.report import write_report
from memnas_core.search.state import SearchState
from memnas_core.space.architecture_json import from_json


def hand_over(
    folder: SearchFolder,
    state: SearchState,
    front: Sequence[CandidateRow],
    row: CandidateRow,
    training: Path,
    record: TrainingRecord,
    epochs: int | None,
    counts: ClassCounts,
) -> Chosen:
    """Write the front, the chosen network and the report, and return the network's figures.

    Args:
        folder: Folder of the search.
        state: The search, whose rounds are all played.
        front: Its Pareto front.
        row: The chosen network.
        training: Folder of the training that gave the weights.
        record: Record of that training.
        epochs: Epochs of the retraining; None where the search's own weights are kept.
        counts: Results of the weights on the test images.

    Raises:
        RecordError: A round is damaged.
        StorageError: The disk is full or the folder not writable.
    """
    objective, classes = state.settings.objective, state.info.classes
    validated = row.measured_accuracy if record.validation_accuracy is None else record.validation_accuracy
    assert validated is not None, "only trained networks are chosen"
    accuracy = counts.accuracy(objective.accuracy)
    chosen = Chosen(row.arch_id, row.round, validated, accuracy, epochs, time.time(), counts)
    folder.write_front(front)
    texts = network_files(from_json(row.architecture), state.workload, objective)
    texts[CLASSES_FILE] = class_table(class_lines(classes, record.validation_counts, counts))
    folder.write_chosen(chosen, training, texts)
    write_report(folder)
    return chosen


def finish(folder: SearchFolder, state: SearchState, row: CandidateRow, chosen: Chosen) -> None:
    """Write the figures, with which the search is finished.

    Args:
        folder: Folder of the search.
        state: The search.
        row: The chosen network.
        chosen: Its figures, as `hand_over` returned them.

    Raises:
        RecordError: A round is not as it was written.
        StorageError: The disk is full or the folder not writable.
    """
    assert chosen.test_counts is not None, "measured a moment ago"
    check_rounds(folder)
    folder.write_metrics(
        {
            "arch_id": row.arch_id,
            "validation_accuracy": chosen.validation_accuracy,
            "test_accuracy": chosen.test_accuracy,
            "accuracy": state.settings.objective.accuracy,
            **class_figures(chosen.test_counts),
            **asdict(row.memory),
            "rounds": len(state.rounds) - 1,
            "trained": sum(summary.trained for summary in state.rounds),
            "images_seen": state.images_seen,
        }
    )
