"""Drawing with matplotlib from any thread.

matplotlib keeps its settings and font caches per process and does not claim to be thread-safe; so drawing
holds a lock, uses no pyplot, and restores the settings.
"""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from io import StringIO

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from memnas_core.pictures.look import FAINT, INK, SMALL_SIZE, SOFT, TEXT_SIZE
from memnas_core.pictures.svg import FONTS, Tips, embeddable

_LOCK = threading.Lock()
_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",  # text stays text: small files, searchable, read out by screen readers
    "svg.hashsalt": "memnas",  # equal pictures give equal files
    "text.parse_math": False,  # a dollar sign in a name is shown as such
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "axes.titlesize": TEXT_SIZE,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT_SIZE,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.frameon": False,
    "legend.fontsize": SMALL_SIZE,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.4,
}


def picture(width: float, height: float, label: str, draw: Callable[[Figure], Tips | None]) -> str:
    """Draw one picture.

    Args:
        width: Width of the picture, in inches (72 pt).
        height: Height of the picture, in inches.
        label: Short description of the picture for those who cannot see it.
        draw: Function that fills the figure; it may return tips for the shapes of collections, by their gid.

    Returns:
        SVG document; a gid that `draw` gave to an artist is the class of the artist's group.
    """
    with _LOCK, rc_context(_STYLE):
        figure = Figure(figsize=(width, height), facecolor="white")
        tips = draw(figure)
        buffer = StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return embeddable(buffer.getvalue(), label, tips or {})


def inner_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the figure's upper left corner."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - top - height
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def sheet(figure: Figure) -> Axes:
    """Add axes without a frame over the whole figure; coordinates are inches from its upper left corner."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return axes


def add_key(figure: Figure, handles: Sequence[Artist], top: float) -> None:
    """Draw a one-line key of marks and colours, `top` inches below the figure's upper edge."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.12 / width, 1 - top / height),
        ncols=len(handles),
        borderpad=0,
        borderaxespad=0,
    )


def coordinates(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the x and the y coordinates of points as two lists, as matplotlib wants them."""
    return [x for x, _ in points], [y for _, y in points]


def whole_numbers(count: int) -> MaxNLocator:
    """Return a locator of at most about `count` ticks, all at whole numbers."""
    return MaxNLocator(nbins=count, integer=True, min_n_ticks=1)


def plain(text: str) -> str:
    """Return a text with question marks for characters that the font or XML cannot show."""
    glyphs = _glyphs()
    return "".join(letter if ord(letter) in glyphs else "?" for letter in text)


def shortened(text: str, length: int) -> str:
    """Return a text cut to at most `length` characters; an ellipsis replaces the middle of a longer one."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONTS[0])).get_charmap())
