"""Ways to spoil a file that somebody else could have spoilt."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import torch

Spoil = Callable[[Path], None]
MARK = "ran"


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(MARK),)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Canary()))


def torch_pickled(path: Path) -> None:
    torch.save({"stem.weight": Canary()}, path)


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\xff")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def gone(path: Path) -> None:
    path.unlink()


def written(content: bytes) -> Spoil:
    """Return a way to write something else."""

    def spoil(path: Path) -> None:
        path.write_bytes(content)

    return spoil


def changed(**values: object) -> Spoil:
    """Return a way to change values of a JSON object."""

    def spoil(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def without(key: str) -> Spoil:
    """Return a way to remove a value of a JSON object."""

    def spoil(path: Path) -> None:
        document = json.loads(path.read_text())
        del document[key]
        path.write_text(json.dumps(document))

    return spoil


ANY_FILE = (truncated, emptied, pickled, not_text, folder, dangling, endless)
"""What can happen to any file that must be there."""

JSON_FILE = (
    written(b"[]"),
    written(b"null"),
    written(b'"text"'),
    written(b"{}"),
    written(b"[" * 100_000),
    written(b'{"a":' * 50_000),
    written(b"9" * 5_000),
    written(b'{"__class__": "os.system"}'),
)
