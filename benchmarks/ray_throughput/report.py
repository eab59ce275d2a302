"""The findings and tables of the throughput benchmark, computed only from its rows."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.spread import Spread

PROCESSES, RAY = "processes", "ray"
TRAININGS, EMPTY, FIRST = "trainings", "empty", "first"


@dataclass(frozen=True, slots=True)
class Row:
    """One turn of one kind of workers.

    Attributes:
        runner: `processes` or `ray`.
        what: `trainings`, `empty` calls, or the `first` call of a worker, which starts it.
        workers: Number of workers at work at once.
        repeat: Number of the turn, from 1.
        calls: Number of trainings or calls.
        images: Training images of all trainings together.
        seconds: Wall time in seconds.
        cpu_seconds: CPU time of the waiting process in seconds.
    """

    runner: str
    what: str
    workers: int
    repeat: int
    calls: int
    images: int
    seconds: float
    cpu_seconds: float


def turns(rows: Sequence[Row], runner: str, what: str, workers: int = 1) -> list[Row]:
    """Return the turns of one kind, in the order of repeats."""
    return [row for row in rows if (row.runner, row.what, row.workers) == (runner, what, workers)]


def images_a_second(rows: Sequence[Row], runner: str, workers: int) -> list[float]:
    """Return the images a second of all workers together, in the order of repeats."""
    return [row.images / row.seconds for row in turns(rows, runner, TRAININGS, workers)]


def ratio(rows: Sequence[Row], workers: int) -> Spread:
    """Return the ratio of Ray's training throughput to that of processes, compared within each repeat."""
    pairs = zip(images_a_second(rows, RAY, workers), images_a_second(rows, PROCESSES, workers), strict=True)
    return Spread.of([ray / processes for ray, processes in pairs])


def milliseconds(rows: Sequence[Row], runner: str) -> Spread:
    """Return the wall time of an empty call, in milliseconds."""
    return Spread.of([1000 * row.seconds / row.calls for row in turns(rows, runner, EMPTY)])


def cpu_milliseconds(rows: Sequence[Row], runner: str) -> Spread:
    """Return the CPU time that a call costs the waiting process, in milliseconds."""
    return Spread.of([1000 * row.cpu_seconds / row.calls for row in turns(rows, runner, EMPTY)])


def first_seconds(rows: Sequence[Row], runner: str) -> float:
    """Return the wall time of a worker's first call, in seconds."""
    (row,) = turns(rows, runner, FIRST)
    return row.seconds


def numbers(rows: Sequence[Row]) -> list[int]:
    """Return the numbers of workers."""
    return sorted({row.workers for row in rows if row.what == TRAININGS})


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the findings in Markdown."""
    few, *_ = counts = numbers(rows)
    on_ray, own = milliseconds(rows, RAY), milliseconds(rows, PROCESSES)
    cpu, own_cpu = cpu_milliseconds(rows, RAY), cpu_milliseconds(rows, PROCESSES)
    shares = ", ".join(f"{ratio(rows, workers).median:.2f} with {workers}" for workers in counts)
    gains = ", ".join(
        f"{statistics.median(images_a_second(rows, RAY, n)) / statistics.median(images_a_second(rows, RAY, few)):.2f} "
        f"with {n}"
        for n in counts[1:]
    )
    yield (
        f"- **On one machine Ray trains as much as processes do, times** {shares} workers. On Ray they train together "
        f"{gains} times what {few} does."
    )
    yield (
        f"- A call through Prefect and Ray takes {on_ray.median:.0f} ms, one to a process {own.median:.0f} ms; the "
        f"search itself spends {cpu.median:.0f} and {own_cpu.median:.0f} ms of CPU on it. A worker's first call takes "
        f"{first_seconds(rows, RAY):.1f} s on Ray."
    )


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables in Markdown."""
    yield (
        "| workers | processes: trainings/s | images/s | images/s a worker | Ray: trainings/s | images/s "
        "| images/s a worker | Ray to processes |"
    )
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for workers in numbers(rows):
        cells = []
        for runner in (PROCESSES, RAY):
            done = [row.calls / row.seconds for row in turns(rows, runner, TRAININGS, workers)]
            images = Spread.of(images_a_second(rows, runner, workers))
            cells += [Spread.of(done).shown(2), images.shown(0), f"{images.median / workers:,.0f}"]
        yield f"| {workers} | {' | '.join(cells)} | {ratio(rows, workers).shown(2)} |"
    yield ""
    yield "| a call that does nothing | processes | Ray |"
    yield "|---|---:|---:|"
    for name, figure in (("wall time, ms", milliseconds), ("CPU time of the search's process, ms", cpu_milliseconds)):
        yield f"| {name} | {figure(rows, PROCESSES).shown(1)} | {figure(rows, RAY).shown(1)} |"
    yield f"| first in a worker, s (n = 1) | {first_seconds(rows, PROCESSES):.1f} | {first_seconds(rows, RAY):.1f} |"
