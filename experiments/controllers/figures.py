"""The pictures of Table 3: Kendall's tau of every controller, and how it grows with the number of candidates."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.controllers.learners import DEFAULT, PAPERS_SCC
from experiments.controllers.table import CurveRow, TableRow
from memnas_core.pictures.canvas import add_key, inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, CHART_WIDTH, SOFT

ROW_HEIGHT = 0.2  # inches
NAMES_WIDTH = 3.05
PANELS = (("random", 1.0), ("rounds", 1.0), ("random", 0.5), ("rounds", 0.5))
MARKED = (DEFAULT, PAPERS_SCC)
WITH_MEMORY = ", accuracy + exact memory"
TITLES = {"random": "random split", "rounds": "next round"}


def table_svg(rows: Sequence[TableRow]) -> str:
    """Return tau with its interval for each controller, a panel for each split and lambda, the ceiling as a line."""
    names = list(dict.fromkeys(row.controller for row in rows))
    order = sorted(names, key=lambda name: sum(row.tau for row in rows if row.controller == name))
    height = 0.95 + ROW_HEIGHT * len(names) + 0.5

    def draw(figure: Figure) -> None:
        width = (CHART_WIDTH - NAMES_WIDTH - 0.15) / len(PANELS)
        for number, (split, accuracy_weight) in enumerate(PANELS):
            left = NAMES_WIDTH + number * width
            axes = inner_axes(figure, left, 0.95, width - 0.15, ROW_HEIGHT * len(names))
            found = {
                row.controller: row for row in rows if (row.split, row.accuracy_weight) == (split, accuracy_weight)
            }
            for place, name in enumerate(order):
                row = found[name]
                color = ACCENT if name in MARKED else BLUE
                axes.plot([row.tau_low, row.tau_high], [place, place], color=color, lw=1.2)
                axes.plot([row.tau], [place], color=color, marker="o", ms=4, ls="none")
            ceiling = next(iter(found.values())).ceiling
            axes.axvline(ceiling, color=SOFT, lw=1, ls="--")
            axes.set_xlim(-0.12, 1.0)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", ".5", "", "1"])
            axes.set_ylim(-0.6, len(order) - 0.4)
            labels = [name.replace(WITH_MEMORY, " + exact memory") for name in order]
            axes.set_yticks(range(len(order)), labels if number == 0 else [""] * len(order))
            axes.tick_params(axis="y", length=0)
            axes.set_title(f"{TITLES[split]}, λ = {accuracy_weight:g}")
            axes.set_xlabel("Kendall's tau")
            axes.grid(axis="both")
        key = [
            Line2D([], [], color=ACCENT, marker="o", ms=4, label="the default and the paper's SCC, with 95 % interval"),
            Line2D([], [], color=BLUE, marker="o", ms=4, label="others"),
            Line2D([], [], color=SOFT, ls="--", label="noise ceiling: training again"),
        ]
        add_key(figure, key, 0.2)

    return picture(CHART_WIDTH, height, "Kendall's tau of every controller of Table 3", draw)


def curve_svg(rows: Sequence[CurveRow]) -> str:
    """Return tau over the number of candidates learned from at lambda = 1; two controllers are marked."""
    chosen = [row for row in rows if row.accuracy_weight == 1.0]
    # At lambda = 1 both targets of a controller coincide, so one line stands for both.
    names = [
        name
        for name in dict.fromkeys(row.controller for row in chosen)
        if not name.endswith(WITH_MEMORY) and name != "random order"
    ]
    styles = ("-", "--", ":", "-.")

    def draw(figure: Figure) -> None:
        axes = inner_axes(figure, 0.6, 0.3, CHART_WIDTH - 4.1, 3.3)
        handles = []
        counts = {True: 0, False: 0}
        for name in names:
            points = sorted(
                (row.train_n, row.tau, row.tau_low, row.tau_high) for row in chosen if row.controller == name
            )
            is_marked = name in MARKED
            style = styles[counts[is_marked] % len(styles)]
            marker = "os^Dvx"[counts[is_marked] // len(styles)]
            counts[is_marked] += 1
            color = ACCENT if is_marked else BLUE
            sizes = [point[0] for point in points]
            if is_marked:
                axes.fill_between(sizes, [p[2] for p in points], [p[3] for p in points], color=color, alpha=0.1, lw=0)
            (line,) = axes.plot(sizes, [p[1] for p in points], color=color, ls=style, marker=marker, ms=3.5, lw=1.3)
            line.set_label(name)
            handles.append(line)
        ceiling = axes.axhline(chosen[0].ceiling, color=SOFT, lw=1, ls="--")
        ceiling.set_label("noise ceiling")
        axes.set_xscale("log")
        sizes = sorted({row.train_n for row in chosen})
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("trained candidates that the controller learns from")
        axes.set_ylabel("Kendall's tau, λ = 1")
        axes.grid(axis="y")
        figure.legend(
            handles=[*handles, ceiling],
            loc="upper left",
            bbox_to_anchor=((CHART_WIDTH - 3.3) / CHART_WIDTH, 0.94),
            handlelength=3.2,
        )

    return picture(CHART_WIDTH, 4.1, "Kendall's tau over the number of candidates that are learned from", draw)
