"""The lifetime plot: which tensor is in memory from when to when, and the memory of every step.

Source: Figure 3. A filled circle is a tensor's generation, a hollow one its deletion; the last row is memory.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from memnas_core.memory import Lifetime, LifetimeTable
from memnas_core.pictures.canvas import add_key, inner_axes, picture, plain, sheet, shortened
from memnas_core.pictures.look import (
    ACCENT,
    ACCENT_PALE,
    BLUE,
    BLUE_PALE,
    CHART_WIDTH,
    FAINT,
    INK,
    SMALL_SIZE,
    SOFT,
    TEXT_SIZE,
    TITLE_SIZE,
)
from memnas_core.pictures.svg import Tips
from memnas_core.pictures.values import byte_unit, shown_bytes

TALLEST_ROW, LOWEST_LABELLED_ROW, LOWEST_ROW = 0.24, 0.084, 0.02  # inches
ROWS_HEIGHT = 8.0  # inches that many tensors share before their rows get lower than can be labelled
MEMORY_HEIGHT = 1.25
HEAD, GAP, FOOT = 0.62, 0.12, 0.5
NAME_LENGTH = 34
STEPS_WITH_FIGURES = 16


def lifetime_svg(table: LifetimeTable, title: str) -> str:
    """Return the lifetime plot of a table as SVG.

    Tensors are listed from the first born to the last; a bar is as thick as the tensor is large. What is in
    memory at the peak (the first step of that size) is coloured. Of more than 150 tensors some stay unnamed.

    Args:
        table: The lifetimes; it has at least one tensor.
        title: Stands above the plot.
    """
    pitch = _row_height(len(table.rows))
    rows_height = max(pitch * len(table.rows), 0.5)
    height = HEAD + rows_height + GAP + MEMORY_HEIGHT + FOOT
    label = plain(f"{title}: lifetimes of {len(table.rows)} tensors, peak {table.peak} bytes")
    return picture(CHART_WIDTH, height, label, lambda figure: _draw(figure, table, title, pitch, rows_height))


def _row_height(count: int) -> float:
    if count * LOWEST_LABELLED_ROW <= 1.6 * ROWS_HEIGHT:
        return min(TALLEST_ROW, max(LOWEST_LABELLED_ROW, ROWS_HEIGHT / count))
    return max(LOWEST_ROW, 1.6 * ROWS_HEIGHT / count)


def _draw(figure: Figure, table: LifetimeTable, title: str, pitch: float, rows_height: float) -> Tips:
    peak_step = table.profile.index(table.peak) + 1
    size = min(TEXT_SIZE, max(pitch, LOWEST_LABELLED_ROW) * 72 * 0.92)
    labels = [_label(row) for row in table.rows]
    margin, step = _scale(table, [len(label) * 0.62 * size / 72 + pitch * 0.5 + 0.06 for label in labels])
    end = len(table.profile) + 1
    width = step * (end - 1) + 0.1

    page = sheet(figure)
    page.text(0.12, 0.22, plain(title), size=TITLE_SIZE, weight="bold", va="center")
    add_key(figure, _key(), 0.37)

    bars = inner_axes(figure, margin, HEAD, width, rows_height)
    memory = inner_axes(figure, margin, HEAD + rows_height + GAP, width, MEMORY_HEIGHT)
    for axes in (bars, memory):
        axes.set_xlim(1, end + 0.1 / step)
        axes.axvspan(peak_step, peak_step + 1, color=ACCENT_PALE, lw=0, zorder=0)
        axes.set_xticks(_ticks(end - 1))
        axes.grid(axis="x")
    tips = _draw_bars(bars, table, peak_step, pitch)
    for place, label in zip(_labelled(table.rows, peak_step, pitch), labels, strict=True):
        if place is not None:
            row = table.rows[place]
            bars.annotate(
                label,
                (row.born, place),
                xytext=(-pitch * 72 * 0.35 - 3, 0),
                textcoords="offset points",
                ha="right",
                va="center_baseline",
                size=size,
                color=INK if row.born <= peak_step <= row.last else SOFT,
                annotation_clip=False,
            )
    _draw_memory(memory, table, peak_step, step)
    return tips


def _ticks(steps: int) -> list[int]:
    """Return the first step and then round numbers, 20 at most."""
    distance = next(d for d in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, steps) if steps <= 20 * d)
    # 2 would stand too close to 1 where only every second step is named.
    return [1, *range(4 if distance == 2 else max(distance, 2), steps + 1, distance)]


def _label(row: Lifetime) -> str:
    return f"{shortened(plain(row.tensor), NAME_LENGTH)}  {shown_bytes(row.bytes)}"


def _scale(table: LifetimeTable, label_widths: Sequence[float]) -> tuple[float, float]:
    """Return the left margin and the width of a step, in inches, that leave every label its room.

    A label stands left of its bar, so that only what is born early needs a margin.
    """
    margin = 0.7
    for _ in range(8):  # a larger margin makes steps narrower; this settles at once
        step = (CHART_WIDTH - 0.3 - margin) / len(table.profile)
        needed = (width - (row.born - 1) * step for row, width in zip(table.rows, label_widths, strict=True))
        margin = max(0.7, *needed)
    return margin, (CHART_WIDTH - 0.3 - margin) / len(table.profile)


def _key() -> list[Line2D]:
    return [
        Line2D([], [], ls="none", marker="o", ms=5, mfc=INK, mec=INK, label="generated"),
        Line2D([], [], ls="none", marker="o", ms=5, mfc="white", mec=INK, label="deleted"),
        Line2D([], [], color=ACCENT, lw=4, solid_capstyle="butt", label="in memory at the peak"),
        Line2D([], [], color=BLUE, lw=4, solid_capstyle="butt", label="other; the thicker, the more bytes"),
    ]


def _draw_bars(axes: Axes, table: LifetimeTable, peak_step: int, pitch: float) -> Tips:
    rows, end = table.rows, len(table.profile) + 1
    largest = max((row.bytes for row in rows), default=0) or 1
    colors = [ACCENT if row.born <= peak_step <= row.last else BLUE for row in rows]
    points = pitch * 72
    circle = min(points * 0.62, 8.5)
    bars = LineCollection(
        [[(row.born, place), (row.last + 1, place)] for place, row in enumerate(rows)],
        colors=colors,
        linewidths=[circle * (0.12 + 0.5 * row.bytes / largest) for row in rows],
        capstyle="butt",
        gid="bars",
    )
    axes.add_collection(bars, autolim=False)
    deleted = [place for place, row in enumerate(rows) if row.last + 1 < end]  # the others stay to the end
    for gid, x, places, is_filled in (
        ("generated", [row.born for row in rows], list(range(len(rows))), True),
        ("deleted", [rows[place].last + 1 for place in deleted], deleted, False),
    ):
        own = [colors[place] for place in places]
        axes.scatter(
            x,
            places,
            s=circle**2,
            c=own if is_filled else "white",
            edgecolors=own,
            linewidths=max(0.4, min(1.0, points * 0.08)),
            clip_on=False,
            zorder=3,
            gid=gid,
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    return {"bars": [_tip(row, end) for row in rows]}


def _tip(row: Lifetime, end: int) -> str:
    last = f"deleted at {row.last + 1}" if row.last + 1 < end else "kept to the end"
    return f"{row.tensor}: {row.bytes:,} bytes, generated at {row.born}, {last}"


def _labelled(rows: Sequence[Lifetime], peak_step: int, pitch: float) -> list[int | None]:
    """Return each row's number where there is room to name it; what is in memory at the peak goes first."""
    if pitch >= LOWEST_LABELLED_ROW:
        return list(range(len(rows)))
    distance = LOWEST_LABELLED_ROW / pitch
    order = sorted(range(len(rows)), key=lambda i: not rows[i].born <= peak_step <= rows[i].last)
    named: list[int] = []
    for place in order:
        if all(abs(place - other) >= distance for other in named):
            named.append(place)
    return [place if place in set(named) else None for place in range(len(rows))]


def _draw_memory(axes: Axes, table: LifetimeTable, peak_step: int, step: float) -> None:
    unit, name = byte_unit(table.peak)
    values = [used / unit for used in table.profile]
    edges = list(range(1, len(values) + 2))
    axes.stairs(values, edges, fill=True, color=BLUE_PALE, gid="memory")
    axes.stairs(values, edges, color=BLUE, lw=1.0, baseline=None)
    top = table.peak / unit or 1.0
    axes.axhline(top, color=ACCENT, lw=0.8, ls=(0, (4, 3)))
    axes.set_ylim(0, top * 1.28)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=unit == 1))
    axes.set_ylabel(f"memory, {name}")
    axes.set_xlabel("time, steps")
    in_unit = f" ({shown_bytes(table.peak)})" if unit > 1 else ""
    early = (peak_step + 0.5) * 2 < len(values) + 2
    axes.annotate(
        f"peak {table.peak:,} bytes{in_unit} at step {peak_step}",
        (peak_step if early else peak_step + 1, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left" if early else "right",
        va="bottom",
        size=TEXT_SIZE,
        weight="bold",
        color=ACCENT,
        gid="peak",
    )
    if len(values) <= STEPS_WITH_FIGURES and step > 0.4:
        for number, value in enumerate(values, start=1):
            text = f"{value:,.0f}" if unit == 1 else f"{value:,.1f}"
            axes.text(number + 0.5, value * 0.5, text, ha="center", va="center", size=SMALL_SIZE, color=INK)
    axes.spines["bottom"].set_color(FAINT)
