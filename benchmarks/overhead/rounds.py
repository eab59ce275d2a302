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
from typing import Any
from unittest.mock import patch

from prefect import Task, flow
from rich.console import Console
from safetensors.torch import save

from benchmarks.generation import clear_caches
from benchmarks.overhead.clock import Clock, Part, Row, Situation
from flows.round import search_round, without_heartbeats
from memnas_core.controller import features, forest
from memnas_core.controller.interface import Controller
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.environment import machine, versions
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.objective.score import performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import EpochFigures, Status, TrainingRecord
from memnas_core.results.folder import SearchFolder, Start
from memnas_core.search import front_aim, generation
from memnas_core.search.candidates import Base, Generation, RankedCandidate, Ranking
from memnas_core.search.loop import Candidates, Records, Rows, Steps, play_round
from memnas_core.search.state import SearchState
from memnas_core.settings.schema import NetworkSettings, Settings
from memnas_core.space.architecture import Architecture, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.moves import (
    Candidate,
    Move,
    MoveCounts,
    MoveKind,
    apply,
    first_network,
    generate,
    seed_architecture,
    trims,
)
from memnas_core.space.operations import OPERATIONS
from memnas_core.training.network import build_network
from memnas_core.training.record import write_record
from tasks import recording, round_steps
from tasks.artifacts import Artifacts
from tasks.display import Display
from tasks.round_steps import RoundRows
from tasks.session import Session
from tasks.tracking.tracker import Tracker
from tasks.versioning.repository import Versions

GROWTH_CELLS = 4
"""Cells a block of the bases where the number of candidates grows."""

GROWTH_CANDIDATES = 1000
"""Candidates where the number of cells grows."""

_WHERE: tuple[tuple[Part, type | ModuleType, tuple[str, ...]], ...] = (
    (Part.MEMORY, generation, ("measure",)),
    (Part.MEMORY, front_aim, ("measure",)),
    (Part.FILES, recording, ("network_files",)),
    (
        Part.MLFLOW,
        Tracker,
        ("start_round", "log_candidate", "candidate_run", "update_scores", "log_figures", "mark_winner", "end"),
    ),
    (Part.WINNER, Tracker, ("log_model",)),
    (Part.TABLES, SearchFolder, ("write_round", "write_tables")),
    (Part.DVC, Versions, ("add",)),
)
"""Functions inside the steps that are parts of their own."""


class TimedSteps(Steps):
    """The steps of a round as tasks do them, each with its time, and with trainings that are made up.

    Attributes:
        generation: The candidates.
        ranking: The candidates in order.
        going_on: Those that went on to the last rung.
        records: Trainings, by id.
        rows: The table.
    """

    def __init__(self, session: Session, seed: int, clock: Clock, given: Generation | None = None) -> None:
        """Take what a round needs.

        Args:
            session: The search.
            seed: Decides the accuracies.
            clock: Gets the time of each part.
            given: The candidates, where they are not those of the search.
        """
        self._session = session
        self._seed = seed
        self._clock = clock
        self._given = given
        self.ranking = Ranking([], MoveCounts(0, 0, 0, 0, 0))
        self.generation = Generation([], [], self.ranking.counts)
        self.going_on: Sequence[RankedCandidate] = []
        self.records: dict[str, TrainingRecord] = {}
        self.rows: Sequence[CandidateRow] = []

    def generate(self, _search: SearchState, number: int) -> Generation:
        """Make and measure the candidates."""
        made = self._clock.timed(Part.GENERATE, round_steps.generate.fn)
        self.generation = self._given or made(self._session, number)
        return self.generation

    def rank(self, _search: SearchState, generation: Generation, number: int) -> Ranking:
        """Order them."""
        self.ranking = self._clock.timed(Part.RANK, round_steps.rank.fn)(self._session, generation, number)
        return self.ranking

    def train(
        self, search: SearchState, rung: int, candidates: Candidates, before: Sequence[TrainingRecord | None]
    ) -> list[TrainingRecord]:
        """Make trainings up."""
        images = search.rungs(len(search.rounds))[rung]
        pairs = zip(candidates, before, strict=True)
        found = [_train(search, ranked, images, so_far, self._seed) for ranked, so_far in pairs]
        self.going_on = candidates
        self.records |= {record.arch_id: record for record in found}
        return found

    def select(self, _search: SearchState, candidates: Candidates, records: Records) -> list[RankedCandidate]:
        """Choose who goes on."""
        return self._clock.timed(Part.RERANK, round_steps.select.fn)(self._session, candidates, records)

    def ended(self, _search: SearchState, candidates: Candidates, records: Records) -> None:
        """Put them into MLflow."""
        for ranked, record in zip(candidates, records, strict=True):
            self._clock.timed(Part.FILES, round_steps.log.fn)(self._session, ranked, record)

    def rerank(self, _search: SearchState, ranking: Ranking, records: Records) -> Rows:
        """Score them."""
        self.rows = self._clock.timed(Part.RERANK, round_steps.rerank.fn)(self._session, ranking, records).rows
        return self.rows

    def update_controller(self, _search: SearchState) -> Controller | None:
        """Learn."""
        return self._clock.timed(Part.CONTROLLER, round_steps.update_controller.fn)(self._session)

    def close(self, search: SearchState, ranking: Ranking, rows: Rows, records: Records) -> RoundSummary:
        """Put the round on record."""
        summary = self._clock.timed(Part.RERANK, super().close)(search, ranking, rows, records)
        self._clock.timed(Part.RERANK, round_steps.record.fn)(self._session, summary, RoundRows(rows))
        self._clock.timed(Part.WINNER, round_steps.register_winner.fn)(self._session, summary.round)
        return summary


def begin_search(settings: Settings, name: str, seed: int) -> Session:
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
    artifacts = Artifacts(name, settings.search.rounds)
    session = Session(settings, folder, dataset, info, nobody, tracker, Versions.open(store), display, artifacts)  # type: ignore[arg-type]
    session.run = tracker.start_search(name, {}, {})
    session.model = f"{settings.tracking.experiment}-{name}"
    play(session, seed, Clock())
    return session


def warm_up(settings: Settings) -> None:
    """Start what a search starts once: Prefect's server, and the imports behind the first of everything."""
    session = begin_search(settings, "warm-up", 0)
    clock, before = Clock(), fork(session)
    play_in_prefect(before, play(session, 0, clock), clock)


def round_rows(session: Session, number: int, repeat: int) -> list[Row]:
    """Go through a search's next round and return what it took."""
    cells = max(len(block.cells) for base in session.state.bases for block in base.architecture.blocks)
    clock, before = Clock(), fork(session)
    played = play(session, repeat, clock)
    play_in_prefect(before, played, clock)
    counts = len(played.generation.candidates), cells, len(played.records), repeat, number
    return clock.rows(Situation.ROUND, *counts)


def growth_rows(
    session: Session, situation: Situation, candidates: int, cells: int, repeat: int, number: int
) -> list[Row]:
    """Return what a round takes that has so many candidates, from bases with so many cells in each block.

    Args:
        session: A search that has gone through rounds; it is left as it is.
        situation: Which of the two varies.
        candidates: Number of candidates of the round.
        cells: Cells of each block of the bases.
        repeat: Decides the bases.
        number: A number that no other round in the search's folder has.
    """
    clock, forked = Clock(), fork(session)
    made, forked.state.bases = around_random_bases(forked.state, candidates, cells, repeat, number, clock)
    forked.state.rounds += forked.state.rounds[-1:] * (number - len(forked.state.rounds))
    before = fork(forked)
    played = play(forked, repeat, clock, made)
    play_in_prefect(before, played, clock)
    return clock.rows(situation, candidates, cells, len(played.records), repeat, number)


def fork(session: Session) -> Session:
    """Return a search that goes on from the same state without changing it."""
    forked, state = copy.copy(session), copy.copy(session.state)
    state.rounds, state.rows, state.chosen = list(state.rounds), list(state.rows), list(state.chosen)
    forked.state, forked.candidate_runs = state, dict(session.candidate_runs)
    return forked


def around_random_bases(
    search: SearchState, count: int, cells: int, seed: int, number: int, clock: Clock
) -> tuple[Generation, tuple[Base, ...]]:
    """Return candidates around as many random bases as it takes, and the bases.

    Caches start empty. Where not all candidates of a base are taken, the time of making them counts by their share.
    """
    objective, rng = search.settings.objective, random.Random(f"{seed} {count} {cells}")
    clear_caches()
    for cached in (forest._features, features._block_features, features._block_places, features._cells):
        cached.cache_clear()

    def measured(made: Sequence[Candidate]) -> list[MemoryFigures]:
        return [measure(candidate.architecture, search.workload) for candidate in made]

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
        (figures,) = measured([first_network(network)])
        accuracy = made_up_accuracy(network.arch_id, figures.param_bytes, seed)
        bases.append(Base(network, network.arch_id, performance_of(figures, accuracy, objective)))
    counts = MoveCounts(len(found), 0, 0, 0, 0)
    return Generation(list(found.values()), memory, counts), tuple(bases)


def random_base(rng: random.Random, cells: int, settings: NetworkSettings) -> Architecture:
    """Return a random architecture with so many cells in every block: grown, and then trimmed within its cells."""
    operations = rng.choice(OPERATIONS.grown), rng.choice(OPERATIONS.grown)
    base = seed_architecture(settings.strides, settings.filters, operations)
    for inputs in range(1, cells):
        first, second = (Branch(rng.randrange(inputs + 1), rng.choice(OPERATIONS.grown)) for _ in range(2))
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


def play(session: Session, seed: int, clock: Clock, given: Generation | None = None) -> TimedSteps:
    """Go through a round of a search, its steps one after the other; arguments as `TimedSteps`.

    The search is a round further afterwards.
    """
    steps = TimedSteps(session, seed, clock, given)
    with _watched(clock):
        play_round(session.state, steps)
    return steps


@contextmanager
def _watched(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for part, owner, names in _WHERE:
            for name in names:
                stack.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield


def _train(
    search: SearchState, ranked: RankedCandidate, images: int | None, before: TrainingRecord | None, seed: int
) -> TrainingRecord:
    """Return a made-up training of a rung, and leave weights where they belong."""
    candidate = ranked.candidate
    job = search.candidate_job(candidate, images, before)
    seen = images or search.settings.training.epochs * search.info.train_size
    accuracy = made_up_accuracy(candidate.arch_id, ranked.memory.param_bytes, seed)
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
    network = build_network(
        lower(candidate.architecture, search.workload.input_shape, search.workload.classes), job.seed
    )
    write_record(job, record, save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    return record


def play_in_prefect(session: Session, played: TimedSteps, clock: Clock) -> None:
    """Go through a round again as a flow whose tasks do nothing.

    Args:
        session: As it was before the round; a copy that nobody needs any more.
        played: What the tasks return.
        clock: Gets Prefect's time.
    """
    session.state.accept = lambda _: None  # type: ignore[assignment, method-assign]
    session.state.close_round = lambda _: None  # type: ignore[assignment, method-assign]
    known: dict[Task[Any, Any], Callable[..., object]] = {
        round_steps.generate: lambda *_: played.generation,
        round_steps.rank: lambda *_: played.ranking,
        round_steps.train: lambda _, ranked, *__: played.records[ranked.arch_id],
        round_steps.select: lambda *_: played.going_on,
        round_steps.log: lambda *_: None,
        round_steps.rerank: lambda *_: RoundRows(played.rows),
        round_steps.update_controller: lambda *_: None,
        round_steps.record: lambda *_: None,
        round_steps.register_winner: lambda *_: None,
    }
    with ExitStack() as stack:
        for task, answer in known.items():
            stack.enter_context(patch.object(task, "fn", _alike(task, answer)))
        _hollow_round(clock, session, len(session.state.rounds))


def _alike(task: Task[Any, Any], answer: Callable[..., object]) -> Callable[..., object]:
    """Return an answer that Prefect can call as it calls the task: it looks at names of parameters."""
    return wraps(task.fn)(answer)


@flow(name="memnas-overhead", validate_parameters=False)
def _hollow_round(clock: Clock, session: Session, number: int) -> None:
    with without_heartbeats():
        clock.timed(Part.PREFECT, search_round)(session, number)
