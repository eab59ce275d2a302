"""`memnas verify`: C that memnas wrote, run on emulated microcontrollers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnas_core.errors import InputError
from memnas_core.firmware.boards import BOARDS

if TYPE_CHECKING:  # it needs numpy
    from memnas_core.firmware.emulation import Firmware

_SUFFIX = ".c"


@click.command("verify")
@click.argument("source", metavar="FILE.c", type=click.Path(path_type=Path))
@click.option(
    "--core",
    "cores",
    multiple=True,
    type=click.Choice(list(BOARDS)),
    help="Core to emulate; may be repeated. Default: all.",
)
def verify_command(source: Path, cores: tuple[str, ...]) -> None:
    """Compile a source of memnas export --format c for microcontrollers, and run it in QEMU on its test images.

    Its scores must be those that it carries, here and on each core, and its static memory the planned arena.
    """
    verify_source(source, cores or tuple(BOARDS))


def verify_source(source: Path, cores: Sequence[str]) -> None:
    """Run a source's test images here and on emulated cores, and print what it takes there.

    Args:
        source: File of the source.
        cores: Keys of `BOARDS`.

    Raises:
        InputError: A tool is missing, or the file is not a source that memnas wrote.
        FirmwareError: It computes something else than it should, or takes other memory than planned.
    """
    from memnas_core.firmware.proof import prove, prove_here
    from memnas_core.firmware.tools import DEVICE_TOOLS, require

    require(DEVICE_TOOLS, "memnas verify")
    if source.suffix != _SUFFIX or not source.is_file():
        raise InputError(f"{source}: expected a file of memnas export --format c, found no such file")
    network = prove_here(source)
    images = network.test_images()
    assert images is not None, "prove_here refuses a source without"
    interface = network.interface
    click.echo(
        f"{source}: {len(images.pixels)} test images, {len(interface.classes)} classes, arena of "
        f"{interface.arena_bytes:,} bytes; scores as expected on this machine"
    )
    for line in firmware_table(tuple(prove(source, network, images.pixels, cores))):
        click.echo(line)


def firmware_table(measured: "Sequence[Firmware]") -> Iterator[str]:
    """Yield the lines of a table of what a network takes on emulated cores; none for none."""
    if not measured:
        return
    yield f"{'emulated':12}{'scores':>16}{'static RAM':>14}{'stack':>8}{'flash':>10}{'instructions an image':>24}"
    for one in measured:
        instructions = "too many to count" if one.instructions is None else f"{one.instructions:,}"
        yield (
            f"{one.core:12}{f'{len(one.scores)} equal':>16}{one.ram_bytes:>14,}{one.stack_bytes:>8,}"
            f"{one.flash_bytes:>10,}{instructions:>24}"
        )
