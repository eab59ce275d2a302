"""The fault of a trial, done to a running search and its files as it would happen in the real world."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks.faults.searches import Place
from benchmarks.faults.services import Services
from memnas_core.data.dataset import INFO_FILE, SPLITS
from memnas_core.errors import InputError
from memnas_core.training.record import RECORD_FILE, WEIGHTS_FILE

DISK_MEGABYTES = 64
"""Size of the disk that is filled; a search needs about a tenth of it."""

FLIPPED_BYTES = 16
POLL_SECONDS = 0.02


Found = TypeVar("Found")


class Fault(StrEnum):
    """What goes wrong."""

    WORKER = "worker killed"
    PARENT = "parent killed"
    PARENT_WITH_SERVER = "parent killed, Prefect server its own"
    TRACKING_SERVER = "tracking server killed"
    PREFECT_SERVER = "Prefect server killed"
    FULL_DISK = "disk full"
    DATA_FILE = "data file unreadable"
    RECORD = "record of a training corrupted"
    ROUND = "record of a round corrupted"


@dataclass(frozen=True, slots=True)
class Hit:
    """What a fault affected.

    Attributes:
        what: Description in words.
        destroyed: Keys of the trainings whose record it damaged, which therefore no longer count as finished.
    """

    what: str
    destroyed: frozenset[str] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Scene:
    """The target of a fault.

    Attributes:
        process: Process of the search.
        place: Files of the search.
        services: Servers that the search uses.
        rng: Decides what is hit, and how.
    """

    process: "subprocess.Popen[bytes]"
    place: Place
    services: Services
    rng: random.Random


def inject(fault: Fault, scene: Scene) -> Hit:
    """Inject a fault now, or as soon as there is something that it can hit.

    Raises:
        NothingToHitError: The search ended before there was anything to hit.
    """
    return _INJECTIONS[fault](scene)


class NothingToHitError(Exception):
    """The search has ended, so there is nothing to disturb."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of `DISK_MEGABYTES` megabytes.

    Raises:
        InputError: This user has no right to mount one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(
            f"{folder}: expected to mount a small disk, found {done.stderr.strip()}; run as root, for instance in a "
            "container with CAP_SYS_ADMIN"
        )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free(place: Place) -> None:
    """Free the disk that a fault filled."""
    _filler(place).unlink(missing_ok=True)


def _kill_worker(scene: Scene) -> Hit:
    workers = _awaited(scene, lambda: _workers(scene))
    victim = scene.rng.choice(workers)
    victim.kill()
    return Hit(f"one of {len(workers)} workers")


def _kill_parent(scene: Scene) -> Hit:
    _awaited(scene, lambda: [scene.process])
    os.kill(scene.process.pid, signal.SIGKILL)
    scene.process.wait()
    return Hit("the search itself")


def _kill_tracking_server(scene: Scene) -> Hit:
    _awaited(scene, lambda: [scene.process])
    scene.services.tracking.kill()
    return Hit("the tracking server")


def _kill_prefect_server(scene: Scene) -> Hit:
    _awaited(scene, lambda: [scene.process])
    scene.services.prefect.kill()
    return Hit("the Prefect server")


def _fill_disk(scene: Scene) -> Hit:
    _awaited(scene, lambda: [scene.process])
    scene.place.store.mkdir(parents=True, exist_ok=True)
    with _filler(scene.place).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return Hit(f"{file.tell() / 1e6:.0f} MB were free")


def _damage_data(scene: Scene) -> Hit:
    names = [f"{split}.arrow" for split in SPLITS] + [INFO_FILE]
    found = _awaited(scene, lambda: [p for name in names for p in scene.place.store.glob(f"data/[!.]*/{name}")])
    path = scene.rng.choice(sorted(found))
    return Hit(f"{path.name} {_damaged(path, scene.rng, (*_IN_PLACE, _replace_by_folder))}")


def _damage_training(scene: Scene) -> Hit:
    keys = _awaited(scene, lambda: sorted(scene.place.trainings()))
    when = _perhaps_killed(scene)
    key = scene.rng.choice(keys)
    folder = scene.place.result / "trainings" / key
    path = scene.rng.choice([path for path in (folder / RECORD_FILE, folder / WEIGHTS_FILE) if path.is_file()])
    return Hit(f"{path.name} {_damaged(path, scene.rng, _IN_PLACE)}, {when}", frozenset({key}))


def _damage_round(scene: Scene) -> Hit:
    rounds = _awaited(scene, lambda: sorted(scene.place.result.glob("rounds/[!.]*/")))
    when = _perhaps_killed(scene)
    folder = scene.rng.choice(rounds)
    path = scene.rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    name = path.relative_to(folder.parent)
    return Hit(f"{name} {_damaged(path, scene.rng, _IN_PLACE)}, {when}")


_INJECTIONS: dict[Fault, Callable[[Scene], Hit]] = {
    Fault.WORKER: _kill_worker,
    Fault.PARENT: _kill_parent,
    Fault.PARENT_WITH_SERVER: _kill_parent,
    Fault.TRACKING_SERVER: _kill_tracking_server,
    Fault.PREFECT_SERVER: _kill_prefect_server,
    Fault.FULL_DISK: _fill_disk,
    Fault.DATA_FILE: _damage_data,
    Fault.RECORD: _damage_training,
    Fault.ROUND: _damage_round,
}


def _awaited(scene: Scene, look: Callable[[], Sequence[Found]]) -> Sequence[Found]:
    """Wait until there is something to hit in a running search."""
    while scene.process.poll() is None:
        if found := look():
            return found
        time.sleep(POLL_SECONDS)
    raise NothingToHitError


def _workers(scene: Scene) -> list[psutil.Process]:
    try:
        children = psutil.Process(scene.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def _perhaps_killed(scene: Scene) -> str:
    """Kill the search in half of the cases, chosen at random, before a file is damaged."""
    if scene.rng.random() < 0.5:
        return "while it ran"
    os.kill(scene.process.pid, signal.SIGKILL)
    scene.process.wait()
    return "after it was killed"


def _damaged(path: Path, rng: random.Random, ways: Sequence[Callable[[Path, random.Random], str]]) -> str:
    return rng.choice(ways)(path, rng)


def _flip(path: Path, rng: random.Random) -> str:
    """Overwrite bytes in place, as a failing disk would; hard links to the file, such as DVC's cache, change too."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for place in sorted(rng.sample(range(size), min(FLIPPED_BYTES, size))):
            file.seek(place)
            (byte,) = file.read(1)
            file.seek(place)
            file.write(bytes([byte ^ rng.randrange(1, 256)]))
    return "changed"


def _truncate(path: Path, rng: random.Random) -> str:
    os.truncate(path, rng.randrange(path.stat().st_size))
    return "truncated"


def _replace_by_folder(path: Path, _rng: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return "replaced by a folder"


_IN_PLACE = (_flip, _truncate)


def _filler(place: Place) -> Path:
    return place.store / "filler"


def remove(place: Place) -> None:
    """Remove the files of a trial."""
    shutil.rmtree(place.folder, ignore_errors=True)
