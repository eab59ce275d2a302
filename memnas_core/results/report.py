"""From a search's folder to its report.html."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.files.writing import write_text
from memnas_core.memory.running_order import best_order
from memnas_core.objective.floor import NOT_KNOWN, Guessing
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import guessing_accuracy
from memnas_core.results.folder import SearchFolder
from memnas_core.results.network_files import lifetime_table
from memnas_core.results.page import ChosenNetwork, ReportData, build_report
from memnas_core.search.choice import chosen_row, front_of
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.training.record import read_record


def write_report(folder: SearchFolder) -> Path:
    """Write a search's report.html from what is in its folder.

    A search that is not finished gets a report of its finished rounds, with the network that would be chosen now.

    Args:
        folder: The search.

    Returns:
        The report's path.

    Raises:
        ResumeError: There is no search.
        RecordError: No round is finished yet, or a record is damaged.
        StorageError: The report cannot be written.
    """
    write_text(folder.report, build_report(_report_data(folder)))
    return folder.report


def _report_data(folder: SearchFolder) -> ReportData:
    settings, start = folder.settings(), folder.start()
    finished_rounds = list(folder.rounds())
    if not finished_rounds:
        raise RecordError(f"{folder.path}: expected at least one finished round, found none; go on with --resume")
    rows = [row for _, round_rows in finished_rounds for row in round_rows]
    front = front_of(rows, settings.objective)
    chosen, finished = _chosen(folder, rows, chosen_row(rows, settings, guessing_of(folder, rows, settings)))
    workload = start.dataset.workload(settings.objective)
    graph = lower(chosen.architecture, workload.input_shape, workload.classes)
    return ReportData(
        name=folder.path.name,
        settings=settings,
        dataset=start.dataset,
        rounds=[summary for summary, _ in finished_rounds],
        candidates=rows,
        front=front,
        chosen=chosen,
        lifetimes=lifetime_table(chosen.architecture, workload, settings.objective),
        least=best_order(graph, workload.activation_bytes)[1],
        versions=start.versions,
        machine=start.machine,
        started=datetime.fromtimestamp(start.started, UTC),
        finished=datetime.fromtimestamp(finished, UTC) if finished else None,
    )


def guessing_of(folder: SearchFolder, rows: Sequence[CandidateRow], settings: Settings) -> Guessing:
    """Return what guessing reaches on the validation images, of which the records of trainings tell.

    Args:
        folder: The search.
        rows: Its candidates so far.
        settings: Its settings.

    Raises:
        RecordError: The record of the first training is missing or damaged.
    """
    key = next((row.training_key for row in rows if row.training_key), None)
    counts = read_record(folder.trainings / key).validation_counts if key is not None else None
    if counts is None:
        return NOT_KNOWN
    return Guessing(guessing_accuracy(counts.images, settings.objective.accuracy), sum(counts.images))


def _chosen(
    folder: SearchFolder, rows: list[CandidateRow], provisional: CandidateRow
) -> tuple[ChosenNetwork, float | None]:
    if not folder.chosen.is_dir():
        assert provisional.training_key is not None, "only trained networks are chosen"
        row, handed_over = provisional, None
        training = read_record(folder.trainings / provisional.training_key)
    else:
        handed_over = folder.read_chosen()
        # An earlier round may have ranked the same network without training it.
        wanted = (handed_over.round, handed_over.arch_id)
        found = [row for row in rows if (row.round, row.arch_id) == wanted]
        if not found:
            raise RecordError(
                f"{folder.chosen}: expected a network of a finished round, found {handed_over.arch_id} of round "
                f"{handed_over.round}, which is not there; restore that round with dvc checkout"
            )
        row = found[0]
        training = read_record(folder.chosen)
    accuracy = handed_over.validation_accuracy if handed_over else training.validation_accuracy
    assert accuracy is not None, "only trained networks are chosen"
    network = ChosenNetwork(
        architecture=from_json(row.architecture),
        arch_id=row.arch_id,
        round=row.round,
        validation_accuracy=accuracy,
        test_accuracy=handed_over.test_accuracy if handed_over else None,
        retrained_epochs=handed_over.retrained_epochs if handed_over else None,
        memory=row.memory,
        history=training.history,
        validation_counts=training.validation_counts,
        test_counts=handed_over.test_counts if handed_over else None,
    )
    return network, handed_over.finished if handed_over else None
