"""Settings and small image files for the tests of the data part."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from memnas_core.settings.schema import DataSettings


@pytest.fixture
def settings() -> Callable[..., DataSettings]:
    """Return a function that makes data settings with the given changes."""
    plain = DataSettings(
        dataset="digits",
        folder=None,
        image_size=None,
        validation_fraction=0.2,
        max_training_images=None,
        horizontal_flip=None,
    )
    return partial(replace, plain)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Write 10 cats (red), 15 dogs (green) and 5 eels (blue), 8x8 PNG; all files differ."""
    root = tmp_path / "pets"
    for channel, (name, count) in enumerate((("cat", 10), ("dog", 15), ("eel", 5))):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.zeros((8, 8, 3), dtype=np.uint8)
            pixels[..., channel] = 100 + number
            pixels[0, 0] = number
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """Serve a folder over HTTP on this machine; yields the folder and its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an address at which nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"
