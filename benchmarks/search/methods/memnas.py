"""memnas's own rounds in one process, its parts taken out one at a time.

The loop is the core's. Starting `memnas search` takes longer than a short search on small images trains; a test holds
that both train the same networks to the same accuracies.

    variant                      difference from the yardstick's settings
    memnas                       none
    memnas, uniform choice       all candidates of a round have the same chance
    memnas, memory alone         those that save most of their base's memory come first
    memnas, base's accuracy      a candidate is expected to be as accurate as its base
    memnas, the paper's SCC      the paper's two GRUs predict accuracies
    memnas, measured choice      what is handed over is chosen by what was measured, not by the controller's estimates
    memnas, inherited weights    candidates begin with the weights of their bases
    memnas, the paper's way      one base, every candidate fully trained from nothing, the paper's SCC on Eq. 4
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.search.methods.interface import SpentError
from benchmarks.search.methods.tally import Tally
from benchmarks.search.methods.trainer import Task
from memnas_core.records.trainings import TrainingRecord
from memnas_core.search.aim import Aim
from memnas_core.search.candidates import Generation, RankedCandidate, Ranking
from memnas_core.search.loop import Candidates, Steps, play_round, why_it_ends
from memnas_core.search.state import SearchState
from memnas_core.training import worker
from memnas_core.training.job import candidate_seed
from memnas_core.training.record import finished

PAPER = (
    "search.aim=score",
    "search.seed_cells=[[conv_3x3, conv_3x3]]",
    "search.choice=measured",
    "search.seed_shares=[1.0]",
    "search.widths=false",
    "network.filters=12",
    "network.stem_stride=1",
    "search.keep=1.0",
    "controller.version=paper",
    "controller.target=metric",
    "objective.accuracy_floor=null",
)
"""The paper's way, but for the length of a training, which the data set's settings give (`one_rung`)."""

INHERITED = ("search.weights=base", "search.warm_learning_rate=0.02", "search.choice=measured")
"""Candidates begin with the weights of their bases: accuracies are not of one length of training, as estimates need."""

Order = Callable[[SearchState, Generation, random.Random], list[int]]
"""Returns the indices of a round's candidates, the first to be trained first."""


def uniform(search: SearchState, generation: Generation, rng: random.Random) -> list[int]:  # noqa: ARG001
    """Return a random order."""
    return rng.sample(range(len(generation.candidates)), len(generation.candidates))


def memory_alone(search: SearchState, generation: Generation, rng: random.Random) -> list[int]:  # noqa: ARG001
    """Order candidates by their memory as a share of their base's, the smallest first."""
    convention = search.settings.objective.activation_convention
    bases = {base.arch_id: base.performance.total_bytes for base in search.bases}

    def share(index: int) -> float:
        memory = generation.memory[index]
        total = memory.param_bytes + memory.activation_bytes(convention)
        return total / bases[generation.candidates[index].parent_id or ""]

    return sorted(range(len(generation.candidates)), key=share)


class Variant(NamedTuple):
    """A way to search that goes through memnas's rounds.

    Attributes:
        overrides: Settings that differ from the data set's.
        order: Order of a round's candidates; None: that of the aim.
        aim: The aim, if it is not one of memnas's.
        one_rung: Whether candidates train once, as long as both rungs together.
    """

    overrides: tuple[str, ...] = ()
    order: Order | None = None
    aim: Callable[[Task], Aim] | None = None
    one_rung: bool = False


VARIANTS: Mapping[str, Variant] = {
    "memnas": Variant(),
    "memnas, uniform choice": Variant(order=uniform),
    "memnas, memory alone": Variant(order=memory_alone),
    "memnas, base's accuracy": Variant(("search.selection=random",)),
    "memnas, the paper's SCC": Variant(("controller.version=paper",)),
    "memnas, measured choice": Variant(("search.choice=measured",)),
    "memnas, inherited weights": Variant(INHERITED),
    "memnas, the paper's way": Variant(PAPER, one_rung=True),
}


class TalliedSteps(Steps):
    """The steps of a round, whose trainings are counted until the images are spent."""

    def __init__(self, tally: Tally, limit: int, order: Order | None) -> None:
        self._tally = tally
        self._limit = limit
        self._order = order

    def rank(self, search: SearchState, generation: Generation, number: int) -> Ranking:
        """Order the candidates as the variant does."""
        if number == 0 or self._order is None:
            return super().rank(search, generation, number)
        rng = random.Random(candidate_seed(search.settings.search.seed, number, "order"))
        order = self._order(search, generation, rng)
        ranked = [
            RankedCandidate(generation.candidates[i], generation.memory[i], place, None, None)
            for place, i in enumerate(order, start=1)
        ]
        return Ranking(ranked, generation.counts)

    def train(
        self, search: SearchState, rung: int, candidates: Candidates, before: Sequence[TrainingRecord | None]
    ) -> Sequence[TrainingRecord]:
        """Train candidates on a rung one after the other.

        Raises:
            SpentError: The images were spent before.
        """
        images, records = search.rungs(len(search.rounds))[rung], []
        for ranked, so_far in zip(candidates, before, strict=True):
            if self._tally.images >= self._limit:
                raise SpentError
            job = search.candidate_job(ranked.candidate, images, so_far)
            record = finished(job) or worker.run(job)
            accuracy, architecture = record.validation_accuracy, ranked.candidate.architecture
            self._tally.add(architecture, accuracy, ranked.memory, record.images_seen, record.key)
            records.append(record)
        return records


def search_plainly(task: Task, tally: Tally, limit: int, folder: Path, variant: Variant) -> None:
    """Search until so many training images are spent, or nothing is left to train.

    Args:
        task: Settings and data.
        tally: Receives each rung of a candidate.
        limit: Training images; the last training may go beyond.
        folder: Receives finished trainings, under the keys of what decides them.
        variant: The way to search.
    """
    settings = task.settings
    if variant.one_rung:
        settings = replace(settings, search=replace(settings.search, rungs=(sum(settings.search.rungs),)))
    search = SearchState(settings, task.folder, task.info, folder)
    if variant.aim is not None:
        search.aim = variant.aim(task)
    steps = TalliedSteps(tally, limit, variant.order)
    play_round(search, steps)
    while why_it_ends(search) is None:
        play_round(search, steps)
