"""The look of the pictures in `results/figures/`: one page width, one set of colours, every seed visible.

`memnas_core.pictures.canvas` does the drawing: it leaves out the date, so that equal figures give equal files.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memnas_core.files.writing import write_text
from memnas_core.pictures.canvas import coordinates, inner_axes, picture

WIDTH = 9.6  # inches
PANEL_HEIGHT = 2.3
LEFT, RIGHT, TOP, FOOT = 0.66, 0.16, 0.62, 0.52  # inches around a panel

# Okabe and Ito's colours can be told apart with any kind of colour vision, and with the markers, without any.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"


def save(path: Path, height: float, label: str, draw: Callable[[Figure], None]) -> None:
    """Draw a picture of the page's width and write it atomically as SVG.

    Args:
        path: The file.
        height: Height in inches.
        label: Description of the picture for readers who cannot see it.
        draw: Fills the figure.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_text(path, picture(WIDTH, height, label, draw) + "\n")


def panels(figure: Figure, columns: int, rows: int = 1) -> list[Axes]:
    """Return axes for a grid of panels, row by row; the legend has its place above the first row."""
    width = WIDTH / columns
    pitch = TOP + PANEL_HEIGHT + FOOT - 0.1
    return [
        inner_axes(figure, column * width + LEFT, row * pitch + TOP, width - LEFT - RIGHT, PANEL_HEIGHT)
        for row in range(rows)
        for column in range(columns)
    ]


def height_of(rows: int = 1) -> float:
    """Return the height in inches of a grid with a given number of rows of panels."""
    return rows * (TOP + PANEL_HEIGHT + FOOT - 0.1) + 0.1


def draw_seeds(axes: Axes, seeds: Sequence[Sequence[tuple[float, float]]], color: str, marker: str) -> None:
    """Draw each seed as a thin line with small marks and their mean as a thick line.

    Args:
        axes: The axes to draw on.
        seeds: Points (x, y) of each seed. A search that ended early has fewer; the mean ends with the shortest.
        color: Colour of all lines.
        marker: Marker of all points.
    """
    for points in seeds:
        axes.plot(*coordinates(points), color=color, lw=0.7, alpha=0.55, marker=marker, ms=2.5, zorder=2)
    mean = [(fmean(x for x, _ in place), fmean(y for _, y in place)) for place in zip(*seeds, strict=False)]
    axes.plot(*coordinates(mean), color=color, lw=2.2, marker=marker, ms=5, mec="white", mew=0.6, zorder=3)


def draw_spread(axes: Axes, x: Sequence[float], groups: Sequence[Sequence[float]], color: str, marker: str) -> None:
    """Draw every seed at each x as a point, a line through the means, and a band from lowest to highest."""
    axes.fill_between(
        x, [min(group) for group in groups], [max(group) for group in groups], color=color, alpha=0.15, lw=0, zorder=1
    )
    axes.plot(x, [fmean(group) for group in groups], color=color, lw=2.0, zorder=2)
    for place, group in zip(x, groups, strict=True):
        axes.scatter([place] * len(group), group, s=26, color=color, marker=marker, ec="white", lw=0.6, zorder=3)


def finish(axes: Axes, title: str, x_label: str, from_zero: bool = False) -> None:
    """Set a panel's title, x label and grid."""
    axes.set_title(title, pad=8)
    axes.set_xlabel(x_label)
    axes.grid(axis="y")
    axes.margins(0.05, 0.1)
    if from_zero:
        axes.set_ylim(bottom=0)
