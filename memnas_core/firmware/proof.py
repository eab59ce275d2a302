"""Whether a network's C computes the same everywhere, and takes the memory that was planned."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from memnas_core.firmware.emulation import Firmware, emulate
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.tools import FirmwareError


def prove_here(source: Path) -> HostNetwork:
    """Compile a source for this machine, run it on the images that it carries, and return it.

    Args:
        source: File of the source.

    Raises:
        InputError: The file is not a source that memnas wrote.
        FirmwareError: It is not compiled, carries no images, or gives one other scores than it should.
    """
    network = HostNetwork.compile(source)
    images = network.test_images()
    if images is None:
        raise FirmwareError("C source: expected test images in it, found none; export it again")
    _compare("C source, compiled for this machine", images.scores, network.run(images.pixels))
    return network


def prove(source: Path, network: HostNetwork, pixels: np.ndarray, cores: Sequence[str]) -> Iterator[Firmware]:
    """Run a network's C on emulated cores, and yield what it takes there.

    Args:
        source: File of the source.
        network: The same, compiled for this machine.
        pixels: Images to run it on, uint8 of shape (n, height, width, channels), n > 0.
        cores: Keys of `memnas_core.firmware.boards.BOARDS`.

    Raises:
        FirmwareError: A core gives an image other scores than this machine, the static RAM is not the planned arena,
            or the program does not run.
    """
    expected = network.run(pixels)
    for core in cores:
        found = emulate(source, core, pixels)
        _compare(core, expected, found.scores)
        if found.ram_bytes != network.interface.arena_bytes:
            raise FirmwareError(
                f"{core}: expected the planned {network.interface.arena_bytes:,} bytes of static RAM, found "
                f"{found.ram_bytes:,}"
            )
        yield found


def _compare(where: str, expected: np.ndarray, found: np.ndarray) -> None:
    wrong = np.flatnonzero((expected != found).any(axis=1))
    if len(wrong):
        first = wrong[0]
        raise FirmwareError(
            f"{where}: expected the same scores, found others for {len(wrong)} of {len(expected)} images; the first is "
            f"image {first}: expected {expected[first].tolist()}, found {found[first].tolist()}"
        )
