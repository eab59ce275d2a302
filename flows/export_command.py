"""`memnas export`: a trained network as a file for a runtime, checked by running it, with its model card."""

from contextlib import ExitStack
from pathlib import Path

import click

from memnas_core.config import Settings
from memnas_core.export.model_file import Format


def export_network(settings: Settings, target: str, wanted: Format, int8: bool, output: Path | None) -> Path:
    """Write a network and its card, and say on the terminal what was measured.

    Both files appear when the check has passed, or neither does.

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
        ExportError: The format cannot take the network, or the file does not compute what the network computes.
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
    from memnas_core.export.card import facts, model_card
    from memnas_core.export.check import check_file
    from memnas_core.export.formats import open_file, write_file
    from memnas_core.export.images import calibration_images, check_images
    from memnas_core.export.model_file import export_errors
    from memnas_core.jobs import load_network
    from memnas_core.storage import replacing, storage_errors

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
    click.echo(f"{opened.ran_by}, ran it on {result.images} test images:")
    click.echo(f"  same class as the torch network: {result.same_classes} of {result.images}")
    click.echo(
        f"  accuracy: {result.file_accuracy:.4f}, the torch network's {result.torch_accuracy:.4f}, difference "
        f"{result.accuracy_difference:+.4f}"
    )
    if opened.planned_bytes is not None:
        click.echo(f"  activation memory by the file's own plan: {opened.planned_bytes:,} bytes")
    click.echo(f"File: {folder / name} ({len(content):,} bytes)")
    click.echo(f"Card: {folder / name}.md")
    return folder / name
