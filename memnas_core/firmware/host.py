"""A network's C on this machine: compiled to a shared library and called."""

import ctypes
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

import numpy as np

from memnas_core.firmware.interface import TEST_IMAGES, Interface, read_interface, read_source
from memnas_core.firmware.tools import HOST_COMPILER, run_tool

OPTIONS = ("-std=c99", "-O2", "-Wall", "-Wextra")


class TestImages(NamedTuple):
    """Images that a source carries, and the scores that it should give them.

    Attributes:
        pixels: uint8, shape (3, height, width, channels).
        scores: int8, shape (3, classes).
    """

    pixels: np.ndarray
    scores: np.ndarray


class HostNetwork:
    """A compiled network.

    Attributes:
        interface: Its interface.
    """

    def __init__(self, interface: Interface, library: ctypes.CDLL) -> None:
        self.interface = interface
        self._library = library
        self._run = getattr(library, f"{interface.prefix}_run")
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._run.restype = ctypes.c_int

    @classmethod
    def compile(cls, source: Path) -> Self:
        """Compile a source.

        Args:
            source: File of the source.

        Raises:
            InputError: It cannot be read, or is not one that memnas wrote.
            FirmwareError: The compiler refuses it.
        """
        text = read_source(source)
        interface = read_interface(text, str(source))
        has_test = f"#ifdef {interface.macro}_TEST\nconst " in text
        with TemporaryDirectory(prefix="memnas-c-") as folder:
            (Path(folder) / "network.c").write_text(text, encoding="utf-8")
            test = (f"-D{interface.macro}_TEST",) if has_test else ()
            run_tool(
                (HOST_COMPILER, *OPTIONS, *test, "-shared", "-fPIC", "network.c", "-o", "network.so"), Path(folder)
            )
            return cls(interface, ctypes.CDLL(str(Path(folder) / "network.so")))

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Return the scores of images.

        Args:
            pixels: uint8, shape (n, height, width, channels).

        Returns:
            int8, shape (n, classes).
        """
        channels, height, width = self.interface.image
        assert pixels.dtype == np.uint8, "pixels are bytes"
        assert pixels.shape[1:] == (height, width, channels), "images have the network's size"
        given = np.ascontiguousarray(pixels)
        scores = np.zeros((len(pixels), len(self.interface.classes)), dtype=np.int8)
        for image, row in zip(given, scores, strict=True):
            self._run(image.ctypes.data, row.ctypes.data)
        return scores

    def test_images(self) -> TestImages | None:
        """Return the images that the source carries; None: it carries none."""
        prefix, (channels, height, width) = self.interface.prefix, self.interface.image
        if not hasattr(self._library, f"{prefix}_test"):
            return None
        shapes = {
            "pixels": (TEST_IMAGES, height, width, channels),
            "scores": (TEST_IMAGES, len(self.interface.classes)),
        }
        found = {}
        for what, kind in (("pixels", np.uint8), ("scores", np.int8)):
            size = int(np.prod(shapes[what]))
            place = (ctypes.c_char * size).in_dll(self._library, f"{prefix}_test_{what}")
            found[what] = np.frombuffer(bytes(place), dtype=kind).reshape(shapes[what])
        return TestImages(**found)
