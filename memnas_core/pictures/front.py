"""The chart of the Pareto front: accuracy against bytes of every trained candidate."""

from collections.abc import Mapping, Sequence

from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memnas_core.pictures.canvas import add_key, coordinates, inner_axes, picture
from memnas_core.pictures.look import ACCENT, CHART_WIDTH, INK
from memnas_core.pictures.svg import Tips
from memnas_core.pictures.values import byte_unit, shown_bytes, shown_percent, total_bytes
from memnas_core.records.candidates import CandidateRow
from memnas_core.settings.kinds import ActivationConvention

HEIGHT = 4.7
NAMED_ROUNDS = 12
"""Largest number of rounds in the key; of more rounds, evenly spread ones are named."""

_ROUND_COLORS = LinearSegmentedColormap.from_list(
    "rounds", ["#a9b4c0", "#7b86d6", "#2b8cbe", "#2a9d8f", "#8ab833", "#e9a820"]
)

_Point = tuple[float, float]


def front_svg(
    candidates: Sequence[CandidateRow],
    front: Sequence[CandidateRow],
    chosen_id: str,
    convention: ActivationConvention,
) -> str:
    """Return a chart of accuracy against total bytes of all trained candidates as SVG.

    Args:
        candidates: Rows of all rounds; those without an accuracy are left out.
        front: Rows on the Pareto front, which a line joins.
        chosen_id: Id of the chosen network.
        convention: Convention under which activation memory is counted.
    """
    rows = [row for row in candidates if row.measured_accuracy is not None]
    label = f"validation accuracy and bytes of {len(rows)} networks, {len(front)} on the Pareto front"

    def draw(figure: Figure) -> Tips:
        axes = inner_axes(figure, 0.7, 0.6, CHART_WIDTH - 0.95, HEIGHT - 1.15)
        unit, name = byte_unit(max((total_bytes(row, convention) for row in rows), default=0))

        def place(row: CandidateRow) -> _Point:
            return total_bytes(row, convention) / unit, 100 * (row.measured_accuracy or 0.0)

        colors = _colors(rows)
        tips: dict[str, list[str]] = {}
        if front:
            x, y = coordinates(sorted(place(row) for row in front))
            axes.plot(x, y, color=ACCENT, lw=1.2, drawstyle="steps-post", zorder=1)
            # Rings lie under the points, so that a point keeps the colour of its round.
            axes.scatter(x, y, s=85, facecolors="white", edgecolors=ACCENT, gid="front", zorder=2)
        for gid, marker, size, is_winner in (("candidates", "o", 22, False), ("winners", "D", 34, True)):
            group = [row for row in rows if row.is_winner is is_winner]
            x, y = coordinates([place(row) for row in group])
            axes.scatter(
                x,
                y,
                c=[colors[row.round] for row in group],
                s=size,
                marker=marker,
                edgecolors=INK if is_winner else "white",
                linewidths=0.9 if is_winner else 0.4,
                zorder=3 + is_winner,
                gid=gid,
            )
            tips[gid] = [_tip(row, convention) for row in group]
        x, y = coordinates([place(row) for row in rows if row.arch_id == chosen_id][:1])
        axes.scatter(x, y, s=190, marker="*", c=ACCENT, edgecolors="white", lw=0.8, zorder=6, gid="chosen")
        axes.set_xlabel(f"weights + peak activations ({convention}), {name}")
        axes.set_ylabel("validation accuracy, %")
        axes.margins(0.05, 0.08)
        axes.grid()
        _draw_keys(figure, colors)
        return tips

    return picture(CHART_WIDTH, HEIGHT, label, draw)


def _tip(row: CandidateRow, convention: ActivationConvention) -> str:
    accuracy, total = shown_percent(row.measured_accuracy), shown_bytes(total_bytes(row, convention))
    return f"{row.arch_id}: round {row.round}, {row.move}, {accuracy}, {total}"


def _colors(rows: Sequence[CandidateRow]) -> Mapping[int, str]:
    numbers = sorted({row.round for row in rows})
    last = max(numbers, default=0) or 1
    return {number: to_hex(_ROUND_COLORS(number / last)) for number in numbers}


def _draw_keys(figure: Figure, colors: Mapping[int, str]) -> None:
    marks = [
        Line2D([], [], color=ACCENT, lw=1.2, marker="o", ms=7, mfc="white", label="Pareto front"),
        Line2D([], [], ls="none", marker="*", ms=11, mfc=ACCENT, mec="white", label="chosen"),
        Line2D([], [], ls="none", marker="D", ms=5.5, mfc="white", mec=INK, label="winner of its round"),
    ]
    numbers = list(colors)
    if len(numbers) > NAMED_ROUNDS:
        step = (len(numbers) - 1) / (NAMED_ROUNDS - 1)
        numbers = [numbers[round(i * step)] for i in range(NAMED_ROUNDS)]
    rounds = [
        Line2D(
            [],
            [],
            ls="none",
            marker="o",
            ms=5,
            mfc=colors[number],
            mec="none",
            label=f"round {number}" if number else "seed",
        )
        for number in numbers
    ]
    for handles, top in ((marks, 0.1), (rounds, 0.31)):
        add_key(figure, handles, top)
