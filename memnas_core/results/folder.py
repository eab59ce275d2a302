"""The folder of one search: what is in it, and how a search starts or goes on there.

settings.yaml                     what the search was told
start.json                        data set, versions and machine
trainings/KEY/                    finished trainings (memnas_core.training.job)
rounds/round-NN/                  candidates.parquet, round.json, weights/ID.safetensors; versioned by DVC
rounds.csv, candidates.csv, front.csv, metrics.json
chosen/                           chosen.json, architecture.json, training.json, weights.safetensors, pictures,
                                  classes.csv
report.html

Each training, each round, `chosen` and a finished search have a file SHA256SUMS (memnas_core.files.checksums).
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from memnas_core.data import DatasetInfo
from memnas_core.errors import RecordError, ResumeError, SettingsError
from memnas_core.files.checksums import SUMS_FILE, check_sums, write_sums
from memnas_core.files.flat import flat
from memnas_core.files.locks import exclusive
from memnas_core.files.untrusted import Kind, UnixTime, parse_record, read_text
from memnas_core.files.writing import new_folder, storage_errors, write_text
from memnas_core.records.candidates import CandidateRow, read_candidates, write_candidates
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.plausible import implausible
from memnas_core.records.rounds import RoundSummary, round_from_json, round_to_json
from memnas_core.settings.file import dump_settings, load_settings
from memnas_core.settings.schema import Settings
from memnas_core.settings.words import differing_keys
from memnas_core.training.record import RECORD_FILE, WEIGHTS_FILE, trained_weights

TABLE_FILE = "candidates.parquet"
SUMMARY_FILE = "round.json"
REMEDY = "go on with --resume, which makes the round again from its trainings"
FRONT_FILE = "front.csv"
TABLES = ("rounds.csv", "candidates.csv", FRONT_FILE)


@dataclass(frozen=True, slots=True)
class Start:
    """What a search began with.

    Attributes:
        dataset: The prepared data.
        versions: Name and version of Python and the packages that matter.
        machine: The machine in a few words.
        started: Unix time.
        images: Fingerprint of the folder of images that were prepared; empty for named data sets and in earlier files.
    """

    dataset: DatasetInfo
    versions: tuple[tuple[str, str], ...]
    machine: str
    started: UnixTime
    images: str = field(default="", kw_only=True)

    @property
    def id(self) -> str:
        """Eight digits that tell searches apart which have the same name and began in the same second."""
        return hashlib.sha256(f"{self.started!r} {self.machine} {self.dataset.digest}".encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class _StartFile(Start):
    """The content of `start.json`.

    Attributes:
        settings: Digest of what the search was told.
    """

    settings: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The network that a search hands over: the content of `chosen.json`.

    Attributes:
        arch_id: Id of the architecture.
        round: The round that trained it.
        validation_accuracy: Accuracy on the validation images, by the measure of the settings, in [0, 1]: of the
            weights handed over or, where those were trained on these images too, of those that it was chosen by.
        test_accuracy: Accuracy of the weights handed over, measured once, in [0, 1].
        retrained_epochs: Epochs of the retraining; null where the search's own weights are kept.
        finished: Unix time.
        test_counts: Results on the test images by class; null in earlier files.
    """

    arch_id: str
    round: int
    validation_accuracy: float
    test_accuracy: float
    retrained_epochs: int | None
    finished: UnixTime
    test_counts: ClassCounts | None = None


class SearchFolder:
    """Reads and writes the files of one search."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trainings = path / "trainings"
        self.chosen = path / "chosen"
        self.report = path / "report.html"
        self._settings = path / "settings.yaml"
        self._start = path / "start.json"
        self._metrics = path / "metrics.json"

    @property
    def exists(self) -> bool:
        """Whether a search was begun here."""
        return self._settings.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether a search was brought to its end here."""
        return self._metrics.is_file()

    @property
    def beginning(self) -> tuple[Path, Path]:
        """The files that say what the search was told and what it began with."""
        return self._settings, self._start

    def settings(self) -> Settings:
        """Return what the search was told.

        Raises:
            ResumeError: There is no search here.
        """
        if not self.exists:
            raise ResumeError(f"{self.path}: expected the folder of a search, found no settings.yaml")
        return load_settings(self._settings)

    def check(self, settings: Settings, resume: bool) -> None:
        """Refuse to start a search where another one is; nothing is written.

        Args:
            settings: What the search is told.
            resume: Whether a search that is here may go on.

        Raises:
            ResumeError: A search is here and may not go on, or was told something else; or other files are.
        """
        if not self.exists:
            ours = {self.trainings.name, self._start.name}  # a search that ended while it began leaves them
            found = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
            if any(name not in ours and not name.startswith(".") for name in found):
                raise ResumeError(
                    f"{self.path}: expected a search or nothing, found other files; choose another --name"
                )
            return
        theirs = self._told(settings)
        if settings.result_digest() != theirs.result_digest():
            differing = "; ".join(differing_keys(settings, theirs)[:3])
            raise ResumeError(
                f"{self.path}: expected the settings of the search that is there, found others ({differing}); "
                "go on with the same ones, or choose another --name"
            )
        if not resume:
            state = "a finished search" if self.is_finished else "an unfinished search"
            raise ResumeError(
                f"{self.path}: expected no search of that name, found {state}; add --resume to go on with it, or "
                "choose another --name"
            )

    def begin(self, settings: Settings, start: Start) -> None:
        """Make the folder and note what the search is told, unless a search was begun here.

        Raises:
            ResumeError: The data are not those that the search began with.
            StorageError: The disk is full or the folder not writable.
        """
        with storage_errors(self.path):
            self.trainings.mkdir(parents=True, exist_ok=True)
        if self.exists:
            self._mend(settings, start)
            begun = self.start()
            if begun.dataset.digest != start.dataset.digest:
                raise ResumeError(
                    f"{self.path}: expected the data that the search began with ({begun.dataset.digest[:12]}), found "
                    f"others ({start.dataset.digest[:12]}); restore them, or choose another --name"
                )
            if begun.images != start.images:  # the same images in other files
                self._write_start(settings, replace(begun, images=start.images))
            self._remove_leftovers()
            return
        self._write_start(settings, start)
        write_text(self._settings, dump_settings(settings))  # last: it is what makes this a search

    def _write_start(self, settings: Settings, start: Start) -> None:
        document = {
            "dataset": json.loads(start.dataset.to_json()),
            "versions": start.versions,
            "machine": start.machine,
            "started": start.started,
            "images": start.images,
            "settings": settings.result_digest(),
        }
        write_text(self._start, json.dumps(document, indent=1) + "\n")

    def _told(self, settings: Settings) -> Settings:
        """Return what the search that is here was told; where `settings.yaml` is damaged, what it is told now.

        Raises:
            ResumeError: It is damaged, and the digest in `start.json` is not that of what the search is told now.
        """
        digest, error = self._settings_digest(), None
        try:
            theirs = self.settings()
            if digest in (None, theirs.result_digest()):
                return theirs
        except SettingsError as found:
            error = found
        if digest == settings.result_digest():
            return settings
        reason = error or f"{self._settings}: expected the settings that the search began with, found others"
        raise ResumeError(f"{reason}; restore the file, or choose another --name") from error

    def _settings_digest(self) -> str | None:
        """Return the digest of what the search was told; None where it is not known."""
        try:
            return self._read_start().settings
        except RecordError:
            return None

    def _mend(self, settings: Settings, start: Start) -> None:
        """Write `settings.yaml` or `start.json` again if damaged: each is known from what the search is told now."""
        if self._settings_digest() == settings.result_digest() and not self._has(settings):
            write_text(self._settings, dump_settings(settings))
        try:
            self.start()
        except RecordError:
            self._write_start(settings, replace(start, started=self._settings.stat().st_mtime))

    def _has(self, settings: Settings) -> bool:
        try:
            return self.settings().result_digest() == settings.result_digest()
        except SettingsError:
            return False

    def start(self) -> Start:
        """Return what the search began with.

        Raises:
            RecordError: `start.json` is missing or damaged.
        """
        found = self._read_start()
        return Start(found.dataset, found.versions, found.machine, found.started, images=found.images)

    def _read_start(self) -> "_StartFile":
        return _read(self._start, _StartFile, "what a search began with")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one process.

        Raises:
            ResumeError: Another process holds it.
        """
        busy = ResumeError(
            f"{self.path}: another memnas process is running this search; wait for it or choose another --name"
        )
        with exclusive(self.path.parent / f".{self.path.name}.lock", busy):
            yield

    def _remove_leftovers(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.path, self.trainings, self.path / "rounds"):
            for path in folder.glob(".*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def round_folder(self, number: int) -> Path:
        """Return where a round's record is."""
        return self.path / "rounds" / f"round-{number:02d}"

    def weights(self, number: int, arch_id: str) -> Path:
        """Return where the weights of a trained candidate are."""
        return self.round_folder(number) / "weights" / f"{arch_id}.safetensors"

    def write_round(self, summary: RoundSummary, rows: Sequence[CandidateRow], trainings: dict[str, Path]) -> None:
        """Put a finished round in its place, all of it or nothing.

        Args:
            summary: The round in one line.
            rows: All its candidates.
            trainings: Folder of each finished training, by id.

        Raises:
            StorageError: The disk is full or the folder not writable.
        """
        with new_folder(self.round_folder(summary.round)) as folder:
            (folder / "weights").mkdir()
            for arch_id, training in trainings.items():
                shutil.copyfile(trained_weights(training), folder / "weights" / f"{arch_id}.safetensors")
            write_candidates(folder / TABLE_FILE, rows)
            (folder / SUMMARY_FILE).write_text(round_to_json(summary), encoding="utf-8")
            write_sums(folder)

    def round_numbers(self) -> Iterator[int]:
        """Yield the numbers of the finished rounds in order."""
        number = 0
        while self.round_folder(number).is_dir():
            yield number
            number += 1

    def rounds(self) -> Iterator[tuple[RoundSummary, tuple[CandidateRow, ...]]]:
        """Yield the finished rounds in order.

        Raises:
            RecordError: A record is damaged.
        """
        for number in self.round_numbers():
            folder = self.round_folder(number)
            path = folder / SUMMARY_FILE
            try:
                check_sums(folder, [SUMMARY_FILE, TABLE_FILE])
                summary = round_from_json(read_text(path), str(path))
            except (OSError, UnicodeDecodeError, RecordError) as error:
                found = str(error) if isinstance(error, RecordError) else f"{path}: {error}"
                raise RecordError(f"{found}; {REMEDY}") from error
            yield summary, read_candidates(folder / TABLE_FILE)

    def write_tables(self, rounds: Sequence[RoundSummary], candidates: Sequence[CandidateRow]) -> None:
        """Write `rounds.csv`, and `candidates.csv` with the candidates whose training was begun."""
        write_text(self.path / "rounds.csv", _csv(rounds))
        write_text(self.path / "candidates.csv", _csv([row for row in candidates if row.training_seconds is not None]))

    def write_front(self, front: Sequence[CandidateRow]) -> None:
        """Write `front.csv`, the Pareto front over all trained candidates."""
        write_text(self.path / FRONT_FILE, _csv(front))

    def write_chosen(self, chosen: Chosen, training: Path, texts: Mapping[str, str]) -> None:
        """Put the chosen network in its place.

        Args:
            chosen: The figures.
            training: Folder of the training that gave the weights.
            texts: Name and content of further files: the architecture and pictures.

        Raises:
            StorageError: The disk is full or the folder not writable.
        """
        with new_folder(self.chosen) as folder:
            for name in (RECORD_FILE, WEIGHTS_FILE):
                shutil.copyfile(training / name, folder / name)
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            (folder / "chosen.json").write_text(json.dumps(asdict(chosen), indent=1), encoding="utf-8")
            write_sums(folder)

    def read_chosen(self) -> Chosen:
        """Return the chosen network's figures.

        Raises:
            RecordError: The search is not finished, or the file is damaged.
        """
        path, what = self.chosen / "chosen.json", "the figures of the chosen network"
        chosen = _read(path, Chosen, what)
        if (found := implausible(chosen)) is not None:
            raise RecordError(f"{path}: expected {what}, found {found}")
        return chosen

    def write_metrics(self, metrics: dict[str, object]) -> None:
        """Write `metrics.json`, whose presence marks a search as finished, and the checksums of all that it leaves."""
        write_text(self._metrics, json.dumps(metrics, indent=1) + "\n")
        files = [self._settings, self._start, self._metrics, *(self.path / name for name in TABLES)]
        folders = [self.chosen, *(self.round_folder(number) for number in self.round_numbers())]
        files += [folder / SUMS_FILE for folder in folders]
        with storage_errors(self.path):
            write_sums(self.path, [path.relative_to(self.path).as_posix() for path in files if path.exists()])


def _read(path: Path, kind: type[Kind], what: str) -> Kind:
    try:
        return parse_record(read_text(path), kind)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: expected {what}, found {error}") from error


def _csv(rows: Sequence[CandidateRow] | Sequence[RoundSummary]) -> str:
    if not rows:
        return ""
    documents = [flat(row) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, documents[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents)
    return out.getvalue()
