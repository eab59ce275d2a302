"""The protocol of Table 3: what controllers learn from, what they rank, and how they are judged.

    symbol   here                meaning                                            shape
    n        candidates          all with successful trainings, without the seed    scalar
    a', a''  first, second       mean accuracy of each half of the trainings        (n,)
    y', y''  first_y, second_y   Eq. 4 of each half, relative to the seed network   (n,)
    lambda   accuracy_weight     0.5 as in the paper; 1 for accuracy alone          scalar

- Candidates are ranked by Eq. 4 relative to one common base, the seed network, so that values of different rounds can
  be compared. At lambda = 0.5 memory decides nearly all of the order, and memory is known before training. At
  lambda = 1 only the accuracy counts, which is not known.
- The trainings of a candidate, with independent seeds, are divided in halves: of four, the first two and the last two.
  A controller learns from the mean of the first half and is judged against that of the second. The noise ceiling is
  Kendall's tau between the two halves on the same candidates: the score of a prediction made by training them all
  again. A perfect predictor of the *expected* accuracy could exceed it, as only one of the two rankings would be noisy.
- Split `random`: a third of the candidates, drawn anew with each seed, is ranked; the others are learned from.
- Split `rounds`: the controller learns from all candidates of rounds up to r and ranks those of round r + 1, for each
  r, as in a search; figures are means over r. Only the controllers' own seeds differ here.
- Learning curve: the same ranked third as in split `random`, but only the first candidates of the rest to learn from.
- The tau within bases compares only candidates that were made from the same base, as a round of a search does.

Source: section 4.5 and Table 3, which state neither the candidates, nor n, nor the formula of AP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from experiments.candidates import TABLE, TrainedCandidate, read_table
from experiments.plan import PLAN_FILE
from memnas_core.errors import RecordError
from memnas_core.memory.figures import PeakFigures
from memnas_core.objective.score import Performance, score
from memnas_core.settings.kinds import ActivationConvention
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json

ACCURACY_WEIGHTS = (0.5, 1.0)
CUTOFFS = (50, 100)  # the paper's k
SEEDS = (0, 1, 2, 3, 4)
CURVE_SIZES = (25, 50, 100, 200)  # and all the candidates that split `random` leaves
TESTED_SHARE = 3  # one candidate in so many is ranked

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a candidate before training."""

    architecture: Architecture
    memory: PeakFigures


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """The trained candidates as arrays.

    Attributes:
        arch_ids: Ids of the n candidates.
        known: Architectures and memory of the n candidates.
        rounds: Round of each candidate; shape (n,).
        bases: Number of the base that each candidate was made from; first networks of lineages have their own; shape
            (n,).
        trainings: Number of trainings of each candidate, in both halves together.
        first: Mean accuracy of the first half of the trainings; shape (n,).
        second: Mean accuracy of the second half; shape (n,).
        seed_network: Memory of the seed network.
        seed_accuracies: Mean accuracy of the seed network in the first and in the second half.
        convention: The convention whose activation peak enters Eq. 4.
    """

    arch_ids: tuple[str, ...]
    known: tuple[Known, ...]
    rounds: Indices
    bases: Indices
    trainings: int
    first: Array
    second: Array
    seed_network: PeakFigures
    seed_accuracies: tuple[float, float]
    convention: ActivationConvention

    def metric(self, indices: Indices, accuracies: Array, accuracy_weight: float, half: int) -> Array:
        """Return Eq. 4 of candidates relative to the seed network, their memory terms exact.

        Args:
            indices: Indices of the m candidates.
            accuracies: Measured or predicted accuracies; shape (m,).
            accuracy_weight: The paper's lambda.
            half: Half of the seed network's trainings that the result is relative to, 0 or 1.
        """
        base = Performance(
            self.seed_accuracies[half],
            self.seed_network.activation_bytes(self.convention),
            self.seed_network.param_bytes,
        )
        memory = [self.known[index].memory for index in indices]
        return np.array(
            [
                score(
                    Performance(accuracy, figures.activation_bytes(self.convention), figures.param_bytes),
                    base,
                    accuracy_weight,
                )
                for accuracy, figures in zip(accuracies.tolist(), memory, strict=True)
            ]
        )

    def first_y(self, indices: Indices, accuracy_weight: float) -> Array:
        """Return y' of candidates, from which controllers learn."""
        return self.metric(indices, self.first[indices], accuracy_weight, 0)

    def second_y(self, indices: Indices, accuracy_weight: float) -> Array:
        """Return y'' of candidates, against which controllers are judged."""
        return self.metric(indices, self.second[indices], accuracy_weight, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Candidates to learn from and candidates to rank.

    Attributes:
        name: `random` or `rounds`.
        seed: Seed of the draw and of the controller.
        last_round: The last round that is learned from; 0 for split `random`.
        train: Indices of the candidates to learn from, in random order.
        test: Indices of the candidates to rank, ascending.
    """

    name: str
    seed: int
    last_round: int
    train: Indices
    test: Indices


def load_benchmark(convention: ActivationConvention, path: Path = TABLE) -> Benchmark:
    """Read the trained candidates, leaving out those of which a training failed.

    Raises:
        RecordError: The table cannot be read, lacks the seed network, or its candidates were not trained twice.
    """
    return benchmark_of(read_table(path), convention, str(path))


def benchmark_of(rows: Sequence[TrainedCandidate], convention: ActivationConvention, source: str) -> Benchmark:
    """Return rows of the table as arrays.

    Raises:
        RecordError: As for `load_benchmark`.
    """
    trainings = min((len(row.accuracies) for row in rows), default=0) // 2 * 2
    complete = [row for row in rows if trainings and None not in row.accuracies[:trainings]]
    seeds = [row for row in complete if row.lineage == 0]
    candidates = sorted((row for row in complete if row.lineage > 0), key=lambda row: row.arch_id)
    if len(seeds) != 1 or len(candidates) < 2 * TESTED_SHARE:
        raise RecordError(
            f"{source}: expected the seed network and several candidates, each trained twice or more, found "
            f"{len(seeds)} and {len(candidates)}; make it again with dvc repro candidates"
        )
    accuracies = np.array([row.accuracies[:trainings] for row in (*seeds, *candidates)], dtype=np.float64)
    halves = accuracies.reshape(len(accuracies), 2, trainings // 2).mean(axis=2)
    # The first network of a lineage has no base, so it forms a group of its own.
    _, bases = np.unique([row.parent_id or row.arch_id for row in candidates], return_inverse=True)
    (seed,) = seeds
    return Benchmark(
        arch_ids=tuple(row.arch_id for row in candidates),
        known=tuple(Known(from_json(row.architecture), row.memory) for row in candidates),
        rounds=np.array([row.round for row in candidates], dtype=np.int64),
        bases=bases.astype(np.int64),
        trainings=trainings,
        first=halves[1:, 0],
        second=halves[1:, 1],
        seed_network=seed.memory,
        seed_accuracies=(float(halves[0, 0]), float(halves[0, 1])),
        convention=convention,
    )


def check_cutoffs(benchmark: Benchmark) -> None:
    """Check that no round is too small for the smallest k that is judged.

    Raises:
        RecordError: A round that is to be ranked has fewer candidates than that.
    """
    for number in range(2, int(benchmark.rounds.max()) + 1):
        ranked = int((benchmark.rounds == number).sum())
        if ranked < min(CUTOFFS):
            raise RecordError(
                f"{TABLE}: expected at least {min(CUTOFFS)} trained candidates in round {number}, the smallest k that "
                f"is judged, found {ranked}; raise candidates.lineages or candidates.children in {PLAN_FILE}"
            )


def splits(benchmark: Benchmark, seeds: Sequence[int] = SEEDS) -> Iterator[Split]:
    """Yield the splits of the protocol."""
    n = len(benchmark.known)
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(n)
        test, train = order[: n // TESTED_SHARE], order[n // TESTED_SHARE :]
        yield Split("random", seed, 0, train, np.sort(test))
        for last in range(1, int(benchmark.rounds.max())):
            earlier = np.flatnonzero(benchmark.rounds <= last)
            train = np.random.default_rng((seed, last)).permutation(earlier)
            yield Split("rounds", seed, last, train, np.flatnonzero(benchmark.rounds == last + 1))
