"""`memnas export`: a trained network as a file for a runtime, checked by running it, with its model card."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from memnas_core.config import Settings
from memnas_core.export.model_file import ExportError, Format

if TYPE_CHECKING:
    from memnas_core.export.model_file import OpenedFile
    from memnas_core.export.store import TrainedNetwork


def export_network(settings: Settings, target: str, wanted: Format, int8: bool, output: Path | None) -> Path:
    """Write a network and its card, and say on the terminal what was measured.

    Both files appear when the check has passed, or neither does. They stay where they are beyond the search's budget.

    Args:
        settings: Name the store.
        target: `SEARCH`, `SEARCH/ID` or `ID`; see `memnas_core.export.store`.
        wanted: The format.
        int8: Whether to quantise.
        output: Folder for the files; None: `exports` in the search's folder.

    Returns:
        The model's file.

    Raises:
        InputError: There is no such network, or the packages for the format are missing.
        ExportError: The format cannot take the network, the file does not compute what the network computes, or is
            beyond the budget of the search.
        StorageError: The files cannot be written.
    """
    from memnas_core.export.model_file import check_extra
    from memnas_core.export.store import find_trained

    check_extra(wanted, int8)
    store = Path(settings.store)
    trained = find_trained(store, target)
    folder = output or store / "searches" / trained.search / "exports"
    name = f"{trained.search}-{trained.row.arch_id}{'-int8' if int8 else ''}{wanted.suffix}"
    click.echo(f"Network {trained.row.arch_id} of search {trained.search} as {wanted}{', int8' if int8 else ''} ...")

    from memnas_core.deployed import deploy
    from memnas_core.export.budget_check import check_budget, search_budget
    from memnas_core.export.card import facts, model_card
    from memnas_core.export.check import check_file
    from memnas_core.export.formats import open_file, write_file
    from memnas_core.export.images import calibration_images, check_images
    from memnas_core.export.model_file import export_errors
    from memnas_core.export.prediction import predicted_bytes
    from memnas_core.storage import replacing, storage_errors
    from memnas_core.trainer import load_network

    network = load_network(trained.architecture, trained.weights, trained.info)
    deployed = deploy(network)
    least = deployed.least
    images, labels = check_images(trained)
    with ExitStack() as stack:
        stack.enter_context(storage_errors(folder))
        card_file = stack.enter_context(replacing(folder / f"{name}.md"))
        model_file = stack.enter_context(replacing(folder / name))
        with export_errors(wanted, trained.row.arch_id):
            content = write_file(wanted, deployed, calibration_images(trained), int8, facts(trained, int8))
            model_file.write_bytes(content)
            opened = open_file(wanted, model_file, int8)
            result = check_file(opened, network, images, labels, exact=not int8)
        card = model_card(trained, deployed.graph, least, wanted, int8, (name, len(content)), opened, result)
        card_file.write_text(card, encoding="utf-8")
    predicted = predicted_bytes(wanted, deployed.graph, int8)
    activations = _activations(opened, predicted)
    click.echo(f"Card: {folder / name}.md")
    click.echo(f"File: {folder / name}")
    click.echo(f"  bytes: {len(content):,}")
    click.echo(f"  activations: {activations.words}")
    click.echo(
        f"  {opened.ran_by}, gives the class of the torch network to {result.same_classes} of {result.images} test "
        "images"
    )
    click.echo(
        f"  accuracy on them: {result.file_accuracy:.4f}, the torch network's {result.torch_accuracy:.4f}, difference "
        f"{result.accuracy_difference:+.4f}"
    )
    check = check_budget(search_budget(trained.settings), len(content), activations.bytes)
    click.echo(f"  budget of search {trained.search}: {check}")
    if check.beyond:
        raise ExportError(
            f"{folder / name}: expected a file within the budget of search {trained.search}, found "
            f"{' and '.join(str(use) for use in check.beyond)}; the file is kept{_advice(trained, int8)}"
        )
    return folder / name


class _Activations(NamedTuple):
    """Bytes of activations, None where nobody knows, and words for them."""

    bytes: int | None
    words: str


def _activations(opened: "OpenedFile", predicted: int | None) -> _Activations:
    if opened.planned_bytes is not None:
        return _Activations(opened.planned_bytes, f"{opened.planned_bytes:,} bytes planned for {opened.runtime}")
    if predicted is not None:
        return _Activations(predicted, f"{predicted:,} bytes predicted; {opened.runtime} tells no plan")
    return _Activations(None, f"unknown; {opened.runtime} tells no plan")


def _advice(trained: "TrainedNetwork", int8: bool) -> str:
    """Return what to do about a file that is too large."""
    if not int8 and trained.settings.get("objective.weight_bytes") == "1":
        return "; the search counted int8 weights: add --int8"
    return "; a file has more in it than weights: export a smaller candidate, or search with a lower limit"
