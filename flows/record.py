"""A search in MLflow: what it is called there, and a finished one whose record was lost."""

from datetime import UTC, datetime
from pathlib import Path

from flows.start import Plan
from memnas_core.results.folder import Start
from memnas_core.settings.schema import Settings
from memnas_core.settings.words import in_words
from tasks.tracking.location import is_own, lacks_search
from tasks.tracking.store import without_secrets
from tasks.versioning.project import COMMIT

LONGEST_MODEL_NAME = 200  # MLflow's column takes 256 characters
_NOT_IN_MODEL_NAMES = str.maketrans(dict.fromkeys("/:.%\"'", "-"))


def names(plan: Plan, start: Start) -> tuple[str, str]:
    """Return what MLflow calls a search, and no other there, and the registered model of all searches of its name."""
    begun = datetime.fromtimestamp(start.started, UTC)
    model = f"{plan.settings.tracking.experiment}-{plan.name}"[:LONGEST_MODEL_NAME].translate(_NOT_IN_MODEL_NAMES)
    return f"{plan.name} {begun:%Y-%m-%d %H:%M:%S} {start.id}", model


def shown_settings(settings: Settings) -> dict[str, str]:
    """Return the settings as all readers of MLflow may see them, without the tracking password."""
    return in_words(without_secrets(settings))


def tags_of(plan: Plan, start: Start, model: str, flow_run: str | None = None) -> dict[str, str]:
    """Return the tags of a search's run, by the names that MLflow's pages know where they know any.

    Args:
        plan: The search.
        start: What it began with.
        model: Name of its registered model.
        flow_run: Id of the Prefect flow run; None where a finished search is logged again.
    """
    data, settings = start.dataset, plan.settings
    found = {
        "folder": str(plan.folder.path),
        "model": model,
        "mlflow.note.content": (
            f"Search for an image classifier: {data.source}; {len(data.classes)} classes, {data.train_size:,} training "
            f"images; {settings.search.rounds} rounds, λ = {settings.objective.accuracy_weight}. The network that it "
            f"hands over is a version of the registered model {model}; front and report are among the artifacts."
        ),
    }
    commit, _, changed = dict(start.versions).get(COMMIT, "").partition("-")
    if commit:
        found |= {"mlflow.source.git.commit": commit, "mlflow.source.git.dirty": str(bool(changed)).lower()}
    return found | ({"prefect.flow_run_id": flow_run} if flow_run else {})


def log_lost_search(plan: Plan) -> bool:
    """Log a finished search again where the store's own database lacks it; return whether that was so.

    Nothing is trained and no images are needed: all of it is in the search's folder.

    Raises:
        TrackingError: The database cannot be opened.
        StorageError: It cannot be written.
        ResumeError: Another process does the same.
    """
    settings, folder, store = plan.settings, plan.folder, Path(plan.settings.store)
    if not folder.chosen.is_dir():
        return False
    label, model = names(plan, folder.start())
    if not is_own(settings.tracking.uri, store) or not lacks_search(store, label):
        return False
    # MLflow and torch take seconds to import, and a record is rarely lost.
    from tasks.missing_records import MissingRecords
    from tasks.recording import log_beginning, log_chosen
    from tasks.session import RecordedSearch
    from tasks.tracking.tracker import Tracker

    with folder.locked():
        tracker = Tracker.connect(settings.tracking.uri, store, settings.tracking.experiment)
        search = RecordedSearch(settings, folder, store, folder.start().dataset, tracker)
        search.model = model
        with tracker.search(label, shown_settings(settings), tags_of(plan, folder.start(), model)) as search.run:
            log_beginning(search)
            missing = MissingRecords(search)
            for summary, rows in folder.rounds():
                missing.accept(summary, rows)
            missing.close()
            chosen = folder.read_chosen()
            row = next(row for row in search.state.rows if row.arch_id == chosen.arch_id)
            log_chosen(search, row, chosen, folder.chosen)
    return True
