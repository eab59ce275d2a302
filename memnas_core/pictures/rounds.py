"""Charts of the rounds: figures of their winners, and how wall time was spent."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure

from memnas_core.pictures.canvas import add_key, inner_axes, picture, whole_numbers
from memnas_core.pictures.look import ACCENT, BLUE, CHART_WIDTH, INK, SMALL_SIZE, TINY_SIZE
from memnas_core.pictures.values import byte_unit, shown_seconds
from memnas_core.records.rounds import RoundSummary
from memnas_core.settings.kinds import ActivationConvention

FIGURES_UP_TO = 8
"""Largest number of rounds at which points are labelled with their values."""


def rounds_svg(rounds: Sequence[RoundSummary], convention: ActivationConvention) -> str:
    """Return charts of the accuracy, weights and activations of the rounds' winners as SVG.

    Args:
        rounds: Summaries of the rounds in order, at least one.
        convention: Convention under which the summaries count activation memory.

    Source: Figure 4.
    """
    panels = [("validation accuracy, %", [100 * row.accuracy for row in rounds])]
    for title, sizes in (
        ("weights", [row.param_bytes for row in rounds]),
        (f"peak activations ({convention})", [row.activation_bytes for row in rounds]),
    ):
        unit, name = byte_unit(max(sizes))
        panels.append((f"{title}, {name}", [size / unit for size in sizes]))

    def draw(figure: Figure) -> None:
        width = (CHART_WIDTH - 0.3) / len(panels)
        numbers = [row.round for row in rounds]
        for place, (title, values) in enumerate(panels):
            _draw_panel(figure, 0.55 + place * width, width - 0.65, title, values, numbers)

    return picture(CHART_WIDTH, 2.75, f"winners of {len(rounds)} rounds", draw)


def _draw_panel(
    figure: Figure, left: float, width: float, title: str, values: Sequence[float], numbers: Sequence[int]
) -> None:
    axes = inner_axes(figure, left, 0.48, width, 1.75)
    is_accuracy = title.endswith("%")
    color = BLUE if is_accuracy else ACCENT
    axes.plot(numbers, values, color=color, lw=1.4, marker="o", ms=4.5, clip_on=False)
    axes.set_title(title, pad=15)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(whole_numbers(10))
    axes.grid(axis="y")
    axes.margins(0.06, 0.14)
    if not is_accuracy:
        axes.set_ylim(bottom=0)
    if len(values) > FIGURES_UP_TO:
        return
    slopes = [after - before for before, after in pairwise(values)]
    for number, value, before, after in zip(numbers, values, [0.0, *slopes], [*slopes, 0.0], strict=True):
        # A label stands where the line leaves room: below a dip, beside a slope, otherwise above the point.
        is_dip = before < 0 <= after or before <= 0 < after
        side = "right" if before > 0 and after > 0 else "left" if before < 0 and after < 0 else "center"
        axes.annotate(
            f"{value:.1f}",
            (number, value),
            xytext=(0, -10 if is_dip else 6),
            textcoords="offset points",
            ha=side,
            size=TINY_SIZE,
            color=INK,
        )


def time_svg(rounds: Sequence[RoundSummary]) -> str:
    """Return a chart of each round's wall time as SVG: with at least one training running, and without.

    Args:
        rounds: Summaries of the rounds in order, at least one.
    """
    pitch = 0.26
    height = 0.95 + pitch * len(rounds)

    def draw(figure: Figure) -> None:
        axes = inner_axes(figure, 0.8, 0.4, CHART_WIDTH - 2.9, pitch * len(rounds))
        places = range(len(rounds))
        training = [row.training_wall_seconds for row in rounds]
        rest = [row.wall_seconds - row.training_wall_seconds for row in rounds]
        axes.barh(places, training, height=0.66, color=BLUE, label="training")
        axes.barh(places, rest, left=training, height=0.66, color=ACCENT, label="everything else")
        for place, row in zip(places, rounds, strict=True):
            axes.annotate(
                f"{shown_seconds(row.wall_seconds)}, {100 * row.overhead_share:.1f} % not training",
                (row.wall_seconds, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center_baseline",
                size=SMALL_SIZE,
                annotation_clip=False,
            )
        axes.set_yticks(list(places), [f"round {row.round}" if row.round else "seed" for row in rounds])
        axes.set_ylim(len(rounds) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("seconds")
        add_key(figure, axes.get_legend_handles_labels()[0], 0.12)

    return picture(CHART_WIDTH, height, f"wall time of {len(rounds)} rounds", draw)
