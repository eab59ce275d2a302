"""What a search has found: tables, the Pareto front, and networks that predict and can be exported."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from memnas.choosing import PathName
from memnas_core.errors import InputError, RecordError

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from memnas_core.export.store import TrainedNetwork
    from memnas_core.export.writing import WrittenFile
    from memnas_core.memory.figures import MemoryFigures
    from memnas_core.prediction.classifier import Classifier, Prediction
    from memnas_core.records.candidates import CandidateRow
    from memnas_core.records.rounds import RoundSummary
    from memnas_core.results.folder import SearchFolder
    from memnas_core.settings.schema import Settings
    from memnas_core.space.architecture import Architecture


class SearchResult:
    """A search that was run here or by `memnas search`; what it says is read from the search's folder once.

    Attributes:
        name: Name of the search.
        path: Folder of the search.
    """

    def __init__(self, path: Path) -> None:
        """Take the folder of a search.

        Args:
            path: `STORE/searches/NAME`.
        """
        self.name = path.name
        self.path = path

    def __repr__(self) -> str:
        """Return name, extent and the chosen network."""
        trained = sum(row.measured_accuracy is not None for row in self._rows)
        network = repr(self.chosen) if self.is_finished else "none chosen yet"
        return f"<search {self.name}: {len(self._rounds) - 1} rounds, {trained} networks trained; {network}>"

    @property
    def is_finished(self) -> bool:
        """Whether the search was brought to its end; one that was not has the tables of its finished rounds."""
        return self._folder.is_finished

    @cached_property
    def settings(self) -> "Settings":
        """What the search was told."""
        return self._folder.settings()

    @cached_property
    def candidates(self) -> "pa.Table":
        """All candidates of all rounds, a row each; those that were not trained have no `measured_accuracy`.

        `memnas_core.records.candidates.CandidateRow` says what each column is.
        """
        return _table(self._rows)

    @cached_property
    def rounds(self) -> "pa.Table":
        """The rounds, a row each (`memnas_core.records.rounds.RoundSummary`)."""
        from memnas_core.files.parquet import table_of
        from memnas_core.records.rounds import RoundSummary

        return table_of(RoundSummary, self._rounds)

    @cached_property
    def front(self) -> "pa.Table":
        """The Pareto front of the trained candidates, the most accurate last; columns as in `candidates`.

        Accuracy on the validation images stands against weights and peak activations together.
        """
        from memnas_core.search.choice import front_of

        return _table(front_of(self._rows, self.settings.objective))

    @cached_property
    def chosen(self) -> "Network":
        """The network that the search hands over.

        Raises:
            InputError: The search is not finished.
            RecordError: Its record is damaged.
        """
        return self._network(self.name)

    @property
    def report(self) -> Path:
        """The report, a page of HTML."""
        return self._folder.report

    def network(self, arch_id: str) -> "Network":
        """Return a trained candidate with its weights from the search.

        Args:
            arch_id: Its id, or the first digits of it.

        Raises:
            InputError: There is no such network, or several.
            RecordError: Its record is damaged, or its weights are not on disk.
        """
        return self._network(f"{self.name}/{arch_id}")

    def _network(self, target: str) -> "Network":
        from memnas_core.export.store import find_trained

        return Network(find_trained(self.path.parents[1], target))

    @cached_property
    def _folder(self) -> "SearchFolder":
        from memnas_core.results.folder import SearchFolder

        return SearchFolder(self.path)

    @cached_property
    def _finished_rounds(self) -> "Sequence[tuple[RoundSummary, Sequence[CandidateRow]]]":
        return tuple(self._folder.rounds())

    @property
    def _rounds(self) -> "list[RoundSummary]":
        return [summary for summary, _ in self._finished_rounds]

    @property
    def _rows(self) -> "list[CandidateRow]":
        return [row for _, rows in self._finished_rounds for row in rows]


class Network:
    """A trained network.

    Attributes:
        trained: The network with its weights and all that is recorded about it.
    """

    def __init__(self, trained: "TrainedNetwork") -> None:
        self.trained = trained

    def __repr__(self) -> str:
        """Return id and figures."""
        return f"<network {self.arch_id[:8]}: accuracy {self.accuracy:.4f}, {self.bytes:,} bytes>"

    @property
    def arch_id(self) -> str:
        """Id of the architecture."""
        return self.trained.row.arch_id

    @property
    def architecture(self) -> "Architecture":
        """The architecture."""
        return self.trained.architecture

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of every class, in the order of the network's outputs."""
        return self.trained.info.classes

    @property
    def accuracy(self) -> float:
        """Accuracy in [0, 1], on the test images where it was measured: of the chosen network alone.

        Of others it is that on the validation images, by which networks are chosen.
        """
        return self.validation_accuracy if self.test_accuracy is None else self.test_accuracy

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on the validation images, in [0, 1]."""
        return self.trained.validation_accuracy

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test images, in [0, 1]; None for all but the chosen network, as they are looked at once."""
        return self.trained.test_accuracy

    @property
    def memory(self) -> "MemoryFigures":
        """Bytes of the weights, and of the activations under every convention."""
        return self.trained.row.memory

    @property
    def param_bytes(self) -> int:
        """Bytes of the weights, at the width that the settings count."""
        return self.memory.param_bytes

    @property
    def activation_bytes(self) -> int:
        """Peak of the activations in bytes, by the convention of the settings."""
        return self.memory.activation_bytes(self.trained.settings.objective.activation_convention)

    @property
    def bytes(self) -> int:
        """Weights and peak activations together, in bytes: what the search weighs against accuracy."""
        return self.param_bytes + self.activation_bytes

    def module(self) -> "nn.Module":
        """Return the network as a torch module in evaluation mode, on the CPU; each call makes a new one.

        It maps normalised images, shape (n, channels, height, width), to scores of the classes, shape (n, classes):
        (pixel / 255 - mean) / std in each channel, with the mean and std of `trained.info`.

        Raises:
            RecordError: The weights cannot be read.
        """
        from memnas_core.training.worker import load_network

        return load_network(self.architecture, self.trained.weights, self.trained.info)

    @cached_property
    def classifier(self) -> "Classifier":
        """The network with the preprocessing of the search, from files of images to classes."""
        from memnas_core.prediction.classifier import Classifier
        from memnas_core.prediction.image_network import ImageNetwork

        info, data = self.trained.info, self.trained.settings.data
        return Classifier(ImageNetwork(self.module(), info), info, data.max_pixels)

    def predict(self, paths: Iterable[PathName]) -> "list[Prediction]":
        """Return class and scores of each image.

        Args:
            paths: Files of images of any size; each is turned, cut and resized as the images of the search were.

        Raises:
            DataError: A file cannot be read.
        """
        return self.classifier.predict([Path(path) for path in paths])

    def export(
        self,
        path: PathName,
        format: str | None = None,
        *,
        int8: bool = False,
        target: str | None = None,
    ) -> "WrittenFile":
        """Write the network as a file that a runtime executes, and check it by running it on test images.

        A model card, a data sheet and test vectors appear beside it (docs/export.md).

        Args:
            path: The file to write or replace.
            format: `onnx`, `executorch`, `pt2` or `c`; None: by the ending of the path: `.onnx`, `.pte`, `.pt2`, `.c`.
            int8: Whether to quantise weights and activations to 8 bits, on training images; C always is.
            target: Processor core for an int8 program of ExecuTorch, such as `cortex-m4`.

        Raises:
            InputError: The format is unknown or its packages are missing, or something else is at the path.
            ExportError: The file does not compute what the network computes, or is beyond the budget of the search.
            RecordError: The images of the search are not on disk.
            StorageError: The file cannot be written.
        """
        from memnas_core.export.file_format import FORMATS, check_extra
        from memnas_core.export.target import for_target
        from memnas_core.export.writing import write_export
        from memnas_core.files.outputs import refuse_special

        path = Path(path).expanduser()
        if format is None:
            fitting = [name for name in FORMATS if path.name.endswith(FORMATS[name].suffix)]
            if not fitting:
                endings = ", ".join(FORMATS[name].suffix for name in FORMATS)
                raise InputError(f"{path}: expected a name that ends in one of {endings}, or format=, found neither")
            format = max(fitting, key=lambda name: len(FORMATS[name].suffix))
        wanted = FORMATS[format]
        int8 = int8 or wanted.int8_only
        check_extra(wanted, int8)
        for name in (path.name, *wanted.beside(path.name), f"{path.name}.md"):
            refuse_special(path.with_name(name), "path")
        wanted = for_target(wanted, int8, target, self.trained.settings.objective.device)
        written = write_export(self.trained, wanted, int8, path)
        written.check_budget()
        return written


def load(search: PathName, store: PathName = "store") -> SearchResult:
    """Return what a search has found so far, whether it was run by `memnas search` or `memnas.search`.

    Args:
        search: Name of the search, or its folder, `STORE/searches/NAME`.
        store: Folder of the store, for a name.

    Raises:
        InputError: There is no such search.
        RecordError: It has no finished round.
    """
    from memnas_core.results.folder import SearchFolder

    path = Path(search).expanduser()
    if not SearchFolder(path).exists:
        path = Path(store).expanduser() / "searches" / path
    folder = SearchFolder(path)
    if not folder.exists:
        there = ", ".join(sorted(found.parent.name for found in Path(store).glob("searches/[!.]*/settings.yaml")))
        raise InputError(f"{search}: expected a search in {store} or its folder, found {there or 'none'}")
    if next(iter(folder.round_numbers()), None) is None:
        raise RecordError(f"{path}: expected at least one finished round, found none; call memnas.search again")
    return SearchResult(path.absolute())


def _table(rows: "Sequence[CandidateRow]") -> "pa.Table":
    from memnas_core.files.parquet import table_of
    from memnas_core.records.candidates import CandidateRow

    return table_of(CandidateRow, rows)
