"""Finding a trained network in the store by what a person calls it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from yaml import YAMLError

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json
from memnas_core.data.dataset import INFO_FILE, SPLITS, DatasetInfo
from memnas_core.errors import InputError, RecordError
from memnas_core.reading import read_text
from memnas_core.records import CandidateRow, Status
from memnas_core.result_folder import SearchFolder, Start
from memnas_core.training_records import WEIGHTS_FILE
from memnas_core.yaml_reader import read_yaml


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network with its weights and what is recorded about it.

    Attributes:
        search: Name of the search.
        row: Its line in the table of candidates.
        weights: The file.
        validation_accuracy: Of these weights, in [0, 1].
        test_accuracy: Of these weights, in [0, 1]; None where the search did not measure it.
        retrained_epochs: Epochs of the retraining at the search's end; None where the search's own weights are meant.
        settings: What the search was told, `section.key` -> value, as it was written down then.
        start: What it began with.
        dataset: Folder of the prepared images.
    """

    search: str
    row: CandidateRow
    weights: Path
    validation_accuracy: float
    test_accuracy: float | None
    retrained_epochs: int | None
    settings: Mapping[str, str]
    start: Start
    dataset: Path

    @property
    def architecture(self) -> Architecture:
        """The network's architecture."""
        return from_json(self.row.architecture, source=f"the table of candidates of {self.search}")

    @property
    def info(self) -> DatasetInfo:
        """Facts about the images."""
        return self.start.dataset


def find_trained(store: Path, target: str) -> TrainedNetwork:
    """Return the network that a person means.

    Args:
        store: The store of the settings.
        target: `SEARCH` for the network that a search handed over, `SEARCH/ID` for a candidate with the weights
            that the search gave it, or `ID` where only one search trained it; the first digits of an id suffice.

    Raises:
        InputError: There is no such network, or several; the message names the nearest.
        RecordError: What the search recorded is damaged, or its weights or images are not on disk.
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
    return _trained(store, name, folder, rows[-1], folder.chosen / WEIGHTS_FILE, accuracies)


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
    start = folder.start()
    dataset = _dataset(store, start.dataset, search)
    return TrainedNetwork(search, row, weights, *accuracies, _settings(folder), start, dataset)


def _settings(folder: SearchFolder) -> dict[str, str]:
    """Read the settings as text: a search of an older memnas, with other keys, can be exported too."""
    path = folder.path / "settings.yaml"
    try:
        document = read_yaml(read_text(path))
    except (OSError, ValueError, YAMLError) as error:
        raise RecordError(f"{path}: expected the settings of a search, found {error}") from error
    sections = document.items() if isinstance(document, dict) else ()
    return {
        f"{section}.{key}": str(value)
        for section, values in sections
        if isinstance(values, dict)
        for key, value in values.items()
    }


def _dataset(store: Path, info: DatasetInfo, search: str) -> Path:
    """Return the folder of the images that a search was told; export needs them for calibration and its check."""
    for path in sorted((store / "data").glob(f"*/{INFO_FILE}")):
        is_whole = all((path.parent / f"{name}.arrow").is_file() for name in SPLITS)
        try:
            digest = DatasetInfo.from_json(read_text(path)).digest
        except (OSError, UnicodeDecodeError, RecordError):
            continue  # damaged: `prepare_dataset` will make it anew when a search needs it
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
