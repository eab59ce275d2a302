"""The networks of the runtime benchmark, and each network's measurement in a file of its own.

The benchmark's purpose is described in `benchmarks.runtime_memory`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.runtime_memory.onnxruntime_peak import OnnxRuntimeProcess
from memnas_core.files.writing import write_text
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json, to_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.lineages import draw_lineages

STRIDES = (2, 1, 2, 1, 1)
FILTERS = 16
RANDOM_SHAPE = Shape(3, 32, 32)
FOUND_SHAPE = Shape(1, 16, 16)
"""Input shape of Fashion-MNIST, as in the committed searches."""
CLASSES = 10
LINEAGES, ROUNDS, CHILDREN, SEED = 8, 5, 5, 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to measure.

    Attributes:
        source: `random`, or the name of the search that found it.
        architecture: Architecture of the network.
        shape: Shape of its input.
    """

    source: str
    architecture: Architecture
    shape: Shape


@dataclass(frozen=True, slots=True)
class Measured:
    """A network with the bytes that runtimes need for it; versions are by the first word of the runtimes' names."""

    subject: Subject
    best_order: dict[str, int]
    plain_order: dict[str, int]
    versions: dict[str, str]


def subjects(searches: Path) -> list[Subject]:
    """Return random networks of several rounds, and the networks that searches found.

    Args:
        searches: Folder with a folder for each search.
    """
    drawn = draw_lineages(STRIDES, FILTERS, LINEAGES, ROUNDS, CHILDREN, SEED)
    random = [Subject("random", descendant.candidate.architecture, RANDOM_SHAPE) for descendant in drawn]
    found = [
        Subject(path.parent.name, from_json(path.read_text(encoding="utf-8"), str(path)), FOUND_SHAPE)
        for path in sorted(searches.glob("*/architecture.json"))
    ]
    return list({subject.architecture.arch_id: subject for subject in [*found, *random]}.values())


def measure_all(
    wanted: Sequence[Subject], folder: Path, workers: int, finished: Callable[[], object]
) -> Iterator[Measured]:
    """Measure the networks that have no file in the folder yet, and yield all in no particular order.

    Args:
        wanted: The networks.
        folder: Folder with one file for each network; existing files are trusted.
        workers: Number of processes to use.
        finished: Called after each network.
    """
    missing = []
    for subject in wanted:
        path = folder / f"{subject.architecture.arch_id}.json"
        if path.exists():
            yield read_measured(path)
            finished()
        else:
            missing.append((subject, path))
    if not missing:
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        for future in as_completed([pool.submit(_measure, subject, path) for subject, path in missing]):
            yield future.result()
            finished()


def read_measured(path: Path) -> Measured:
    """Read what `measure_all` wrote about one network."""
    document = json.loads(path.read_text(encoding="utf-8"))
    architecture = from_json(json.dumps(document["architecture"]), str(path))
    subject = Subject(document["source"], architecture, Shape(*document["input_shape"]))
    return Measured(subject, document["best_order"], document["plain_order"], document["versions"])


_onnxruntime: OnnxRuntimeProcess | None = None


def _start_worker() -> None:
    from benchmarks.runtime_memory.measurement import quiet

    global _onnxruntime  # noqa: PLW0603 -- a pool's initializer has no other way to hand something to its tasks
    quiet()
    _onnxruntime = OnnxRuntimeProcess()


def _measure(subject: Subject, path: Path) -> Measured:
    from benchmarks.runtime_memory.measurement import measure_runtimes, runtime_versions

    assert _onnxruntime is not None, "the worker has been started"
    graph = lower(subject.architecture, subject.shape, CLASSES)
    found = measure_runtimes(graph, SEED, _onnxruntime)
    measured = Measured(subject, dict(found.best_order), dict(found.plain_order), runtime_versions())
    document = {
        "source": subject.source,
        "architecture": json.loads(to_json(subject.architecture)),
        "input_shape": list(subject.shape),
        "best_order": measured.best_order,
        "plain_order": measured.plain_order,
        "versions": measured.versions,
    }
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    write_text(path, json.dumps(document, indent=1) + "\n")
    return measured
