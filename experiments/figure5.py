"""Stage `figure5`: error and memory of the networks that searches choose, over λ.

Writes `results/figure5.csv`, a row for each search; `results/plots/figure5.csv`, means and spread for `dvc plots show`;
and the picture. The paper's end points are for CIFAR-10, and so appear in the page's text and not in the picture.

Source: Figure 5 and section 4.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import click
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from scipy.stats import kendalltau

from experiments.plan import RESULTS, Plan, load_plan
from experiments.plotting import BLUE, VERMILION, draw_spread, finish, height_of, panels, save
from experiments.search_results import SearchMetrics, read_search, sweep_keys
from experiments.stage import run_stage
from experiments.tidy import read_paper, write_rows, write_table
from memnas_core.memory.figures import PeakFigures
from memnas_core.pictures.canvas import add_key
from memnas_core.pictures.values import byte_unit, shown_bytes, shown_percent
from memnas_core.settings.kinds import ActivationConvention

TABLE = RESULTS / "figure5.csv"
PLOT_TABLE = RESULTS / "plots" / "figure5.csv"
PICTURE = RESULTS / "figures" / "figure5.svg"


@dataclass(frozen=True, slots=True)
class ChosenPoint:
    """A row of `figure5.csv`: the network that a search chose.

    Attributes:
        accuracy_weight: The paper's lambda.
        seed: Seed of the search.
        arch_id: Id of the network.
        chosen_round: The round that found it.
        error: Share of the test images that its final weights classify wrongly.
        test_accuracy: 1 less the error.
        validation_accuracy: Accuracy of its final weights on the validation images.
        search_accuracy: What the search, which trains less, measured on the validation images.
        memory: Memory, a column for each figure.
        total_bytes: Weights, and activations under the convention that the search looked at.
        rounds: Rounds of the search.
        images_seen_search: Training images that all candidates of the search have seen.
        images_seen_final: Training images seen by the weights that were tested.
    """

    accuracy_weight: float
    seed: int
    arch_id: str
    chosen_round: int
    error: float
    test_accuracy: float
    validation_accuracy: float
    search_accuracy: float
    memory: PeakFigures
    total_bytes: int
    rounds: int
    images_seen_search: int
    images_seen_final: int


def chosen_point(metrics: SearchMetrics) -> ChosenPoint:
    """Return a search's row."""
    return ChosenPoint(
        accuracy_weight=metrics.accuracy_weight,
        seed=metrics.seed,
        arch_id=metrics.arch_id,
        chosen_round=metrics.chosen_round,
        error=1 - metrics.test_accuracy,
        test_accuracy=metrics.test_accuracy,
        validation_accuracy=metrics.validation_accuracy,
        search_accuracy=metrics.search_accuracy,
        memory=metrics.memory.peaks,
        total_bytes=metrics.memory.param_bytes + metrics.activation_bytes,
        rounds=metrics.rounds,
        images_seen_search=metrics.images_seen_search,
        images_seen_final=metrics.images_seen_final,
    )


@dataclass(frozen=True, slots=True)
class Trend:
    """How a figure changes with lambda.

    Attributes:
        weights: The lambdas, rising.
        groups: The figure of every seed, by lambda.
    """

    weights: tuple[float, ...]
    groups: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> tuple[float, ...]:
        """Mean over seeds at each lambda."""
        return tuple(fmean(group) for group in self.groups)

    @property
    def falls(self) -> tuple[tuple[float, float], ...]:
        """The pairs of neighbouring lambdas between which the mean does not rise."""
        steps = zip(pairwise(self.weights), pairwise(self.means), strict=True)
        return tuple(weights for weights, (before, after) in steps if after <= before)

    @property
    def tau(self) -> float:
        """Kendall's tau-b between lambda and the figure, over all searches; 0 where the figure is constant."""
        pairs = [(w, value) for w, group in zip(self.weights, self.groups, strict=True) for value in group]
        found = float(kendalltau(*zip(*pairs, strict=True)).statistic)
        return 0.0 if found != found else found

    @property
    def is_clear(self) -> bool:
        """Whether every seed of the largest lambda is above every seed of the smallest."""
        return min(self.groups[-1]) > max(self.groups[0])


def trend(points: Sequence[ChosenPoint], figure: Callable[[ChosenPoint], float]) -> Trend:
    """Return how a figure of the chosen networks changes with lambda."""
    weights = tuple(sorted({point.accuracy_weight for point in points}))
    groups = (tuple(figure(point) for point in points if point.accuracy_weight == weight) for weight in weights)
    return Trend(weights, tuple(groups))


def notes(points: Sequence[ChosenPoint], convention: ActivationConvention) -> tuple[str, ...]:
    """Return whether memory and accuracy rise with lambda, by how much and over how many seeds, next to the paper's."""
    low, high = read_paper("figure5")
    memory = trend(points, lambda point: point.total_bytes)
    accuracy = trend(points, lambda point: point.test_accuracy)
    return (
        _sentence(
            f"Memory (weights and peak activations, convention {convention})",
            memory,
            lambda value: shown_bytes(round(value)),
        ),
        _sentence("Test accuracy", accuracy, shown_percent),
        *(_reason(points, *weights) for weights in sorted({*memory.falls, *accuracy.falls})),
        f"The paper states, for CIFAR-10, an error from {low['error_percent']} % at λ = {low['lambda']} down to "
        f"{high['error_percent']} % at λ = {high['lambda']}, and memory from {low['memory_mb']} MB to over "
        f"{high['memory_mb']} MB.",
    )


def _sentence(subject: str, found: Trend, shown: Callable[[float], str]) -> str:
    seeds = min(len(group) for group in found.groups)
    means = ", ".join(f"{shown(mean)} at {weight:g}" for weight, mean in zip(found.weights, found.means, strict=True))
    if not found.falls:
        verdict = f"{subject} rises with λ from each value to the next"
    else:
        where = ", ".join(f"{before:g} to {after:g}" for before, after in found.falls)
        whole = "rises" if found.means[-1] > found.means[0] else "does not rise"
        verdict = f"{subject} {whole} from λ = {found.weights[0]:g} to {found.weights[-1]:g}, but not from {where}"
        if whole == "does not rise":
            verdict = f"{subject} does not rise from λ = {found.weights[0]:g} to {found.weights[-1]:g}"
    spread = "beyond" if found.is_clear else "within"
    return (
        f"{verdict}: {means} (means of {seeds} seeds; Kendall's tau with λ {found.tau:.2f}, n = "
        f"{sum(len(group) for group in found.groups)}; the ends differ by an amount {spread} the spread of seeds)."
    )


def _reason(points: Sequence[ChosenPoint], before: float, after: float) -> str:
    """Return why a figure does not rise between two neighbouring lambdas."""
    chosen = {(point.accuracy_weight, point.seed): point.arch_id for point in points}
    seeds = sorted({point.seed for point in points})
    same = sum(chosen[before, seed] == chosen[after, seed] for seed in seeds)
    return (
        f"Why not from λ = {before:g} to {after:g}: {same} of {len(seeds)} seeds choose the same network at both. "
        "Eq. 4 weighs the relative change of accuracy with λ, those of weights and of activations with 1 - λ each; at "
        f"λ = {after:g} a tenth less of both is worth as much as {20 * (1 - after) / after:.0f} % of the accuracy."
    )


def spreads(points: Sequence[ChosenPoint]) -> tuple[list[str], list[list[object]]]:
    """Return columns and lines of the table for DVC: mean, lowest and highest seed at each lambda."""
    columns = ["lambda"]
    found = {name: trend(points, lambda point, name=name: getattr(point, name)) for name in ("error", "total_bytes")}  # type: ignore[misc]
    columns += [f"{name}_{what}" for name in found for what in ("mean", "low", "high")]
    lines: list[list[object]] = []
    for place, weight in enumerate(found["error"].weights):
        line: list[object] = [weight]
        for own in found.values():
            line += [own.means[place], min(own.groups[place]), max(own.groups[place])]
        lines.append(line)
    return columns, lines


def draw(figure: Figure, points: Sequence[ChosenPoint], convention: ActivationConvention) -> None:
    """Draw error and memory over lambda, side by side."""
    unit, name = byte_unit(max(point.total_bytes for point in points))
    error, memory = panels(figure, 2)
    errors = trend(points, lambda point: 100 * point.error)
    sizes = trend(points, lambda point: point.total_bytes / unit)
    draw_spread(error, errors.weights, errors.groups, BLUE, "o")
    draw_spread(memory, sizes.weights, sizes.groups, VERMILION, "s")
    finish(error, "test error, %", "λ")
    finish(memory, f"weights + peak activations ({convention}), {name}, log scale", "λ")
    memory.set_yscale("log")
    memory.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    memory.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    memory.yaxis.set_minor_locator(NullLocator())
    for axes in (error, memory):
        axes.set_xticks(errors.weights)
    seeds = len({point.seed for point in points})
    marks = [
        Line2D([], [], color="gray", marker="o", lw=0, mec="white", label="a search"),
        Line2D([], [], color="gray", lw=2, label=f"mean of {seeds} seeds"),
        Line2D([], [], color="gray", lw=6, alpha=0.2, label="lowest to highest seed"),
    ]
    add_key(figure, marks, 0.08)


def read_metrics(plan: Plan) -> list[SearchMetrics]:
    """Return the figures of the committed searches.

    Raises:
        RecordError: A search is missing or damaged.
    """
    return [read_search(key).metrics for key in sweep_keys(plan)]


def page_notes(plan: Plan) -> tuple[str, ...]:
    """Return the sentences of the results page, from the committed searches."""
    found = read_metrics(plan)
    return notes([chosen_point(metrics) for metrics in found], found[0].activation_convention)


def main() -> None:
    """Write the tables and the picture."""
    found = read_metrics(load_plan())
    points = [chosen_point(metrics) for metrics in found]
    write_rows(TABLE, points)
    write_table(PLOT_TABLE, *spreads(points))
    convention = found[0].activation_convention
    save(PICTURE, height_of(), "error and memory of the chosen networks", lambda f: draw(f, points, convention))
    for sentence in notes(points, convention):
        click.echo(sentence)


if __name__ == "__main__":
    run_stage(main)
