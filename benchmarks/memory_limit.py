"""How precisely a memory limit holds: one training under many limits, with a fresh worker after each failure.

The training is the same except for its seed. The memory of its worker is read from outside every two milliseconds. One
limit is below what a worker holds before it trains, which a search would refuse; it is included on purpose.

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
from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.files.writing import write_text
from memnas_core.records.trainings import Limits, Status
from memnas_core.settings.schema import DataSettings, TrainingSettings
from memnas_core.space import operations as ops
from memnas_core.space.moves import seed_architecture
from memnas_core.training import worker as trainer
from memnas_core.training.job import TrainingJob
from memnas_core.training.process_memory import held_bytes
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers

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
    """Yield a list whose only number is the most memory that a worker has held so far, in bytes."""
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
    """Train under each limit, in MB, and yield the lines of a report."""
    dataset = prepare_dataset(DataSettings("digits", None, None, 0.1, 300, None), 0, store)
    architecture = seed_architecture((1,) * 10, 128, (ops.AVERAGE_POOL_3X3, ops.DEPTHWISE_3X3))
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
    """Print the report line by line, and insert it into a page."""
    lines = []
    with tempfile.TemporaryDirectory() as store:
        for line in report([int(limit) for limit in limits.split(",")], Path(store)):
            print(line, flush=True)
            lines.append(line)
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))


if __name__ == "__main__":
    main()
