"""The arena plot: which bytes of an arena each tensor takes in which steps."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from memnas_core.memory.arena import ArenaPlan, Placement
from memnas_core.memory.arena_report import used_in_steps
from memnas_core.pictures.canvas import add_key, inner_axes, picture, plain, sheet, shortened, whole_numbers
from memnas_core.pictures.look import (
    ACCENT,
    ACCENT_PALE,
    BLUE,
    BLUE_PALE,
    CHART_WIDTH,
    INK,
    PALE,
    SMALL_SIZE,
    SOFT,
    TEXT_SIZE,
    TINY_SIZE,
    TITLE_SIZE,
)
from memnas_core.pictures.svg import Tips
from memnas_core.pictures.values import byte_unit, shown_bytes

HEAD, FOOT, LEFT, RIGHT = 0.62, 0.9, 0.7, 0.3  # inches
PLOT_HEIGHT = 4.4
HEADROOM = 1.1  # height of the axes divided by that of the arena; leaves room for the words above the arena
NAME_LENGTH = 34
LINE_LENGTH = 128  # characters of small text that fit into a line
LETTER = 0.62  # width of a character divided by the font size


def arena_svg(plan: ArenaPlan, title: str) -> str:
    """Return an arena as SVG: bytes upwards, time to the right, a rectangle for each tensor.

    Tensors in memory at the peak (the first step with most bytes) are coloured and listed below the plot. Memory that
    tensors share has a frame from its first to its last step; a later tensor in the same place is drawn over an earlier
    one. Tensors are named where there is room, and when the pointer rests on them.

    Args:
        plan: Arena with at least one tensor of more than 0 bytes.
        title: Title above the plot.
    """
    label = plain(f"{title}: {len(plan.placements)} tensors in an arena of {plan.bytes} bytes")
    return picture(CHART_WIDTH, HEAD + PLOT_HEIGHT + FOOT, label, lambda figure: _draw(figure, plan, title))


def _draw(figure: Figure, plan: ArenaPlan, title: str) -> Tips:
    width = CHART_WIDTH - LEFT - RIGHT
    page = sheet(figure)
    page.text(0.12, 0.22, plain(title), size=TITLE_SIZE, weight="bold", va="center")
    add_key(figure, _key(), 0.37)
    axes = inner_axes(figure, LEFT, HEAD, width, PLOT_HEIGHT)
    unit, name = byte_unit(plan.bytes)
    end, top = max(placement.last for placement in plan.placements) + 1, plan.bytes / unit
    axes.set_xlim(1, end)
    axes.set_ylim(0, top * HEADROOM)
    axes.xaxis.set_major_locator(whole_numbers(20))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=unit == 1))
    axes.set_xlabel("time, steps")
    axes.set_ylabel(f"offset, {name}")
    tips = _draw_tensors(axes, plan, unit)
    _name_tensors(axes, plan, unit, width / (end - 1), PLOT_HEIGHT / (top * HEADROOM))
    _draw_limits(axes, plan, unit, end)
    for number, line in enumerate(_peak_lines(plan)):
        page.text(0.12, HEAD + PLOT_HEIGHT + 0.56 + 0.16 * number, line, size=SMALL_SIZE, color=ACCENT, va="center")
    return tips


def _key() -> list[Patch]:
    return [
        Patch(facecolor=ACCENT_PALE, edgecolor=ACCENT, lw=0.7, label="in memory at the peak"),
        Patch(facecolor=BLUE_PALE, edgecolor=BLUE, lw=0.7, label="other"),
        Patch(facecolor=PALE, edgecolor=SOFT, lw=0.7, ls=(0, (3, 2)), label="memory that tensors share"),
    ]


def _peak_step(plan: ArenaPlan) -> int:
    used = used_in_steps(plan)
    return used.index(max(used)) + 1


def _peak_lines(plan: ArenaPlan) -> list[str]:
    """Return at most two lines that list the tensors in memory at the peak, the largest first."""
    step = _peak_step(plan)
    pieces = sorted((p for p in plan.reserved() if p.born <= step <= p.last and p.bytes), key=lambda p: -p.bytes)
    names = [f"{shortened(plain(piece.tensor), NAME_LENGTH)} {shown_bytes(piece.bytes)}" for piece in pieces]
    lines = [f"At the peak, step {step}: "]
    for number, name in enumerate(names):
        left = len(names) - number
        rest = f"and {left} smaller"
        if len(lines[-1]) + len(name) + 2 > LINE_LENGTH - (len(rest) if len(lines) == 2 else 0):
            if len(lines) == 2:
                lines[-1] += rest
                break
            lines.append("")
        lines[-1] += name + (", " if left > 1 else "")
    return [line.strip() for line in lines]


def _visible_end(placement: Placement, others: Sequence[Placement]) -> int:
    """Return the step in which a tensor is gone, or in which another tensor is drawn over it."""
    over = (
        other.born
        for other in others
        if other.born > placement.born
        and other.offset < placement.offset + placement.bytes
        and placement.offset < other.offset + other.bytes
    )
    return min(placement.last + 1, *over, placement.last + 1)


def _draw_tensors(axes: Axes, plan: ArenaPlan, unit: int) -> Tips:
    shared = [piece for piece in plan.reserved() if any(p.tensor != p.home == piece.home for p in plan.placements)]
    axes.add_collection(
        PolyCollection(
            [_corners(piece, piece.last + 1, unit) for piece in shared],
            facecolors=PALE,
            edgecolors=SOFT,
            linewidths=0.7,
            linestyles=[(0, (3, 2))],
            gid="shared",
        ),
        autolim=False,
    )
    peak = _peak_step(plan)
    drawn = [placement for placement in plan.placements if placement.bytes]
    alive = [placement.born <= peak <= placement.last for placement in drawn]
    axes.add_collection(
        PolyCollection(
            [_corners(placement, _visible_end(placement, plan.placements), unit) for placement in drawn],
            facecolors=[ACCENT_PALE if is_alive else BLUE_PALE for is_alive in alive],
            edgecolors=[ACCENT if is_alive else BLUE for is_alive in alive],
            linewidths=0.7,
            clip_on=False,
            gid="tensors",
        ),
        autolim=False,
    )
    return {"tensors": [_tip(placement) for placement in drawn]}


def _corners(placement: Placement, end: int, unit: int) -> list[tuple[float, float]]:
    low, high = placement.offset / unit, (placement.offset + placement.bytes) / unit
    return [(placement.born, low), (end, low), (end, high), (placement.born, high)]


def _tip(placement: Placement) -> str:
    where = "" if placement.home == placement.tensor else f", in the memory of {placement.home}"
    return (
        f"{placement.tensor}: {placement.bytes:,} bytes from {placement.offset:,}{where}, "
        f"in steps {placement.born} to {placement.last}"
    )


def _name_tensors(axes: Axes, plan: ArenaPlan, unit: int, step: float, scale: float) -> None:
    """Write names into the rectangles, across or upwards, as large as fits.

    Args:
        axes: Axes of the plot.
        plan: The arena.
        unit: Bytes in a unit of the vertical axis.
        step: Width of a step, in inches.
        scale: Height of a unit of the vertical axis, in inches.
    """
    for placement in plan.placements:
        end = _visible_end(placement, plan.placements)
        width, height = (end - placement.born) * step, placement.bytes / unit * scale
        along, across = max(width, height), min(width, height)
        name = shortened(plain(placement.tensor), NAME_LENGTH)
        for words in (f"{name}  {shown_bytes(placement.bytes)}", name):
            size = min(TEXT_SIZE, 72 * across * 0.75, 72 * along / (LETTER * (len(words) + 1)))
            if size >= TINY_SIZE:
                axes.text(
                    (placement.born + end) / 2,
                    (placement.offset + placement.bytes / 2) / unit,
                    words,
                    size=size,
                    color=INK,
                    ha="center",
                    va="center",
                    rotation=0 if width >= height else 90,
                )
                break


def _draw_limits(axes: Axes, plan: ArenaPlan, unit: int, end: int) -> None:
    in_unit = f" ({shown_bytes(plan.bytes)})" if unit > 1 else ""
    words = f"arena {plan.bytes:,} bytes{in_unit}"
    if plan.is_optimal:
        words += ", the least for this order"
    else:
        words += f"; none for this order is below {plan.lower_bound:,} (dotted)"
        axes.axhline(plan.lower_bound / unit, color=ACCENT, lw=0.8, ls=(0, (1, 2)), gid="bound")
    axes.axhline(plan.bytes / unit, color=ACCENT, lw=0.8, ls=(0, (4, 3)), gid="arena")
    axes.annotate(
        words,
        (end, plan.bytes / unit),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        size=TEXT_SIZE,
        weight="bold",
        color=ACCENT,
    )
