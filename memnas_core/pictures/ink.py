"""Diagrams written as SVG directly: boxes, lines, circles and words on a sheet.

Two diagrams are made for every trained candidate; matplotlib would take 50 times as long for words and boxes.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from memnas_core.pictures.look import ACCENT, BLUE, FAINT, INK, SMALL_SIZE, SOFT
from memnas_core.pictures.svg import element, root, text_of

Point = tuple[float, float]
Align = Literal["left", "center", "right"]

_ANCHORS = {"left": "start", "center": "middle", "right": "end"}
_BASELINE = 0.36  # distance of the baseline below the middle of small letters and digits, divided by the font size


class Kind(StrEnum):
    """Kinds of shapes, drawn in this order, so that later ones hide earlier ones; each is a class in the SVG."""

    FRAMES = "frames"
    CELLS = "cells"
    WIRES = "wires"
    OUTPUTS = "outputs"
    DOTS = "dots"
    LAYERS = "layers"
    CUT = "cut"
    JOINS = "joins"
    BANDS = "bands"
    GRID = "grid"
    BARS = "bars"
    GENERATED = "generated"
    DELETED = "deleted"
    MEMORY = "memory"
    OUTLINE = "outline"
    PEAK = "peak"
    AXES = "axes"
    KEY = "key"


class _Pen(NamedTuple):
    width: float  # points
    color: str = SOFT
    dashes: str = "none"


_PENS = {
    Kind.FRAMES: _Pen(1.1),
    Kind.CELLS: _Pen(0.0, "none"),
    Kind.WIRES: _Pen(0.8),
    Kind.OUTPUTS: _Pen(1.3, INK),
    Kind.DOTS: _Pen(0.0, "none"),
    Kind.LAYERS: _Pen(0.6),
    Kind.CUT: _Pen(0.6, SOFT, "3 2"),
    Kind.JOINS: _Pen(0.8, INK),
    Kind.BANDS: _Pen(0.0, "none"),
    Kind.GRID: _Pen(0.5, FAINT),
    Kind.BARS: _Pen(1.0),
    Kind.GENERATED: _Pen(1.0),
    Kind.DELETED: _Pen(1.0),
    Kind.MEMORY: _Pen(0.0, "none"),
    Kind.OUTLINE: _Pen(1.0, BLUE),
    Kind.PEAK: _Pen(0.8, ACCENT, "3.2 2.4"),
    Kind.AXES: _Pen(0.7),
    Kind.KEY: _Pen(1.0),
}


class Ink:
    """One sheet; coordinates are inches from its upper left corner, font sizes are points."""

    def __init__(self) -> None:
        self._groups = {
            kind: element(
                "g",
                {
                    "class": kind.value,
                    "fill": "none",
                    "stroke": pen.color,
                    "stroke-width": f"{pen.width}",
                    "stroke-dasharray": pen.dashes,
                },
            )
            for kind, pen in _PENS.items()
        }
        self._words: dict[tuple[str, ...], ElementTree.Element] = {}

    def box(
        self,
        kind: Kind,
        left: float,
        top: float,
        width: float,
        height: float,
        fill: str = "white",
        edge: str | None = None,
        radius: float = 0.05,
        tip: str = "",
    ) -> None:
        """Add a rectangle with round corners; a tip appears when the pointer rests on it."""
        attributes = {
            "x": _points(left),
            "y": _points(top),
            "width": _points(width),
            "height": _points(height),
            "rx": _points(radius),
            "fill": fill,
        }
        if edge:
            attributes["stroke"] = edge
        box = element("rect", attributes, self._groups[kind])
        if tip:
            text_of(element("title", {}, box), tip)

    def line(
        self, kind: Kind, *points: Point, color: str | None = None, width: float | None = None, tip: str = ""
    ) -> None:
        """Add a line through some points.

        Args:
            kind: Kind of the line, which decides its default colour and width.
            points: Points that the line joins, in inches.
            color: Colour of the line.
            width: Width of the line, in points.
            tip: Words that appear when the pointer rests on the line.
        """
        attributes = {"points": _path(points)}
        if color is not None:
            attributes["stroke"] = color
        if width is not None:
            attributes["stroke-width"] = f"{width:.2f}"
        line = element("polyline", attributes, self._groups[kind])
        if tip:
            text_of(element("title", {}, line), tip)

    def area(self, kind: Kind, points: Sequence[Point], fill: str) -> None:
        """Add the area that a line through some points encloses."""
        element("polygon", {"points": _path(points), "fill": fill}, self._groups[kind])

    def circle(
        self, kind: Kind, x: float, y: float, diameter: float, edge: str, fill: str = "white", width: float = 1.0
    ) -> None:
        """Add a circle; its diameter and the width of its edge are in points."""
        place = {"cx": _points(x), "cy": _points(y), "r": f"{diameter / 2:.2f}"}
        look = {"fill": fill, "stroke": edge, "stroke-width": f"{width:.2f}"}
        element("circle", place | look, self._groups[kind])

    def dot(self, x: float, y: float) -> None:
        """Add a dot."""
        element("circle", {"cx": _points(x), "cy": _points(y), "r": "1.3", "fill": INK}, self._groups[Kind.DOTS])

    def write(
        self,
        x: float,
        y: float,
        words: str,
        size: float = SMALL_SIZE,
        color: str = INK,
        align: Align = "left",
        weight: Literal["normal", "bold"] = "normal",
        is_upwards: bool = False,
    ) -> None:
        """Add words that are vertically centred on `y`, or with `is_upwards`, horizontally on `x`."""
        look = {
            "font-size": f"{round(size, 2)}",
            "fill": color,
            "text-anchor": _ANCHORS[align],
            "font-weight": weight,
        }
        group = self._words.setdefault(tuple(look.values()), element("g", look))
        place = {"x": _points(x), "y": f"{72 * y + _BASELINE * size:.1f}"}
        if is_upwards:
            place["transform"] = f"rotate(-90 {_points(x)} {_points(y)})"
        text_of(element("text", place, group), words)

    def svg(self, width: float, height: float, label: str) -> str:
        """Return the sheet as an SVG document.

        Args:
            width: Width of the sheet, in inches.
            height: Height of the sheet, in inches.
            label: Short description of the sheet for those who cannot see it.
        """
        sheet = root(72 * width, 72 * height, label)
        sheet.extend(group for group in self._groups.values() if len(group))
        sheet.extend(self._words.values())
        return ElementTree.tostring(sheet, encoding="unicode")


def _path(points: Iterable[Point]) -> str:
    return " ".join(f"{_points(x)},{_points(y)}" for x, y in points)


def _points(inches: float) -> str:
    return f"{72 * inches:.1f}"
