"""The lifetime plot: in which steps each tensor is in memory, and the memory of every step.

Source: Figure 3. A filled circle is a tensor's generation, a hollow one its deletion; the last row is memory.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from memnas_core.memory.lifetimes import Lifetime, LifetimeTable
from memnas_core.pictures.canvas import plain, shortened
from memnas_core.pictures.ink import Ink, Kind
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
from memnas_core.pictures.values import byte_unit, shown_bytes

TALLEST_ROW, LOWEST_LABELLED_ROW, LOWEST_ROW = 0.24, 0.084, 0.02  # inches
ROWS_HEIGHT = 8.0  # inches that rows share while each is between LOWEST_LABELLED_ROW and TALLEST_ROW
MEMORY_HEIGHT = 1.25
HEAD, GAP, FOOT = 0.62, 0.12, 0.5
NAME_LENGTH = 34
STEPS_WITH_FIGURES = 16
LETTER = 0.62  # width of a character divided by the font size
HEADROOM = 1.28  # height of the memory axes divided by that of the peak; leaves room for the words above the peak
TICK = 0.05


def lifetime_svg(table: LifetimeTable, title: str) -> str:
    """Return the lifetime plot of a table as SVG.

    Tensors are listed in order of birth; the larger a tensor, the thicker its bar. Tensors in memory at the peak (the
    first step with most bytes) are coloured. Of more than 150 tensors some stay unnamed.

    Args:
        table: Lifetimes of at least one tensor.
        title: Title above the plot.
    """
    plot = _plot(table)
    ink = Ink()
    ink.write(0.12, 0.22, plain(title), TITLE_SIZE, weight="bold")
    _add_key(ink)
    _draw_bars(ink, table, plot)
    _draw_memory(ink, table, plot)
    label = plain(f"{title}: lifetimes of {len(table.rows)} tensors, peak {table.peak} bytes")
    return ink.svg(CHART_WIDTH, plot.bottom + FOOT, label)


class _Plot(NamedTuple):
    """The layout of the plot, in inches.

    Attributes:
        pitch: Height of a tensor's row.
        left: Left end of the first step.
        step: Width of a step.
        steps: Number of steps.
        peak_step: First step at the peak.
        top: Upper end of the rows.
        rows_end: Lower end of the rows.
        bottom: Lower end of the memory curve.
        labels: Label of each row.
        size: Font size of the labels, in points.
    """

    pitch: float
    left: float
    step: float
    steps: int
    peak_step: int
    top: float
    rows_end: float
    bottom: float
    labels: tuple[str, ...]
    size: float

    @property
    def right(self) -> float:
        """Right end of the axes, a little right of the last step."""
        return self.left + self.step * self.steps + 0.1

    def x(self, time: float) -> float:
        """Return the left end of a step."""
        return self.left + (time - 1) * self.step

    def y(self, place: int) -> float:
        """Return the middle of a row."""
        return self.top + (place + 0.5) * self.pitch


def _plot(table: LifetimeTable) -> _Plot:
    pitch = _row_height(len(table.rows))
    size = min(TEXT_SIZE, max(pitch, LOWEST_LABELLED_ROW) * 72 * 0.92)
    labels = tuple(_label(row) for row in table.rows)
    left, step = _scale(table, [len(label) * LETTER * size / 72 + pitch * 0.5 + 0.06 for label in labels])
    rows_end = HEAD + max(pitch * len(table.rows), 0.5)
    return _Plot(
        pitch=pitch,
        left=left,
        step=step,
        steps=len(table.profile),
        peak_step=table.profile.index(table.peak) + 1,
        top=HEAD,
        rows_end=rows_end,
        bottom=rows_end + GAP + MEMORY_HEIGHT,
        labels=labels,
        size=size,
    )


def _row_height(count: int) -> float:
    if count * LOWEST_LABELLED_ROW <= 1.6 * ROWS_HEIGHT:
        return min(TALLEST_ROW, max(LOWEST_LABELLED_ROW, ROWS_HEIGHT / count))
    return max(LOWEST_ROW, 1.6 * ROWS_HEIGHT / count)


def _ticks(steps: int) -> list[int]:
    """Return the steps to name: the first one and then round numbers, about 20 at most."""
    distance = next(d for d in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, steps) if steps <= 20 * d)
    # If only every second step is named, 2 would be too close to 1.
    return [1, *range(4 if distance == 2 else max(distance, 2), steps + 1, distance)]


def _label(row: Lifetime) -> str:
    return f"{shortened(plain(row.tensor), NAME_LENGTH)}  {shown_bytes(row.bytes)}"


def _scale(table: LifetimeTable, label_widths: Sequence[float]) -> tuple[float, float]:
    """Return the left margin and the width of a step, in inches, that leave room for every label.

    A label stands left of its bar, so that only tensors born early need a margin.
    """
    margin = 0.7
    for _ in range(8):  # a larger margin makes steps narrower; the loop settles quickly
        step = (CHART_WIDTH - 0.3 - margin) / len(table.profile)
        needed = (width - (row.born - 1) * step for row, width in zip(table.rows, label_widths, strict=True))
        margin = max(0.7, *needed)
    return margin, (CHART_WIDTH - 0.3 - margin) / len(table.profile)


def _add_key(ink: Ink) -> None:
    """Draw a one-line key of marks and colours."""
    x, y = 0.12, 0.415
    for words, color, fill in (
        ("generated", INK, INK),
        ("deleted", INK, "white"),
        ("in memory at the peak", ACCENT, None),
        ("other; the thicker, the more bytes", BLUE, None),
    ):
        if fill is not None:
            ink.circle(Kind.KEY, x + 0.1, y, 5, color, fill)
        else:
            ink.line(Kind.KEY, (x, y), (x + 0.2, y), color=color, width=4)
        ink.write(x + 0.25, y, words)
        x += 0.45 + LETTER * 0.92 * SMALL_SIZE / 72 * len(words)


def _draw_ground(ink: Ink, plot: _Plot, top: float, bottom: float) -> None:
    """Draw a band at the peak's step, and a line at the beginning of every named step."""
    ink.box(Kind.BANDS, plot.x(plot.peak_step), top, plot.step, bottom - top, ACCENT_PALE, radius=0)
    for tick in _ticks(plot.steps):
        ink.line(Kind.GRID, (plot.x(tick), top), (plot.x(tick), bottom))


def _draw_bars(ink: Ink, table: LifetimeTable, plot: _Plot) -> None:
    rows, end = table.rows, plot.steps + 1
    largest = max((row.bytes for row in rows), default=0) or 1
    points = plot.pitch * 72
    circle, edge = min(points * 0.62, 8.5), max(0.4, min(1.0, points * 0.08))
    named = _labelled(rows, plot.peak_step, plot.pitch)
    _draw_ground(ink, plot, plot.top, plot.rows_end)
    for place, row in enumerate(rows):
        is_at_peak = row.born <= plot.peak_step <= row.last
        color, y = ACCENT if is_at_peak else BLUE, plot.y(place)
        thickness = circle * (0.12 + 0.5 * row.bytes / largest)
        born, gone = plot.x(row.born), plot.x(row.last + 1)
        ink.line(Kind.BARS, (born, y), (gone, y), color=color, width=thickness, tip=_tip(row, end))
        ink.circle(Kind.GENERATED, born, y, circle, color, color, edge)
        if row.last + 1 < end:  # the other tensors stay to the end
            ink.circle(Kind.DELETED, gone, y, circle, color, width=edge)
        if place in named:
            x = born - plot.pitch * 0.35 - 3 / 72
            ink.write(x, y, plot.labels[place], plot.size, INK if is_at_peak else SOFT, "right")


def _tip(row: Lifetime, end: int) -> str:
    last = f"deleted at {row.last + 1}" if row.last + 1 < end else "kept to the end"
    return f"{row.tensor}: {row.bytes:,} bytes, generated at {row.born}, {last}"


def _labelled(rows: Sequence[Lifetime], peak_step: int, pitch: float) -> frozenset[int]:
    """Return the rows that there is room to name; tensors in memory at the peak come first."""
    if pitch >= LOWEST_LABELLED_ROW:
        return frozenset(range(len(rows)))
    distance = LOWEST_LABELLED_ROW / pitch
    order = sorted(range(len(rows)), key=lambda i: not rows[i].born <= peak_step <= rows[i].last)
    named: list[int] = []
    for place in order:
        if all(abs(place - other) >= distance for other in named):
            named.append(place)
    return frozenset(named)


def _draw_memory(ink: Ink, table: LifetimeTable, plot: _Plot) -> None:
    unit, name = byte_unit(table.peak)
    values = [used / unit for used in table.profile]
    highest = table.peak / unit or 1.0
    top, bottom = plot.rows_end + GAP, plot.bottom
    scale = MEMORY_HEIGHT / (highest * HEADROOM)

    _draw_ground(ink, plot, top, bottom)
    stairs = [
        (plot.x(time), bottom - value * scale)
        for number, value in enumerate(values, start=1)
        for time in (number, number + 1)
    ]
    ink.area(Kind.MEMORY, [(plot.left, bottom), *stairs, (plot.x(plot.steps + 1), bottom)], BLUE_PALE)
    ink.line(Kind.OUTLINE, *stairs)
    peak = bottom - highest * scale
    ink.line(Kind.PEAK, (plot.left, peak), (plot.right, peak))
    in_unit = f" ({shown_bytes(table.peak)})" if unit > 1 else ""
    is_early = (plot.peak_step + 0.5) * 2 < plot.steps + 2
    ink.write(
        plot.x(plot.peak_step if is_early else plot.peak_step + 1),
        peak - (3 + TEXT_SIZE / 2) / 72,
        f"peak {table.peak:,} bytes{in_unit} at step {plot.peak_step}",
        TEXT_SIZE,
        ACCENT,
        "left" if is_early else "right",
        "bold",
    )
    _draw_axes(ink, plot, highest, scale, name, is_whole=unit == 1)
    if plot.steps <= STEPS_WITH_FIGURES and plot.step > 0.4:
        for number, value in enumerate(values, start=1):
            text = f"{value:,.0f}" if unit == 1 else f"{value:,.1f}"
            ink.write(plot.x(number + 0.5), bottom - value * scale / 2, text, align="center")


def _draw_axes(ink: Ink, plot: _Plot, highest: float, scale: float, unit: str, is_whole: bool) -> None:
    """Draw the two axes of the memory curve with names and ticks."""
    left, bottom = plot.left, plot.bottom
    ink.line(Kind.AXES, (left, bottom), (plot.right, bottom), color=FAINT)
    ink.line(Kind.AXES, (left, bottom - MEMORY_HEIGHT), (left, bottom))
    for height in _heights(highest * HEADROOM, is_whole):
        y = bottom - height * scale
        ink.line(Kind.AXES, (left - TICK, y), (left, y))
        ink.write(left - TICK - 0.04, y, f"{height:g}", align="right")
    for tick in _ticks(plot.steps):
        ink.line(Kind.AXES, (plot.x(tick), bottom), (plot.x(tick), bottom + TICK))
        ink.write(plot.x(tick), bottom + TICK + 0.09, f"{tick}", align="center")
    ink.write(left - 0.48, bottom - MEMORY_HEIGHT / 2, f"memory, {unit}", TEXT_SIZE, align="center", is_upwards=True)
    ink.write((left + plot.right) / 2, bottom + 0.31, "time, steps", TEXT_SIZE, align="center")


def _heights(top: float, is_whole: bool) -> list[float]:
    """Return at most five round numbers from 0 to `top`."""
    power = 10.0 ** math.floor(math.log10(top / 4))
    if is_whole:
        power = max(power, 1.0)
    step = next(distance * power for distance in (1, 2, 4, 5, 10) if distance * power >= top / 4)
    return [number * step for number in range(math.floor(top / step) + 1)]
