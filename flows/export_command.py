"""`memnas export`: a trained network as a file for a runtime, checked by running it, with its model card."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from flows.terminal import say
from flows.verify_command import firmware_table
from memnas_core.errors import InputError
from memnas_core.export.file_format import FORMATS, ExportError, check_extra
from memnas_core.files.outputs import refuse_special
from memnas_core.settings.schema import Settings

if TYPE_CHECKING:
    from memnas_core.export.file_format import FileFormat, OpenedFile
    from memnas_core.export.store import TrainedNetwork
    from memnas_core.firmware.emulation import Firmware


def export_network(
    settings: Settings,
    target: str,
    format_name: str,
    int8: bool,
    core: str | None,
    output: Path | None,
    verify: bool = False,
) -> Path:
    """Write a network with its card, data sheet and test vectors, and say on the terminal what was measured.

    The files appear when the check has passed, or none does. They stay where they are beyond the search's budget.

    Args:
        settings: Name the store.
        target: `SEARCH`, `SEARCH/ID` or `ID`; see `memnas_core.export.store`.
        format_name: Name of the format.
        int8: Whether to quantise.
        core: Processor core that an int8 program of ExecuTorch is for; None: that of the search's device.
        output: Folder for the files; None: `exports` in the search's folder.
        verify: Whether to run the file on emulated microcontrollers.

    Returns:
        The model's file.

    Raises:
        InputError: There is no such network, the packages for the format are missing, or it is not for this core.
        FirmwareError: The file computes something else on an emulated microcontroller, or takes other memory.
        ExportError: The format cannot take the network, the file does not compute what the network computes, or is
            beyond the budget of the search.
        StorageError: The files cannot be written.
    """
    from memnas_core.export.store import find_trained
    from memnas_core.export.target import for_target

    wanted = FORMATS[format_name]
    int8 = int8 or wanted.int8_only
    check_extra(wanted, int8)
    if verify:
        _check_emulation(wanted)
    store = Path(settings.store)
    trained = find_trained(store, target)
    wanted = for_target(wanted, int8, core, trained.settings.objective.device)
    folder = output or store / "searches" / trained.search / "exports"
    name = f"{trained.search}-{trained.row.arch_id}{'-int8' if int8 else ''}{wanted.suffix}"
    names = (name, *wanted.beside(name))
    for file in (*names, f"{name}.md"):
        refuse_special(folder / file, "--output")
    say(f"Network {trained.row.arch_id} of search {trained.search} as {wanted}{', int8' if int8 else ''} ...")

    from memnas_core.export.budget_check import compare_with_budget
    from memnas_core.export.card import file_facts, model_card
    from memnas_core.export.check import check_file
    from memnas_core.export.exported import Exported
    from memnas_core.export.file_format import export_errors
    from memnas_core.export.images import calibration_images, check_images
    from memnas_core.export.sheet import data_sheet, vector_names
    from memnas_core.export.vectors import make_vectors
    from memnas_core.files.writing import replacing, storage_errors
    from memnas_core.objective.budget import budget_of
    from memnas_core.settings.devices import devices
    from memnas_core.training.deployed import deploy
    from memnas_core.training.worker import load_network

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
        model_files = [stack.enter_context(replacing(folder / file)) for file in names]
        with export_errors(wanted, trained.row.arch_id):
            content = wanted.write(deployed, calibration_images(trained), int8, file_facts(trained, int8))
            model_files[0].write_bytes(content)
            opened = wanted.open(model_files[0], int8)
            result = check_file(opened, network, images, labels, exact=not int8)
            vectors = make_vectors(trained, opened)
            contents = wanted.finished(content, vectors)
            for model_file, finished in zip(model_files, contents, strict=True):
                model_file.write_bytes(finished)
            firmware = _emulated(model_files[0], trained) if verify else ()
        exported = Exported(trained, wanted, int8, name, contents[0], opened, result, vectors, firmware)
        card_file.write_text(model_card(exported, deployed.graph, deployed.least), encoding="utf-8")
        sheet_file.write_text(data_sheet(exported), encoding="utf-8")
        for what, array in vectors.arrays().items():
            vector_files[what].write_bytes(array.tobytes())
    predicted = wanted.predicted_bytes(deployed.graph, int8)
    activations = _activations(opened, predicted)
    say(f"Card: {folder / name}.md")
    say(f"File: {folder / name}")
    click.echo(f"  bytes: {len(contents[0]):,}")
    click.echo(f"  activations: {activations.words}")
    click.echo(
        f"  {opened.ran_by}, gives the class of the torch network to {result.same_classes} of {result.images} test "
        "images"
    )
    click.echo(
        f"  accuracy on them: {result.file_accuracy:.4f}, the torch network's {result.torch_accuracy:.4f}, difference "
        f"{result.accuracy_difference:+.4f}"
    )
    for line in firmware_table(firmware):
        click.echo(f"  {line}")
    objective = trained.settings.objective
    core = None if objective.device is None else devices()[objective.device].core
    needs = wanted.on_device(deployed.graph, len(contents[0]), core)
    if needs.stack:
        click.echo(f"  predicted {needs.stored_as}: {needs.stored:,} bytes, stack: {needs.stack:,} bytes")
    memory = None if activations.bytes is None else activations.bytes + needs.stack
    kept = "activations and stack" if needs.stack else "activations"
    check = compare_with_budget(budget_of(objective), needs.stored, memory, needs.stored_as, kept)
    say(f"  budget of search {trained.search}: {check}")
    if check.beyond:
        raise ExportError(
            f"{folder / name}: expected a file within the budget of search {trained.search}, found "
            f"{' and '.join(str(use) for use in check.beyond)}; the file is kept{_advice(trained, int8)}"
        )
    return folder / name


def _check_emulation(wanted: "FileFormat") -> None:
    from memnas_core.firmware.tools import DEVICE_TOOLS, require

    if wanted.name != "c":
        raise InputError(f"--verify: expected --format c, whose files memnas can emulate, found --format {wanted}")
    require(DEVICE_TOOLS, "--verify")


def _emulated(source: Path, trained: "TrainedNetwork") -> "tuple[Firmware, ...]":
    from memnas_core.export.images import emulated_pixels
    from memnas_core.firmware.boards import BOARDS
    from memnas_core.firmware.proof import prove, prove_here

    return tuple(prove(source, prove_here(source), emulated_pixels(trained), tuple(BOARDS)))


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
    if not int8 and trained.settings.objective.weight_bytes == 1:
        return "; the search counted int8 weights: add --int8"
    return "; a file has more in it than weights: export a smaller candidate, or search with a lower limit"
