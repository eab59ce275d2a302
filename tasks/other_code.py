"""Says on resume which finished trainings are made again, since other code than today's made them."""

from collections import Counter
from pathlib import Path

from memnas_core.errors import RecordError
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.results.code_versions import UNKNOWN, read_versions
from memnas_core.training.job import training_version
from memnas_core.training.record import read_record
from tasks.session import Session


def say_what_is_redone(session: Session) -> None:
    """Print a line where finished trainings of the round that was interrupted, or of the end, belong to other code."""
    current = training_version()
    versions = read_versions(session.folder.path)
    made_by = Counter(versions.at(record.started) for record in _open_trainings(session))
    made_by.pop(current, None)
    unknown = made_by.pop(UNKNOWN, 0)
    if made_by:
        names = ", ".join(sorted(made_by))
        session.display.say(
            f"{made_by.total()} finished trainings were made by other code (version {names}; this is {current}) and "
            "will be trained again. Finished rounds stay as they are."
        )
    if unknown:
        session.display.say(
            f"{unknown} finished trainings do not say which code made them (this is version {current}); those of other "
            "code will be trained again."
        )


def _open_trainings(session: Session) -> list[TrainingRecord]:
    """Return the finished trainings that the search looks for again: those that belong to no finished round."""
    rows = {row.arch_id: row for row in session.state.rows if row.status is not Status.GENERATED}
    found = []
    for record in _readable(session.folder.trainings):
        row = rows.get(record.arch_id)
        is_final = len(record.history) == session.settings.final.epochs
        if row is None or (is_final and record.key != row.training_key):
            found.append(record)
    return found


def _readable(folder: Path) -> list[TrainingRecord]:
    records = []
    for path in sorted(folder.glob("[!.]*")):
        try:
            records.append(read_record(path))
        except RecordError:  # a damaged one is trained again, which code ever made it
            continue
    return records
