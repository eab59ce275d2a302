"""SVG elements that can stand inside a page beside others: own styles, own ids, and text that XML allows."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

FONTS = ("DejaVu Sans", "Verdana")
"""Pictures are laid out for the first, the widest of those that are usual."""

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAMILY = re.compile(r"font-family:[^;]*;? ?")
_AUTOMATIC_NAME = re.compile(r".*_\d+$")

Tips = Mapping[str, Sequence[str]]
"""For a group's class, words that appear when the pointer rests on its first, second, ... shape."""


def element(name: str, attributes: dict[str, str], parent: ElementTree.Element | None = None) -> ElementTree.Element:
    """Return a new SVG element, the last child of its parent if it has one."""
    made = ElementTree.Element(f"{{{_SVG}}}{name}", attributes)
    if parent is not None:
        parent.append(made)
    return made


def text_of(target: ElementTree.Element, words: str) -> None:
    """Put words into an element; a question mark stands for what XML forbids."""
    target.text = _FORBIDDEN.sub("?", words)


def root(width: float, height: float, label: str) -> ElementTree.Element:
    """Return the outermost element of a picture on white ground, lengths in points."""
    sheet = element(
        "svg",
        {"width": f"{width:.1f}pt", "height": f"{height:.1f}pt", "viewBox": f"0 0 {width:.1f} {height:.1f}"},
    )
    _say_once(sheet, label)
    element("rect", {"width": "100%", "height": "100%", "fill": "white"}, sheet)
    return sheet


def embeddable(document: str, label: str, tips: Tips) -> str:
    """Return a drawing of matplotlib's as one that shares no style and no id with what stands beside it.

    Args:
        document: What matplotlib wrote.
        label: What the drawing shows, in a few words, for those who cannot see it.
        tips: See `Tips`.
    """
    sheet = ElementTree.fromstring(document)
    _say_once(sheet, label)
    for parent in sheet.iter():
        for child in list(parent):
            # The style sheet would apply to the whole page; what it says is on the root now.
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for words in sheet.iter(f"{{{_SVG}}}text"):
        words.set("style", _FAMILY.sub("", words.get("style", "")))
    for group in sheet.iter(f"{{{_SVG}}}g"):
        for shape, tip in zip(_shapes(group), tips.get(group.get("id", ""), ()), strict=False):
            text_of(element("title", {}, shape), tip)
    _own_ids(sheet, hashlib.sha256(document.encode()).hexdigest()[:8])
    return ElementTree.tostring(sheet, encoding="unicode")


def _say_once(sheet: ElementTree.Element, label: str) -> None:
    """Put on the root what all texts and lines share."""
    font = ", ".join(f"'{name}'" for name in FONTS)
    style = f"stroke-linejoin:round;stroke-linecap:butt;font-family:{font},sans-serif"
    sheet.attrib |= {"role": "img", "aria-label": _FORBIDDEN.sub("?", label), "style": style}


def _shapes(group: ElementTree.Element) -> list[ElementTree.Element]:
    shapes = [shape for shape in group.iter() if shape.tag in (f"{{{_SVG}}}use", f"{{{_SVG}}}path")]
    return [shape for shape in shapes if "id" not in shape.attrib]  # those with one are definitions


def _own_ids(sheet: ElementTree.Element, prefix: str) -> None:
    """Keep the ids that are referred to, under names no other picture has; other ids become classes."""
    new: dict[str, str] = {}

    def renamed(old: str) -> str:
        return new.setdefault(old, f"p{prefix}-{len(new)}")

    for node in sheet.iter():
        if _LINK in node.attrib:
            node.set(_LINK, f"#{renamed(node.attrib[_LINK].removeprefix('#'))}")
        if "clip-path" in node.attrib:
            old = node.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            node.set("clip-path", f"url(#{renamed(old)})")
    for node in sheet.iter():
        old = node.attrib.pop("id", "")
        if old in new:
            node.set("id", new[old])
        elif old and not _AUTOMATIC_NAME.match(old):
            node.set("class", old)
