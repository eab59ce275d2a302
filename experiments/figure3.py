"""Stage `figure3`: lifetime plots of the paper's example and of the network that a search found.

Source: Figure 3. The paper's figure leaves open what its third cell reads. Our reading is the one that gives the stated
memory (1 at T=1, 3 at T=2, at most 4) in the fewest units of time (docs/reading-the-paper.md).
"""

from pathlib import Path

import click

from experiments.plan import RESULTS, Plan, load_plan
from experiments.search_results import Arm, SearchKey, SearchResult, read_search
from experiments.stage import run_stage
from experiments.tidy import paper_quantities
from memnas_core.files.writing import write_text
from memnas_core.memory.lifetimes import LifetimeTable, lifetimes
from memnas_core.pictures import lifetime_svg
from memnas_core.pictures.values import shown_bytes
from memnas_core.results.network_files import lifetime_table
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space.layers import Shape, Workload

FIGURES = RESULTS / "figures"
EXAMPLE = FIGURES / "figure3-example.svg"
FOUND = FIGURES / "figure3-found.svg"

FOUND_WEIGHT = 0.5

_CELLS = {
    "first layer of cell 1": (("r1",), ("r2",)),
    "second layer of cell 1": (("r1",), ("r3",)),
    "combiner of cell 1": (("r2", "r3"), ("r4",)),
    "second layer of cell 2": (("r1",), ("r5",)),
    "first layer of cell 2": (("r4",), ("r6",)),
    "combiner of cell 2": (("r5", "r6"), ("r7",)),
    "first layer of cell 3": (("r4",), ("r8",)),
    "second layer of cell 3": (("r4",), ("r9",)),
    "combiner of cell 3": (("r8", "r9"), ("r10",)),
}


def example() -> LifetimeTable:
    """Return the lifetimes of the block of Figure 1(b), every tensor of size 1; r7 and r10 leave the block."""
    return lifetimes(_CELLS, {f"r{number}": 1 for number in range(1, 11)}, "paper")


def found_key(seed: int) -> SearchKey:
    """Return the search whose network is drawn."""
    return SearchKey(Arm.FULL, FOUND_WEIGHT, seed)


def found_table(search: SearchResult, objective: ObjectiveSettings) -> LifetimeTable:
    """Return the lifetimes of the network that a search has chosen, under the convention of the settings."""
    metrics = search.metrics
    shape = Shape(metrics.channels, metrics.image_size, metrics.image_size)
    workload = Workload(shape, metrics.classes, objective.weight_bytes, objective.activation_bytes)
    return lifetime_table(search.architecture, workload, objective)


def notes(table: LifetimeTable, found: LifetimeTable, search: SearchResult) -> tuple[str, ...]:
    """Return a sentence on each of the two pictures."""
    printed = paper_quantities("figure3")
    stated = (printed["memory at T=1"], printed["memory at T=2"], printed["largest memory"])
    ours = (table.profile[0], table.profile[1], table.peak)
    agrees = "as the paper states" if list(ours) == list(stated) else f"the paper states {stated}"
    metrics = search.metrics
    return (
        f"The example's memory is {ours[0]} at T=1, {ours[1]} at T=2 and {ours[2]} at most: {agrees}.",
        f"The network found at λ = {metrics.accuracy_weight} (seed {metrics.seed}) has at most "
        f"{shown_bytes(found.peak)} of activations in memory, in step {found.profile.index(found.peak) + 1} of "
        f"{len(found.profile)} (convention {metrics.activation_convention}).",
    )


def read_found(results: Path = RESULTS) -> SearchResult:
    """Read the search whose network is drawn, the one with the sweep's first seed.

    Raises:
        MemnasError: The plan is wrong or the search is missing.
    """
    return read_search(found_key(load_plan().sweep.seeds[0]), results / "searches")


def page_notes(plan: Plan) -> tuple[str, ...]:
    """Return the sentences of the results page, from the committed search."""
    search = read_found()
    return notes(example(), found_table(search, plan.load_settings(*search.key.overrides).objective), search)


def main() -> None:
    """Draw both pictures."""
    plan, search = load_plan(), read_found()
    metrics = search.metrics
    table = found_table(search, plan.load_settings(*search.key.overrides).objective)
    write_text(EXAMPLE, lifetime_svg(example(), "The paper's example, convention paper") + "\n")
    title = f"The network found at λ = {metrics.accuracy_weight}, convention {metrics.activation_convention}"
    write_text(FOUND, lifetime_svg(table, title) + "\n")
    for sentence in page_notes(plan):
        click.echo(sentence)


if __name__ == "__main__":
    run_stage(main)
