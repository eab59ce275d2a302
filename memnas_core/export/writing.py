"""From a trained network to a checked file with its card, data sheet and test vectors."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from memnas_core.export.budget_check import BudgetCheck, compare_with_budget
from memnas_core.export.card import file_facts, model_card
from memnas_core.export.check import check_file
from memnas_core.export.exported import Exported
from memnas_core.export.file_format import ExportError, FileFormat, OpenedFile, export_errors
from memnas_core.export.images import calibration_images, check_images
from memnas_core.export.sheet import data_sheet, vector_names
from memnas_core.export.store import TrainedNetwork
from memnas_core.export.vectors import make_vectors
from memnas_core.files.writing import replacing, storage_errors
from memnas_core.objective.budget import budget_of
from memnas_core.training.deployed import deploy
from memnas_core.training.worker import load_network


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A network's file on disk, and what is known of it.

    Attributes:
        path: The file; its model card is `path` with `.md` behind it, its data sheet with `.json`.
        exported: The file, opened with its runtime, and the result of running it on test images.
        activation_bytes: Memory that its runtime reserves for activations, planned or predicted; None: nobody knows.
        activation_words: The same in words.
        budget: Comparison with the budget of the search.
    """

    path: Path
    exported: Exported
    activation_bytes: int | None
    activation_words: str
    budget: BudgetCheck

    @property
    def bytes(self) -> int:
        """Size of the file in bytes."""
        return len(self.exported.content)

    def check_budget(self) -> None:
        """Refuse a file beyond the budget of the search; it stays where it is.

        Raises:
            ExportError: It is beyond; the message says by how much and what to do.
        """
        trained = self.exported.trained
        if self.budget.beyond:
            raise ExportError(
                f"{self.path}: expected a file within the budget of search {trained.search}, found "
                f"{' and '.join(str(use) for use in self.budget.beyond)}; the file is kept"
                f"{_advice(trained, self.exported.int8)}"
            )


def write_export(trained: TrainedNetwork, wanted: FileFormat, int8: bool, path: Path) -> WrittenFile:
    """Write a network, run the file on test images, and write what goes with it. All files appear, or none.

    Args:
        trained: The network and its record; the images of the search are read.
        wanted: Format of the file.
        int8: Whether to quantise weights and activations, on training images.
        path: The model's file; card, data sheet and test vectors lie beside it.

    Raises:
        ExportError: The format cannot take the network, or the file does not compute what the network computes.
        RecordError: Weights or images are not on disk.
        StorageError: The files cannot be written.
    """
    folder, name = path.parent, path.name
    network = load_network(trained.architecture, trained.weights, trained.info)
    deployed = deploy(network)
    images, labels = check_images(trained)
    with ExitStack() as stack:
        stack.enter_context(storage_errors(folder))
        card_file = stack.enter_context(replacing(folder / f"{name}.md"))
        sheet_file = stack.enter_context(replacing(folder / f"{name}.json"))
        vector_files = {
            what: stack.enter_context(replacing(folder / file)) for what, file in vector_names(name).items()
        }
        model_file = stack.enter_context(replacing(path))
        with export_errors(wanted, trained.row.arch_id):
            content = wanted.write(deployed, calibration_images(trained), int8, file_facts(trained, int8))
            model_file.write_bytes(content)
            opened = wanted.open(model_file, int8)
            result = check_file(opened, network, images, labels, exact=not int8)
            vectors = make_vectors(trained, opened)
        exported = Exported(trained, wanted, int8, name, content, opened, result, vectors)
        card_file.write_text(model_card(exported, deployed.graph, deployed.least), encoding="utf-8")
        sheet_file.write_text(data_sheet(exported), encoding="utf-8")
        for what, array in vectors.arrays().items():
            vector_files[what].write_bytes(array)
    reserved, words = _activations(opened, wanted.predicted_bytes(deployed.graph, int8))
    check = compare_with_budget(budget_of(trained.settings.objective), len(content), reserved)
    return WrittenFile(path, exported, reserved, words, check)


def _activations(opened: OpenedFile, predicted: int | None) -> tuple[int | None, str]:
    """Return the bytes of activations, None where nobody knows, and words for them."""
    if opened.planned_bytes is not None:
        return opened.planned_bytes, f"{opened.planned_bytes:,} bytes planned for {opened.runtime}"
    if predicted is not None:
        return predicted, f"{predicted:,} bytes predicted; {opened.runtime} tells no plan"
    return None, f"unknown; {opened.runtime} tells no plan"


def _advice(trained: TrainedNetwork, int8: bool) -> str:
    """Return what to do about a file that is too large."""
    if not int8 and trained.settings.objective.weight_bytes == 1:
        return "; the search counted int8 weights: add --int8"
    return "; a file has more in it than weights: export a smaller candidate, or search with a lower limit"
