"""`memnas export`: a trained network as a file for a runtime, checked by running it, with its model card."""

from pathlib import Path

import click

from flows.terminal import say
from memnas_core.export.file_format import FORMATS, check_extra
from memnas_core.files.outputs import refuse_special
from memnas_core.settings.schema import Settings


def export_network(
    settings: Settings, target: str, format_name: str, int8: bool, core: str | None, output: Path | None
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

    Returns:
        The model's file.

    Raises:
        InputError: There is no such network, the packages for the format are missing, or it is not for this core.
        ExportError: The format cannot take the network, the file does not compute what the network computes, or is
            beyond the budget of the search.
        StorageError: The files cannot be written.
    """
    from memnas_core.export.store import find_trained
    from memnas_core.export.target import for_target

    wanted = FORMATS[format_name]
    check_extra(wanted, int8)
    store = Path(settings.store)
    trained = find_trained(store, target)
    wanted = for_target(wanted, int8, core, trained.settings.objective.device)
    folder = output or store / "searches" / trained.search / "exports"
    name = f"{trained.search}-{trained.row.arch_id}{'-int8' if int8 else ''}{wanted.suffix}"
    for file in (folder / name, folder / f"{name}.md"):
        refuse_special(file, "--output")
    say(f"Network {trained.row.arch_id} of search {trained.search} as {wanted}{', int8' if int8 else ''} ...")

    from memnas_core.export.writing import write_export

    written = write_export(trained, wanted, int8, folder / name)
    opened, result = written.exported.opened, written.exported.check
    say(f"Card: {folder / name}.md")
    say(f"File: {folder / name}")
    click.echo(f"  bytes: {written.bytes:,}")
    click.echo(f"  activations: {written.activation_words}")
    click.echo(
        f"  {opened.ran_by}, gives the class of the torch network to {result.same_classes} of {result.images} test "
        "images"
    )
    click.echo(
        f"  accuracy on them: {result.file_accuracy:.4f}, the torch network's {result.torch_accuracy:.4f}, difference "
        f"{result.accuracy_difference:+.4f}"
    )
    say(f"  budget of search {trained.search}: {written.budget}")
    written.check_budget()
    return folder / name
