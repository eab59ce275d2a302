"""Proof that a network's C runs on a microcontroller: compiled for its core, executed by QEMU, compared to the byte.

Two programs are made. One is the least firmware around the network; its sections say how much flash and static RAM it
takes. The other reads images from this machine and writes the scores back; it paints the stack before each run and
looks afterwards how far down it was used, and counts instructions by a timer. QEMU counts instructions, not cycles: its
clock goes on by a nanosecond with each (`-icount shift=0`). A loop of known length says how many a tick has.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from memnas_core.firmware.boards import BOARDS, STACK_BYTES, Board
from memnas_core.firmware.interface import Interface, read_interface, read_source
from memnas_core.firmware.tools import ARM_COMPILER, ARM_SIZE, EMULATOR, FirmwareError, run_tool

OPTIONS = (
    *("-mthumb", "-std=c99", "-O2", "-Wall", "-Wextra", "-masm-syntax-unified", "-ffunction-sections"),
    *("-fdata-sections", "-Wl,--gc-sections", "-nostartfiles", "--specs=nano.specs"),
)
"""Options of the compiler for every core."""

_LOOP = 4_000_000
"""Instructions of the loop that tells how many a tick has; 100,000 ticks at 25 MHz."""

_IN_FLASH = (".vectors", ".text", ".ARM.exidx", ".data")

_TOO_MANY_TICKS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a network takes and does on a core.

    Attributes:
        core: The core.
        flash_bytes: Flash of the least firmware around the network: code, constants and the vector table.
        ram_bytes: Static RAM of this firmware, without its stack.
        stack_bytes: Stack that the network took at the most, from the call of its function.
        instructions: Instructions of one image, the median over the images; None if there were too many to count.
        scores: What the core computed: int8, shape (n, classes).
    """

    core: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    instructions: int | None
    scores: np.ndarray


def emulate(source: Path, core: str, pixels: np.ndarray) -> Firmware:
    """Compile a network for a core, and run it on images.

    Args:
        source: File of the source.
        core: A key of `BOARDS`.
        pixels: uint8, shape (n, height, width, channels), n > 0.

    Raises:
        InputError: The file cannot be read, or is not a source that memnas wrote.
        FirmwareError: It was not compiled, is too large for the board, or did not end as it should.
    """
    text = read_source(source)
    interface, board = read_interface(text, str(source)), BOARDS[core]
    with TemporaryDirectory(prefix="memnas-c-") as name:
        folder = Path(name)
        (folder / "network.c").write_text(text, encoding="utf-8")
        (folder / "board.ld").write_text(board.link_script(), encoding="utf-8")
        for program in ("device", "test"):
            _link(folder, interface, board, program)
        sizes = section_sizes(run_tool((ARM_SIZE, "-A", "device.elf"), folder))
        (folder / "images.bin").write_bytes(np.ascontiguousarray(pixels).tobytes())
        run_tool(
            (
                *(EMULATOR, "-machine", board.machine, "-display", "none", "-serial", "none", "-monitor", "none"),
                *("-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel", "test.elf"),
            ),
            folder,
        )
        scores, ticks = (_read(folder / f"{what}.bin") for what in ("scores", "ticks"))
    return _measured(core, sizes, interface, len(pixels), scores, ticks)


def section_sizes(printed: str) -> Mapping[str, int]:
    """Return the bytes of each section from what `size -A` prints."""
    rows = (line.split() for line in printed.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}


def _link(folder: Path, interface: Interface, board: Board, program: str) -> None:
    sources = files("memnas_core.firmware") / "board"
    for name in ("start", program):
        (folder / f"{name}.c").write_text((sources / f"{name}.c").read_text(encoding="utf-8"), encoding="utf-8")
    defined = {
        "RUN": f"{interface.prefix}_run",
        "IMAGE": f"{interface.prefix}_image",
        "PIXELS": interface.image.elements,
        "CLASSES": len(interface.classes),
        "LOOP": _LOOP,
    }
    run_tool(
        (
            *(ARM_COMPILER, *board.options, *OPTIONS, *(f"-D{name}={value}" for name, value in defined.items())),
            *("-T", "board.ld", "start.c", f"{program}.c", "network.c", "-o", f"{program}.elf"),
        ),
        folder,
    )


def _measured(
    core: str, sizes: Mapping[str, int], interface: Interface, images: int, scores: bytes, ticks: bytes
) -> Firmware:
    classes = len(interface.classes)
    if len(scores) != images * classes or len(ticks) != 4 * (images + 2):
        raise FirmwareError(
            f"{core}: expected {images} images with {classes} scores each, found {len(scores)} scores and "
            f"{len(ticks) // 4 - 2} counts; the program ended early"
        )
    loop, *counts, stack = struct.unpack(f"<{images + 2}I", ticks)
    if stack >= STACK_BYTES - 512:  # the test program's own share is less
        raise FirmwareError(f"{core}: expected the network to need less than {STACK_BYTES:,} bytes of stack")
    is_counted = _TOO_MANY_TICKS not in (loop, *counts)
    return Firmware(
        core,
        sum(sizes.get(name, 0) for name in _IN_FLASH),
        sizes[".data"] + sizes[".bss"],
        stack,
        round(median(counts) * _LOOP / loop) if is_counted else None,
        np.frombuffer(scores, dtype=np.int8).reshape(images, classes),
    )


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
