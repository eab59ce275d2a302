"""Rounds of a search whose trainings are made up, with everything else as it is, part by part.

Networks, bytes, weight files, MLflow's record and DVC's versions are real. A training takes no time: its accuracy
follows from the size of the network and a seed, its weights are those that a network begins with.

The steps of a round run one after the other, without Prefect, so that each has a time of its own. What Prefect takes
is then the time of the same flow with the same arguments, all of whose tasks return at once what is already known.
"""

import copy
import io
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

from prefect import Task, flow
from rich.console import Console
from safetensors.torch import save

from benchmarks.generation import clear_caches
from benchmarks.overhead_clock import Clock, Part, Row, Situation
from flows.round import search_round, without_heartbeats
from memnas_core import controller_forest, facts, front_search
from memnas_core import search as steps
from memnas_core.architecture import GROWABLE_OPERATIONS, Architecture, Branch, Cell, Combiner
from memnas_core.config import NetworkSettings, Settings
from memnas_core.contenders import Base, Contender, Generation, Ranking, performance_of
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.environment import machine, versions
from memnas_core.graph import lower
from memnas_core.grow_trim import Candidate, Move, MoveCounts, MoveKind, apply, generate, seed_architecture, trims
from memnas_core.measure import MemoryFigures, measure
from memnas_core.network import build_network
from memnas_core.records import RoundSummary, Status
from memnas_core.result_folder import SearchFolder, Start
from memnas_core.rungs import climb
from memnas_core.training import EpochFigures
from memnas_core.training_records import TrainingRecord, write_record
from tasks import recording, round_steps
from tasks.display import Display
from tasks.round_steps import RoundRows
from tasks.session import Search
from tasks.tracking.tracker import Tracker
from tasks.versioning import Versions

GROWTH_CELLS = 4
"""Cells a block of the bases where the number of candidates grows."""

GROWTH_CANDIDATES = 1000
"""Candidates where the number of cells grows."""

_WHERE: tuple[tuple[Part, type | ModuleType, tuple[str, ...]], ...] = (
    (Part.MEMORY, steps, ("measure",)),
    (Part.MEMORY, front_search, ("measure",)),
    (Part.FILES, recording, ("network_files",)),
    (
        Part.MLFLOW,
        Tracker,
        ("start_round", "log_candidate", "candidate_run", "update_scores", "log_figures", "set_best", "end"),
    ),
    (Part.WINNER, Tracker, ("log_winner",)),
    (Part.TABLES, SearchFolder, ("write_round", "write_tables")),
    (Part.DVC, Versions, ("add",)),
)
"""Functions inside the steps that are parts of their own."""


class Played(NamedTuple):
    """What the steps of a round gave.

    Attributes:
        generation: The candidates.
        ranking: In order.
        going_on: Those that went on to the second rung.
        records: Trainings, by id.
        reranked: The table.
        summary: The line.
    """

    generation: Generation
    ranking: Ranking
    going_on: list[Contender]
    records: dict[str, TrainingRecord]
    reranked: RoundRows
    summary: RoundSummary


def begin_search(settings: Settings, name: str, seed: int) -> Search:
    """Return a search that has trained its seeds, as it is before its first round."""
    store = Path(settings.store)
    reduction = seed_architecture(settings.network.strides, settings.network.filters).reduction
    dataset = prepare_dataset(settings.data, settings.search.seed, store, divisible_by=reduction)
    info = open_dataset(dataset).info
    folder = SearchFolder(store / "searches" / name)
    folder.begin(settings, Start(info, versions(), machine(), time.time()))
    tracker = Tracker.connect(settings.tracking.uri, store, settings.tracking.experiment)
    display = Display(Console(file=io.StringIO()))
    nobody = None  # instead of workers: nothing is trained
    search = Search(settings, folder, dataset, info, nobody, tracker, Versions.open(store), display)  # type: ignore[arg-type]
    search.run = tracker.start_search(name, {}, {})
    search.model = f"{settings.tracking.experiment}-{name}"
    play(search, 0, seed, Clock(), Generation([], [], MoveCounts(0, 0, 0, 0, 0)))
    return search


def warm_up(settings: Settings) -> None:
    """Start what a search starts once: Prefect's server, and the imports behind the first of everything."""
    search = begin_search(settings, "warm-up", 0)
    clock, before = Clock(), copy.copy(search)
    play_in_prefect(before, 1, play(search, 1, 0, clock), clock)


def round_rows(search: Search, number: int, repeat: int) -> list[Row]:
    """Go through a search's next round and return what it took."""
    cells = max(len(block.cells) for base in search.bases for block in base.architecture.blocks)
    clock, before = Clock(), copy.copy(search)
    played = play(search, number, repeat, clock)
    play_in_prefect(before, number, played, clock)
    counts = len(played.generation.candidates), cells, len(played.records), repeat, number
    return clock.rows(Situation.ROUND, *counts)


def growth_rows(
    search: Search, situation: Situation, candidates: int, cells: int, repeat: int, number: int
) -> list[Row]:
    """Return what a round takes that has so many candidates, from bases with so many cells in each block.

    Args:
        search: A search that has gone through rounds; it is left as it is.
        situation: Which of the two varies.
        candidates: Of the round.
        cells: Of the bases.
        repeat: Decides the bases.
        number: A number that no other round in the search's folder has.
    """
    clock, forked = Clock(), fork(search)
    generation, forked.bases = around_random_bases(forked, candidates, cells, repeat, number, clock)
    before = copy.copy(forked)
    played = play(forked, number, repeat, clock, generation)
    play_in_prefect(before, number, played, clock)
    return clock.rows(situation, candidates, cells, len(played.records), repeat, number)


def fork(search: Search) -> Search:
    """Return a search that goes on from the same state without changing it."""
    forked = copy.copy(search)
    forked.rounds, forked.rows, forked.trained = list(search.rounds), list(search.rows), list(search.trained)
    forked.candidate_runs, forked._chosen = dict(search.candidate_runs), list(search._chosen)
    return forked


def around_random_bases(
    search: Search, count: int, cells: int, seed: int, number: int, clock: Clock
) -> tuple[Generation, tuple[Base, ...]]:
    """Return candidates around as many random bases as it takes, and the bases.

    Caches start empty. Where not all candidates of a base are taken, the time of making them counts by their share.
    """
    objective, rng = search.settings.objective, random.Random(f"{seed} {count} {cells}")
    clear_caches()
    for cached in (controller_forest._features, facts._block_facts, facts._block_places, facts._cells):
        cached.cache_clear()

    def measured(made: Sequence[Candidate]) -> list[MemoryFigures]:
        widths = objective.weight_bytes, objective.activation_bytes
        return [measure(c.architecture, search.input_shape, search.classes, *widths) for c in made]

    found: dict[str, Candidate] = {}
    memory: list[MemoryFigures] = []
    bases: list[Base] = []
    while len(found) < count:
        network, making = random_base(rng, cells, search.settings.network), Clock()
        made, _ = making.timed(Part.GENERATE, generate)(network, number, found)
        if not made:  # all around this base is taken
            continue
        chosen = rng.sample(made, min(len(made), count - len(found)))
        clock.add(making, len(chosen) / len(made))
        memory += clock.timed(Part.MEMORY, measured)(chosen)
        found |= {candidate.arch_id: candidate for candidate in chosen}
        (figures,) = measured([Candidate(network, network.arch_id, None, "", number)])
        accuracy = made_up_accuracy(network.arch_id, figures.param_bytes, seed)
        bases.append(Base(network, network.arch_id, performance_of(figures, accuracy, objective)))
    counts = MoveCounts(len(found), 0, 0, 0, 0)
    return Generation(list(found.values()), memory, counts), tuple(bases)


def random_base(rng: random.Random, cells: int, settings: NetworkSettings) -> Architecture:
    """Return a random architecture with so many cells in every block: grown, and then trimmed within its cells."""
    operations = rng.choice(GROWABLE_OPERATIONS), rng.choice(GROWABLE_OPERATIONS)
    base = seed_architecture(settings.strides, settings.filters, operations)
    for inputs in range(1, cells):
        first, second = (Branch(rng.randrange(inputs + 1), rng.choice(GROWABLE_OPERATIONS)) for _ in range(2))
        added = Cell(first, second, rng.choice(list(Combiner)), included=True)
        base = apply(base, Move(MoveKind.GROW, added=added)) or base
    for _ in range(cells):
        trimmed = apply(base, rng.choice(list(trims(base))))
        if trimmed is not None and {len(block.cells) for block in trimmed.blocks} == {cells}:
            base = trimmed
    return base


def made_up_accuracy(arch_id: str, param_bytes: int, seed: int) -> float:
    """Return an accuracy that rises with size and is otherwise left to chance, around those of the digits."""
    chance = random.Random(f"{seed} {arch_id}").uniform(-0.01, 0.01)
    return min(0.995, 0.9 + 0.006 * (math.log2(param_bytes) - 6) + chance)


def play(search: Search, number: int, seed: int, clock: Clock, generation: Generation | None = None) -> Played:
    """Go through a round of a search, its steps one after the other.

    Args:
        search: It is a round further afterwards.
        number: The round.
        seed: Of the accuracies.
        clock: Gets the time of each part.
        generation: The candidates, where they are not those of the search.
    """
    with _watched(clock):
        if generation is None:
            generation = clock.timed(Part.GENERATE, round_steps.generate.fn)(search, number)
        if number > 0:
            ranking = clock.timed(Part.RANK, round_steps.rank.fn)(search, generation, number)
            running = list(ranking.top(search.settings.search.top_k))
        else:
            ranking = Ranking(search.seeds, generation.counts)
            running = list(ranking.contenders)
        images, going_on = search.rungs(number), running

        def train_all(
            rung: int, climbing: Sequence[Contender], before: Sequence[TrainingRecord | None]
        ) -> list[TrainingRecord]:
            pairs = zip(climbing, before, strict=True)
            return [_train(search, contender, images[rung], so_far, seed) for contender, so_far in pairs]

        def choose(climbing: Sequence[Contender], so_far: Sequence[TrainingRecord]) -> list[Contender]:
            nonlocal going_on
            going_on = clock.timed(Part.RERANK, round_steps.select.fn)(search, climbing, so_far, number)
            return going_on

        def log_all(ended: Sequence[Contender], records: Sequence[TrainingRecord]) -> None:
            for contender, record in zip(ended, records, strict=True):
                clock.timed(Part.FILES, round_steps.log.fn)(search, contender, record)

        climbed = climb(running, len(images), train_all, choose, log_all)
        records = {record.arch_id: record for record in climbed}
        reranked = clock.timed(Part.RERANK, round_steps.rerank.fn)(search, ranking, climbed, number)
        clock.timed(Part.RERANK, search.accept)(reranked.rows)
        search.controller = clock.timed(Part.CONTROLLER, round_steps.update_controller.fn)(search)
        summary = clock.timed(Part.RERANK, round_steps.record.fn)(search, number, ranking, reranked, climbed)
        search.close_round(summary)
        clock.timed(Part.WINNER, round_steps.register_winner.fn)(search, number)
    return Played(generation, ranking, going_on, records, reranked, summary)


@contextmanager
def _watched(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for part, owner, names in _WHERE:
            for name in names:
                stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield


def _train(
    search: Search, contender: Contender, images: int | None, before: TrainingRecord | None, seed: int
) -> TrainingRecord:
    """Return a made-up training of a rung, and leave weights where they belong."""
    candidate = contender.candidate
    job = search.candidate_job(candidate, images, before)
    seen = images or search.settings.training.epochs * search.info.train_size
    accuracy = made_up_accuracy(candidate.arch_id, contender.memory.param_bytes, seed)
    epochs = range(1, math.ceil(seen / search.info.train_size) + 1)
    record = TrainingRecord(
        arch_id=candidate.arch_id,
        status=Status.TRAINED,
        validation_accuracy=accuracy,
        images_seen=seen,
        started=time.time(),
        seconds=0.0,
        device="cpu",
        message="",
        history=tuple(EpochFigures(epoch, 0.1, accuracy, accuracy, 0.01, 1.0) for epoch in epochs),
        key=job.key,
    )
    network = build_network(lower(candidate.architecture, search.input_shape, search.classes), job.seed)
    write_record(job, record, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    return record


def play_in_prefect(search: Search, number: int, played: Played, clock: Clock) -> None:
    """Go through a round again as a flow whose tasks do nothing.

    Args:
        search: As it was before the round; a copy that nobody needs any more.
        number: The round.
        played: What the tasks return.
        clock: Gets Prefect's time.
    """
    search.accept = lambda _: None  # type: ignore[assignment, method-assign]
    search.close_round = lambda _: None  # type: ignore[assignment, method-assign]
    known: dict[Task[Any, Any], Callable[..., object]] = {
        round_steps.generate: lambda *_: played.generation,
        round_steps.rank: lambda *_: played.ranking,
        round_steps.train: lambda _, contender, *__: played.records[contender.candidate.arch_id],
        round_steps.select: lambda *_: played.going_on,
        round_steps.log: lambda *_: None,
        round_steps.rerank: lambda *_: played.reranked,
        round_steps.update_controller: lambda *_: None,
        round_steps.record: lambda *_: played.summary,
        round_steps.register_winner: lambda *_: None,
    }
    with ExitStack() as stack:
        for task, answer in known.items():
            stack.enter_context(patch.object(task, "fn", _alike(task, answer)))
        _hollow_round(clock, search, number)


def _alike(task: Task[Any, Any], answer: Callable[..., object]) -> Callable[..., object]:
    """Return an answer that Prefect can call as it calls the task: it looks at names of parameters."""
    return wraps(task.fn)(answer)


@flow(name="memnas-overhead", validate_parameters=False)
def _hollow_round(clock: Clock, search: Search, number: int) -> None:
    with without_heartbeats():
        clock.timed(Part.PREFECT, search_round)(search, number)
