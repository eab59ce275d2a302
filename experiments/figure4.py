"""Stage `figure4`: what searches reach round by round, for accuracy alone (λ = 1) and for both (λ = 0.5).

Writes `results/figure4.csv`, a row for each lambda, seed and round with the network that the round passed on;
`results/plots/figure4.csv`, the means over seeds, with a column for each line of `dvc plots show`; and the picture.

Source: Figure 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import click
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.plan import RESULTS, Plan, load_plan
from experiments.plotting import BLUE, VERMILION, draw_seeds, finish, height_of, panels, save
from experiments.search_results import SearchResult, read_search, sweep_keys
from experiments.stage import run_stage
from experiments.tidy import paper_quantities, write_rows, write_table
from memnas_core.files.flat import flat
from memnas_core.memory.figures import PeakFigures
from memnas_core.pictures.canvas import add_key, whole_numbers
from memnas_core.pictures.values import byte_unit, shown_bytes, shown_percent
from memnas_core.settings.kinds import ActivationConvention

TABLE = RESULTS / "figure4.csv"
PLOT_TABLE = RESULTS / "plots" / "figure4.csv"
PICTURE = RESULTS / "figures" / "figure4.svg"

WEIGHTS = (1.0, 0.5)  # the paper's two lines
LOOKS = {1.0: (BLUE, "o"), 0.5: (VERMILION, "s")}


@dataclass(frozen=True, slots=True)
class RoundPoint:
    """A row of `figure4.csv`: the network that a round passed on to the next.

    Attributes:
        accuracy_weight: The paper's lambda.
        seed: Seed of the search.
        round: Number of the round; round 0 is the first network.
        images_seen: Training images that all candidates so far have seen.
        arch_id: The network.
        move: What made it.
        accuracy: On the validation images, as the search trained it, in [0, 1].
        memory: Memory, a column for each figure.
        activation_bytes: The one of the three that the search looked at.
    """

    accuracy_weight: float
    seed: int
    round: int
    images_seen: int
    arch_id: str
    move: str
    accuracy: float
    memory: PeakFigures
    activation_bytes: int


def round_points(search: SearchResult) -> tuple[RoundPoint, ...]:
    """Return a search's rows."""
    points = []
    for number, (winner, images_seen) in enumerate(zip(search.winners, search.images_seen, strict=True)):
        assert winner.measured_accuracy is not None, "winners were trained"
        points.append(
            RoundPoint(
                accuracy_weight=search.key.accuracy_weight,
                seed=search.key.seed,
                round=number,
                images_seen=images_seen,
                arch_id=winner.arch_id,
                move=winner.move,
                accuracy=winner.measured_accuracy,
                memory=winner.memory.peaks,
                activation_bytes=winner.memory.activation_bytes(search.metrics.activation_convention),
            )
        )
    return tuple(points)


def of_weight(points: Sequence[RoundPoint], weight: float) -> dict[int, list[RoundPoint]]:
    """Return one lambda's rows by seed."""
    own = sorted((point for point in points if point.accuracy_weight == weight), key=lambda p: (p.seed, p.round))
    return {seed: list(group) for seed, group in groupby(own, key=lambda point: point.seed)}


def means(points: Sequence[RoundPoint]) -> tuple[list[str], list[list[object]]]:
    """Return columns and lines of the table for DVC: means over all seeds that reached a round."""
    columns = ["round"]
    columns += [f"{name}_lambda_{weight}" for name in _MEASURED for weight in WEIGHTS]
    lines: list[list[object]] = []
    for number in range(max(point.round for point in points) + 1):
        line: list[object] = [number]
        for name in _MEASURED:
            for weight in WEIGHTS:
                values = [
                    flat(point)[name] for point in points if point.accuracy_weight == weight and point.round == number
                ]
                line.append(fmean(values) if values else None)
        lines.append(line)
    return columns, lines


_MEASURED = ("accuracy", "param_bytes", "activation_bytes")


def notes(points: Sequence[RoundPoint]) -> tuple[str, ...]:
    """Return a sentence on what λ = 0.5 saves against λ = 1 in the last rounds, next to what the paper reports."""
    last = {weight: [rows[-1] for rows in of_weight(points, weight).values()] for weight in WEIGHTS}
    accuracy_only, both = (
        {name: fmean(flat(point)[name] for point in last[weight]) for name in _MEASURED} for weight in WEIGHTS
    )
    printed = paper_quantities("figure4")

    def change(name: str) -> str:
        share = 1 - both[name] / accuracy_only[name]
        return f"{100 * abs(share):.1f} % {'less' if share >= 0 else 'more'}"

    seeds = len(last[WEIGHTS[1]])
    return (
        f"After the last round the networks of λ = 0.5 need {change('param_bytes')} for weights "
        f"({shown_bytes(round(both['param_bytes']))} against {shown_bytes(round(accuracy_only['param_bytes']))}) and "
        f"{change('activation_bytes')} for activations than those of λ = 1, at "
        f"{shown_percent(both['accuracy'])} validation accuracy against {shown_percent(accuracy_only['accuracy'])} "
        f"(means of {seeds} seeds).",
        f"The paper states {printed['savings of parameter memory in percent']:g} % and "
        f"{printed['savings of intermediate representation memory in percent']:g} % less at the same accuracy of "
        f"{printed['accuracy that both reach in percent']:g} %, on CIFAR-10.",
    )


def draw(figure: Figure, points: Sequence[RoundPoint], convention: ActivationConvention) -> None:
    """Draw accuracy, weights and activations over the rounds."""
    sizes = {name: byte_unit(max(flat(point)[name] for point in points)) for name in _MEASURED[1:]}
    titles = {
        "accuracy": (100.0, "validation accuracy, %"),
        "param_bytes": (1 / sizes["param_bytes"][0], f"weights, {sizes['param_bytes'][1]}"),
        "activation_bytes": (
            1 / sizes["activation_bytes"][0],
            f"peak activations ({convention}), {sizes['activation_bytes'][1]}",
        ),
    }
    for axes, name in zip(panels(figure, 3), _MEASURED, strict=True):
        factor, title = titles[name]
        for weight in WEIGHTS:
            seeds = of_weight(points, weight).values()
            draw_seeds(axes, [[(p.round, factor * flat(p)[name]) for p in own] for own in seeds], *LOOKS[weight])
        finish(axes, title, "round", from_zero=name != "accuracy")
        axes.xaxis.set_major_locator(whole_numbers(8))
    count = len({point.seed for point in points})
    marks = [
        Line2D([], [], color=color, marker=marker, lw=2.2, mec="white", label=f"λ = {weight}, mean of {count} seeds")
        for weight, (color, marker) in LOOKS.items()
    ]
    marks.append(Line2D([], [], color="gray", marker="o", ms=2.5, lw=0.7, alpha=0.7, label="a seed"))
    add_key(figure, marks, 0.08)


def read_searches(plan: Plan) -> list[SearchResult]:
    """Return the committed searches of the figure.

    Raises:
        RecordError: A search is missing or damaged.
    """
    return [read_search(key) for key in sweep_keys(plan) if key.accuracy_weight in WEIGHTS]


def page_notes(plan: Plan) -> tuple[str, ...]:
    """Return the sentences of the results page, from the committed searches."""
    return notes([point for search in read_searches(plan) for point in round_points(search)])


def main() -> None:
    """Write the tables and the picture."""
    searches = read_searches(load_plan())
    points = [point for search in searches for point in round_points(search)]
    write_rows(TABLE, points)
    write_table(PLOT_TABLE, *means(points))
    convention = searches[0].metrics.activation_convention
    save(PICTURE, height_of(), "accuracy, weights and activations over rounds", lambda f: draw(f, points, convention))
    for sentence in notes(points):
        click.echo(sentence)


if __name__ == "__main__":
    run_stage(main)
