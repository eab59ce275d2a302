"""Finding a trained network in the store by the name that a user gives."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from memnas_core.data.dataset import INFO_FILE, SPLITS, DatasetInfo
from memnas_core.errors import InputError, RecordError
from memnas_core.files.untrusted import read_text
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.trainings import Status
from memnas_core.results.folder import SearchFolder, Start
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json
from memnas_core.training.record import WEIGHTS_FILE


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network with its weights and what is recorded about it.

    Attributes:
        search: Name of the search.
        row: The network's row in the table of candidates.
        weights: File of the weights.
        validation_accuracy: Validation accuracy by the measure of the settings, in [0, 1]: of these weights or, where
            they were trained on these images too, of those that the search chose the network by.
        test_accuracy: Test accuracy of these weights, in [0, 1]; None if the search did not measure it.
        retrained_epochs: Epochs of the retraining at the search's end; None if the weights are from the search itself.
        settings: Settings of the search as they were recorded, `section.key` -> value.
        start: Record of the search's start.
        store: Folder of the store.
        test_counts: Results on the test images by class; None if the search did not measure or keep them.
    """

    search: str
    row: CandidateRow
    weights: Path
    validation_accuracy: float
    test_accuracy: float | None
    retrained_epochs: int | None
    settings: Settings
    start: Start
    store: Path
    test_counts: ClassCounts | None = None

    @property
    def architecture(self) -> Architecture:
        """Architecture of the network."""
        return from_json(self.row.architecture, source=f"the table of candidates of {self.search}")

    @property
    def info(self) -> DatasetInfo:
        """Facts about the images."""
        return self.start.dataset

    @property
    def dataset(self) -> Path:
        """Folder of the prepared images.

        Raises:
            RecordError: They are not on disk.
        """
        return _dataset(self.store, self.info, self.search)


def find_trained(store: Path, target: str) -> TrainedNetwork:
    """Return the trained network that a user means.

    Args:
        store: Folder of the store, as in the settings.
        target: `SEARCH` for the network that a search chose, `SEARCH/ID` for a candidate with the weights from the
            search, or `ID` if only one search trained it; the first digits of an id suffice.

    Raises:
        InputError: There is no such network, or several; the message names the nearest.
        RecordError: The record of the search is damaged, or its weights are not on disk.
    """
    searches = _searches(store)
    name, slash, digits = target.partition("/")
    if name in searches and not digits:
        return _chosen(store, name, searches[name])
    if not slash:
        name, digits = "", target
    elif name not in searches:
        raise _unknown(target, searches, f"no search of the name {name!r}")
    within = {name: searches[name]} if name else searches
    found = {
        (search, row.arch_id): row
        for search, folder in within.items()
        for row in _trained_rows(folder)
        if digits and row.arch_id.startswith(digits.lower())
    }
    if not found:
        raise _unknown(target, within, "no trained network")
    if len(found) > 1:
        names = ", ".join(f"{search}/{arch_id}" for search, arch_id in list(found)[:4])
        raise InputError(f"{target!r}: expected one network, found {len(found)}; give one of {names}")
    (((search, _), row),) = found.items()
    folder = searches[search]
    assert row.measured_accuracy is not None, "trained"
    weights = folder.weights(row.round, row.arch_id)
    return _trained(store, search, folder, row, weights, (row.measured_accuracy, None, None))


def _searches(store: Path) -> dict[str, SearchFolder]:
    folders = [SearchFolder(path) for path in sorted((store / "searches").glob("[!.]*"))]
    found = {folder.path.name: folder for folder in folders if folder.exists}
    if not found:
        raise InputError(f"{store}: expected a store with searches, found none; run memnas search, or --set store=DIR")
    return found


def _trained_rows(folder: SearchFolder) -> Iterator[CandidateRow]:
    for _, rows in folder.rounds():
        yield from (row for row in rows if row.status is Status.TRAINED)


def _chosen(store: Path, name: str, folder: SearchFolder) -> TrainedNetwork:
    if not folder.is_finished:
        raise InputError(
            f"search {name!r}: expected a finished one, found one without a chosen network; go on with it with memnas "
            f"search --name {name} --resume, or name a candidate: {name}/ID"
        )
    chosen = folder.read_chosen()
    rows = [row for row in _trained_rows(folder) if row.arch_id == chosen.arch_id]
    if not rows:
        raise RecordError(f"{folder.path}: expected the chosen network {chosen.arch_id} among its candidates")
    accuracies = (chosen.validation_accuracy, chosen.test_accuracy, chosen.retrained_epochs)
    trained = _trained(store, name, folder, rows[-1], folder.chosen / WEIGHTS_FILE, accuracies)
    return replace(trained, test_counts=chosen.test_counts)


def _trained(
    store: Path,
    search: str,
    folder: SearchFolder,
    row: CandidateRow,
    weights: Path,
    accuracies: tuple[float, float | None, int | None],
) -> TrainedNetwork:
    if not weights.is_file():
        raise RecordError(f"{weights}: expected the weights of {row.arch_id}, found none; restore them: dvc checkout")
    return TrainedNetwork(search, row, weights, *accuracies, folder.settings(), folder.start(), store)


def _dataset(store: Path, info: DatasetInfo, search: str) -> Path:
    """Return the folder of a search's images, which an export needs for calibration and check."""
    for path in sorted((store / "data").glob(f"*/{INFO_FILE}")):
        is_whole = all((path.parent / f"{name}.arrow").is_file() for name in SPLITS)
        try:
            digest = DatasetInfo.from_json(read_text(path)).digest
        except (OSError, UnicodeDecodeError, RecordError):
            continue  # damaged; `prepare_dataset` makes it anew when a search needs it
        if is_whole and digest == info.digest:
            return path.parent
    raise RecordError(
        f"{store / 'data'}: expected the images of search {search!r} ({info.name}, digest {info.digest[:12]}), found "
        "none; restore them with dvc checkout, or run a search with the same data settings, which prepares them"
    )


def _unknown(target: str, searches: dict[str, SearchFolder], what: str) -> InputError:
    ids = [(name, row.arch_id) for name, folder in searches.items() for row in _trained_rows(folder)]
    wanted = target.rpartition("/")[2]
    near = get_close_matches(target, searches, n=3, cutoff=0.4)
    near += [
        f"{name}/{arch_id}"
        for name, arch_id in ids
        if arch_id[: len(wanted)] in get_close_matches(wanted, [other[: len(wanted)] for _, other in ids], n=3)
    ]
    known = [*searches, *(f"{name}/{arch_id}" for name, arch_id in ids)]
    return InputError(
        f"{target!r}: expected a search or a trained candidate, found {what}; "
        + (f"the nearest: {', '.join(dict.fromkeys(near[:5]))}" if near else f"there are {', '.join(known[:5])}")
    )
