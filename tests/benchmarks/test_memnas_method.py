"""memnas as a method of the benchmark, without services, against `memnas search`."""

import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.search.methods.interface import SpentError
from benchmarks.search.methods.memnas import VARIANTS, memory_alone, search_plainly, uniform
from benchmarks.search.methods.tally import Tally
from benchmarks.search.methods.trainer import Task
from benchmarks.search.runs import ROUNDS
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import performance_of
from memnas_core.search.candidates import Base
from memnas_core.search.generation import generate_round
from memnas_core.search.state import SearchState
from memnas_core.settings.file import load_settings
from memnas_core.space.architecture import Architecture
from memnas_core.training.record import RECORD_FILE, read_record

PARAMS = Path("params.yaml")
SMALL = (
    "data.max_training_images=200",
    "network.filters=4",
    "training.epochs=2",
    "training.batch_size=32",
    "search.top_k=4",
    "search.rounds=2",
    "objective.accuracy_floor=0.1",
    "objective.max_total_bytes=262144",
    "final.epochs=null",
)


class CountingTally(Tally):
    """A tally that keeps every rung."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, float | None]] = []

    def add(
        self, architecture: Architecture, accuracy: float | None, memory: MemoryFigures, images: int, key: str | None
    ) -> None:
        super().add(architecture, accuracy, memory, images, key)
        self.parts.append((architecture.arch_id, accuracy))


def test_trains_what_the_product_trains(tmp_path: Path) -> None:
    settings = load_settings(PARAMS, SMALL)
    task = Task.prepare(settings, tmp_path)
    tally = CountingTally()
    search_plainly(task, tally, 10**9, tmp_path / "plain", VARIANTS["memnas"])

    command = [sys.executable, "-m", "flows.cli", "search", "--params", str(PARAMS), "--name", "small"]
    for setting in (*SMALL, f"store={tmp_path / 'store'}"):
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True)
    trained = (tmp_path / "store" / "searches" / "small" / "trainings").glob(f"*/{RECORD_FILE}")
    records = [read_record(path.parent) for path in trained]

    assert len(records) > len(settings.search.seed_cells) + settings.search.top_k  # more than a round
    assert sorted(tally.parts) == sorted((record.arch_id, record.validation_accuracy) for record in records)
    assert tally.images == sum(record.images_seen for record in records)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return Task.prepare(load_settings(PARAMS, SMALL), tmp_path_factory.mktemp("store"))


def searched(task: Task, folder: Path, method: str, limit: int = 1200) -> CountingTally:
    tally, variant = CountingTally(), ROUNDS[method]
    settings = load_settings(PARAMS, [*variant.overrides, *SMALL])
    with suppress(SpentError):
        search_plainly(replace(task, settings=settings), tally, limit, folder, variant)
    return tally


@pytest.mark.parametrize("method", ROUNDS)
def test_every_way_spends_its_images_and_no_more(task: Task, tmp_path: Path, method: str) -> None:
    tally = searched(task, tmp_path, method)
    assert len(tally.networks) > 2
    longest = 2 * 192  # a full training of two epochs, six batches of 32
    assert tally.images < 1200 + longest
    assert all(task.space.has(one.architecture) for one in tally.networks.values())
    assert searched(task, tmp_path, method).parts == tally.parts  # the seed decides everything


def test_memory_alone_takes_what_saves_most(task: Task) -> None:
    settings = task.settings
    search = SearchState(settings, task.folder, task.info, Path("unused"))
    base = task.space.seeds[1]
    figures = performance_of(task.measure(base), 0.5, settings.objective)
    search.bases = (Base(base, base.arch_id, figures),)
    generation = generate_round(base, 1, search.workload, settings.objective, (), settings.search)
    order = memory_alone(search, generation, random.Random(0))
    totals = [task.total_bytes(generation.candidates[index].architecture) for index in order]
    assert totals == sorted(totals)
    assert sorted(uniform(search, generation, random.Random(0))) == sorted(order)
