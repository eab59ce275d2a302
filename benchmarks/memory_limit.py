"""How exactly a memory limit holds: one training under many limits, a fresh worker for each that fails.

The training is the same but for its seed; the memory that its worker holds is read every two milliseconds from outside.
A limit that is below what a worker holds before it trains, which a search refuses, is shown on purpose.

Run: python -m benchmarks.memory_limit --page docs/limits.md
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from memnas_core import trainer
from memnas_core.architecture import Operation
from memnas_core.config import DataSettings, TrainingSettings
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.grow_trim import seed_architecture
from memnas_core.jobs import TrainingJob
from memnas_core.limits import Limits
from memnas_core.memory_guard import held_bytes
from memnas_core.records import Status
from memnas_core.storage import write_text
from tasks.places import cpu_places
from tasks.workers import Workers

MB = 1_000_000
LOOK_SECONDS = 0.002
SETTINGS = TrainingSettings(
    epochs=1,
    batch_size=300,
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=0.0005,
    restart_epochs=None,
    restart_factor=1,
    crop_padding=1,
    cutout_size=2,
    device="cpu",
    precision="float32",
)


@contextmanager
def sampled(workers: Workers) -> Iterator[list[int]]:
    """Give a list whose one number is the most that a worker has held so far, in bytes."""
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            most[0] = max([most[0], *(worker.held_bytes() for worker in list(workers._all))])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def report(limits: list[int], store: Path) -> Iterator[str]:
    """Train under each limit, in MB, and give the lines of a report."""
    dataset = prepare_dataset(DataSettings("digits", None, None, 0.1, 300, None), 0, store)
    architecture = seed_architecture((1,) * 10, 128, (Operation.AVERAGE_POOL_3X3, Operation.DEPTHWISE_3X3))
    digest = open_dataset(dataset).info.digest
    job = TrainingJob(architecture, architecture.arch_id, dataset, digest, SETTINGS, 0, store / "trainings")
    yield from circumstances("memory_limit", ("torch",), "no figure here is a time")
    yield f"- n: one training under each limit; what its worker held was read every {1000 * LOOK_SECONDS:g} ms"
    yield ""
    yield "| limit (MB) | held at most (MB) | over the limit (MB) | outcome |"
    yield "|---:|---:|---:|---|"
    with Workers(cpu_places(1)) as workers:
        for seed, limit in enumerate(limits):
            own = workers.run(held_bytes)
            asked = replace(job, seed=seed, limits=Limits(limit * MB, None, None))
            with sampled(workers) as most:
                record = workers.run(trainer.run, asked, is_last=lambda done: done.status is Status.OUT_OF_MEMORY)
            held = most[0] / MB
            yield f"| {limit:,} | {held:,.1f} | {max(0.0, held - limit):,.1f} | {record.status.replace('_', ' ')} |"
            if seed == 0:
                before = own
    yield ""
    yield f"A worker holds {before / MB:,.1f} MB before its first training."


@click.command()
@click.option("--limits", default="380,400,420,440,460,500,550,600,700,800,900,950,1000,1200", help="In MB.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Put the table here.")
def main(limits: str, page: Path | None) -> None:
    """Print the report line by line, and put it into a page."""
    lines = []
    with tempfile.TemporaryDirectory() as store:
        for line in report([int(limit) for limit in limits.split(",")], Path(store)):
            print(line, flush=True)
            lines.append(line)
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))


if __name__ == "__main__":
    main()
