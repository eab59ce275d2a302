"""Candidates a second: how fast a round is generated and measured, by number of cells in a block.

For each number of cells, bases of that size come from seeded random walks of growing and trimming. A round consists
of `generate` and then, for each candidate, `measure` (weights and the peak under every convention). Caches start empty
for each base, as in a search's first round. CPU seconds of this process are counted.

Run: python -m benchmarks.generation --output benchmarks/results/generation.md
"""

import os
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.circumstances import circumstances
from memnas_core.files.writing import write_text
from memnas_core.memory import block_arena, figures
from memnas_core.space import architecture, graph
from memnas_core.space.architecture import Architecture, Branch, Cell, Combiner
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import (
    Move,
    MoveKind,
    apply,
    available_inputs,
    edge_cuts,
    generate,
    seed_architecture,
    trims,
)
from memnas_core.space.operations import OPERATIONS

STRIDES = (1, 2, 1, 2, 1)
FILTERS = 16
INPUT_SHAPE = Shape(1, 16, 16)
CLASSES = 10


class Round(NamedTuple):
    """Number of candidates and CPU seconds of one round."""

    candidates: int
    generating: float
    measuring: float

    @property
    def rate(self) -> float:
        """Candidates a second, generated and measured."""
        return self.candidates / (self.generating + self.measuring)


def random_base(rng: random.Random, cells: int) -> Architecture:
    """Return a random architecture with a given number of cells in every block."""
    base = seed_architecture(STRIDES, FILTERS)
    while {len(block.cells) for block in base.blocks} != {cells}:
        move = _random_growth(rng, base) if rng.random() < 0.7 else rng.choice([*trims(base), *edge_cuts(base)])
        changed = apply(base, move)
        if changed is not None and max(len(block.cells) for block in changed.blocks) <= cells:
            base = changed
    return base


def _random_growth(rng: random.Random, base: Architecture) -> Move:
    first, second = (Branch(rng.randrange(available_inputs(base)), rng.choice(OPERATIONS.grown)) for _ in range(2))
    return Move(MoveKind.GROW, added=Cell(first, second, rng.choice(list(Combiner)), included=True))


def clear_caches() -> None:
    """Clear everything that is cached about blocks."""
    for cached in (
        architecture._block_code,
        architecture._canonical_block,
        graph.branch_weights,
        figures._projection_weights,
        figures._cell_figures,
        figures._block_peaks,
        figures._end_peaks,
        block_arena._block_arena,
        block_arena.end_arena,
    ):
        cached.cache_clear()


def run_round(base: Architecture) -> Round:
    """Generate and measure all candidates of a base, starting with empty caches."""
    clear_caches()
    start = time.process_time()
    candidates, _ = generate(base, round_number=1)
    generated = time.process_time()
    for candidate in candidates:
        figures.measure(candidate.architecture, Workload(INPUT_SHAPE, CLASSES, 4, 4))
    return Round(len(candidates), generated - start, time.process_time() - generated)


def report(sizes: list[int], bases: int, seed: int) -> Iterator[str]:
    """Yield the lines of the report in Markdown."""
    yield "# Generating and measuring a round"
    yield ""
    yield from circumstances("generation", (), f"load {os.getloadavg()[0]:.1f} at the start")
    yield f"- n: {bases} random bases a row (seed {seed}), 5 blocks, one process; caches start empty"
    yield "- means over the bases, for the rate also the least and the largest; seconds are CPU seconds"
    yield ""
    yield "| cells a block | candidates | generating, s | measuring, s | candidates/s | least to largest |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for cells in sizes:
        rounds = [run_round(random_base(random.Random(f"{seed}/{cells}/{n}"), cells)) for n in range(bases)]
        rates = [found.rate for found in rounds]
        yield (
            f"| {cells} | {statistics.mean(found.candidates for found in rounds):.0f} "
            f"| {statistics.mean(found.generating for found in rounds):.2f} "
            f"| {statistics.mean(found.measuring for found in rounds):.2f} "
            f"| {statistics.mean(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} |"
        )


@click.command(help="Print candidates a second for generating and measuring a round.")
@click.option("--cells", multiple=True, type=click.IntRange(1), default=(1, 2, 3, 4, 5, 6, 8), show_default=True)
@click.option("--bases", type=click.IntRange(1), default=5, show_default=True, help="Random bases a row.")
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here too.")
def main(cells: tuple[int, ...], bases: int, seed: int, output: Path | None) -> None:
    """Print the report line by line, and write it to a file if asked."""
    lines = []
    for line in report(list(cells), bases, seed):
        print(line, flush=True)
        lines.append(line)
    if output is not None:
        write_text(output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
