"""A model of what 8, 64 and 512 GPUs do to a round, based on measured costs outside training; no GPU was used.

A round consists of serial work (generation, memory, ranking, the record) and of rungs, one after the other. In a rung
the search starts the trainings one by one, each at some CPU cost; a training runs as soon as a GPU is free, and a rung
ends with its last training. The lengths of a rung's trainings are spread evenly between `1 - SPREAD` and `1 + SPREAD`
of their mean. The longest start first, which is the most favourable order.

`python -m benchmarks.ray_throughput.cluster_model` prints the model's result from the committed rows.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.overhead.clock import Part, Situation
from benchmarks.overhead.clock import Row as OverheadRow
from benchmarks.overhead.report import by_part
from benchmarks.ray_throughput.report import RAY, Row, cpu_milliseconds, first_seconds, milliseconds
from memnas_core.files.parquet import read_parquet

GPUS = (1, 8, 64, 512)
SPREAD = 0.5
OVERHEAD = Path("benchmarks/results/overhead.parquet")
THROUGHPUT = Path("benchmarks/results/ray_throughput.parquet")

BY_CANDIDATE = (Part.GENERATE, Part.MEMORY, Part.RANK, Part.RERANK, Part.CONTROLLER)
"""Serial parts that grow with the candidates of a round; the winner's export runs alongside the next round."""

BY_TRAINING = (Part.FILES, Part.MLFLOW, Part.TABLES, Part.DVC, Part.PREFECT)
"""Serial parts that grow with the number of trained candidates."""

PAPER_SECONDS = 14 * 86400 * 4 / (20 * 100)
"""GPU seconds of one training in the paper: 14 days on four GPUs over 100 candidates in each of 20 assumed rounds."""


class Costs(NamedTuple):
    """Costs of a round outside training, in seconds.

    Attributes:
        round: Serial parts of a round that grow with its candidates.
        training: Serial parts for each trained candidate.
        begin: CPU time of the search's process to start a training on Ray.
        start: Time from there until the training runs: Ray, Prefect and, on a GPU, a new process.
    """

    round: float
    training: float
    begin: float
    start: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The trainings of a round.

    Attributes:
        name: Name of the round.
        candidates: Candidates trained in the first rung (k).
        rungs: Mean seconds of a training in each rung on one GPU.
        keep: Share of candidates that goes on to the next rung.
    """

    name: str
    candidates: int
    rungs: tuple[float, ...]
    keep: float

    @property
    def sizes(self) -> list[int]:
        """Number of trainings in each rung."""
        sizes = [self.candidates]
        while len(sizes) < len(self.rungs):
            sizes.append(math.ceil(self.keep * sizes[-1]))
        return sizes

    @property
    def work(self) -> float:
        """Seconds of training on one GPU."""
        return sum(size * seconds for size, seconds in zip(self.sizes, self.rungs, strict=True))


class Outcome(NamedTuple):
    """A round on a given number of GPUs, in seconds; the last four add up to `seconds`.

    Attributes:
        gpus: Number of GPUs.
        seconds: Duration of the round.
        full: Training time if all GPUs were always busy.
        idle: Time in which GPUs wait for the last trainings of a rung, or have none.
        begun: Time in which trainings wait to be started by the search, by Ray and by a new process.
        serial: Time of the serial parts.
    """

    gpus: int
    seconds: float
    full: float
    idle: float
    begun: float
    serial: float

    @property
    def utilisation(self) -> float:
        """Share of the GPUs' time in which they train."""
        return self.full / self.seconds

    @property
    def loss(self) -> str:
        """The largest cost of a round beside training, in words."""
        parts = {"too few candidates": self.idle, "starting": self.begun, "serial parts": self.serial}
        return max(parts, key=lambda name: parts[name])


def lengths(count: int, mean: float) -> list[float]:
    """Return the seconds of each training of a rung, the longest first."""
    if count == 1:
        return [mean]
    return [mean * (1 + SPREAD * (1 - 2 * place / (count - 1))) for place in range(count)]


def makespan(seconds: Sequence[float], gpus: int, begin: float, start: float) -> float:
    """Return the seconds until the last of several trainings ends.

    Args:
        seconds: Seconds of each training, in the order in which they start.
        gpus: Number of GPUs, each running one training at a time.
        begin: Least time between the starts of two trainings, in seconds.
        start: Seconds on its GPU before a training runs.
    """
    free = [0.0] * gpus
    for place, length in enumerate(seconds, start=1):
        heapq.heapreplace(free, max(free[0], place * begin) + start + length)
    return max(free)


def on(plan: Plan, gpus: int, costs: Costs) -> Outcome:
    """Return the outcome of a round on a given number of GPUs."""
    rungs = [lengths(size, seconds) for size, seconds in zip(plan.sizes, plan.rungs, strict=True)]
    bare = sum(makespan(rung, gpus, 0.0, 0.0) for rung in rungs)
    real = sum(makespan(rung, gpus, costs.begin, costs.start) for rung in rungs)
    serial = costs.round + costs.training * plan.candidates
    full = plan.work / gpus
    return Outcome(gpus, real + serial, full, bare - full, real - bare, serial)


def half_used(plan: Plan, costs: Costs, most: int = 4096) -> int | None:
    """Return the fewest GPUs that train less than half of the time, or None if even `most` GPUs train more."""
    return next((gpus for gpus in range(1, most + 1) if on(plan, gpus, costs).utilisation < 0.5), None)


def costs_of(throughput: Sequence[Row], overhead: Sequence[OverheadRow], candidates: int = 1000) -> Costs:
    """Return the measured costs of a round with a given number of candidates, which must have been measured."""
    grown = [row for row in overhead if row.situation is Situation.CANDIDATES and row.candidates == candidates]
    parts, trained = by_part(grown), grown[0].trained
    return Costs(
        round=sum(parts[part].median for part in BY_CANDIDATE),
        training=sum(parts[part].median for part in BY_TRAINING) / trained,
        begin=cpu_milliseconds(throughput, RAY).median / 1000,
        start=milliseconds(throughput, RAY).median / 1000 + first_seconds(throughput, RAY),
    )


def overhead_rows() -> tuple[OverheadRow, ...]:
    """Return the committed rows of the overhead benchmark."""
    return read_parquet(OVERHEAD, OverheadRow, "what a round takes outside training", "run benchmarks.overhead")


def plans() -> tuple[Plan, ...]:
    """Return the paper's round, the same with the default's rungs, the same with 512 candidates, and a small one."""
    shares = (0.1, 0.4)
    halved = tuple(share * PAPER_SECONDS for share in shares)
    return (
        Plan("the paper: k = 100, full trainings", 100, (PAPER_SECONDS,), 1.0),
        Plan("the paper's trainings in rungs of 0.1 and 0.4, of which a quarter goes on: k = 100", 100, halved, 0.25),
        Plan("the same with k = 512", 512, halved, 0.25),
        Plan("small trainings as in the default: k = 8, rungs of 1 and 4 s, a quarter goes on", 8, (1.0, 4.0), 0.25),
    )


def model_findings(costs: Costs) -> Iterator[str]:
    """Yield the model's results for the paper's round, in sentences."""
    full, halved, many, _ = plans()
    words = []
    for plan in (full, halved, many):
        shown = [on(plan, gpus, costs) for gpus in GPUS]
        gains = " and ".join(f"{shown[0].seconds / found.seconds:.0f}" for found in shown[1:])
        words.append(f"{gains.replace(' and ', ', ', 1)} times ({plan.name})")
    used = (full, halved, many)
    halves = ", ".join(str(half_used(plan, costs)) for plan in used)
    losses = ", ".join(dict.fromkeys(on(plan, GPUS[-1], costs).loss for plan in used))
    yield (
        "- **A model, no measurement: 8, 64 and 512 GPUs make a round of the paper's trainings faster** by "
        f"{'; '.join(words)}. Half of the GPUs' time is lost from {halves} GPUs on; with 512 most of it to: {losses}."
    )


def model_lines(costs: Costs) -> Iterator[str]:
    """Yield the model's results in Markdown."""
    yield (
        f"Costs that go in: {costs.round:.2f} s a round and {costs.training:.3f} s a trained candidate in serial "
        f"parts, {costs.begin * 1000:.0f} ms to begin a training, {costs.start:.1f} s until a new process on "
        f"its GPU trains. A training of the paper takes {PAPER_SECONDS:,.0f} s on one of its GPUs."
    )
    for plan in plans():
        first, half = on(plan, 1, costs), half_used(plan, costs)
        yield ""
        yield f"**{plan.name[0].upper()}{plan.name[1:]}.** " + (
            f"From {half} GPUs on they train less than half of the time; the rest is most of all: "
            f"{on(plan, half, costs).loss}."
            if half is not None
            else "They train more than half of the time however many there are."
        )
        yield ""
        yield (
            "| GPUs | round, s | speed-up | GPUs train | seconds: training at full use | too few candidates | starting "
            "| serial | most of what is lost |"
        )
        yield "|---:|---:|---:|---:|---:|---:|---:|---:|---|"
        for gpus in GPUS:
            found = on(plan, gpus, costs)
            yield (
                f"| {gpus} | {found.seconds:,.1f} | {first.seconds / found.seconds:.1f} | {found.utilisation:.1%} | "
                f"{found.full:,.1f} | {found.idle:,.1f} | {found.begun:,.1f} | {found.serial:,.1f} "
                f"| {found.loss} |"
            )


def main() -> None:
    """Print the model's results for the committed rows."""
    rows = read_parquet(THROUGHPUT, Row, "throughput of workers", "run benchmarks.ray_throughput")
    print("\n".join(model_lines(costs_of(rows, overhead_rows()))))


if __name__ == "__main__":
    main()
