"""SVG elements that can be embedded in a page beside others: own styles, own ids, and text that XML allows."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

FONTS = ("DejaVu Sans", "Verdana")
"""Fonts of the pictures; they are laid out for the first, the widest of the common ones."""

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAMILY = re.compile(r"font-family:[^;]*;? ?")
_AUTOMATIC_NAME = re.compile(r".*_\d+$")

Tips = Mapping[str, Sequence[str]]
"""Class of a group -> words that appear when the pointer rests on its first, second, ... shape."""


def element(name: str, attributes: dict[str, str], parent: ElementTree.Element | None = None) -> ElementTree.Element:
    """Return a new SVG element, added as the last child of `parent` if one is given."""
    made = ElementTree.Element(f"{{{_SVG}}}{name}", attributes)
    if parent is not None:
        parent.append(made)
    return made


def text_of(target: ElementTree.Element, words: str) -> None:
    """Put words into an element; question marks replace characters that XML forbids."""
    target.text = _FORBIDDEN.sub("?", words)


def root(width: float, height: float, label: str) -> ElementTree.Element:
    """Return the outermost element of a picture on a white background; lengths are in points."""
    sheet = element(
        "svg",
        {"width": f"{width:.1f}pt", "height": f"{height:.1f}pt", "viewBox": f"0 0 {width:.1f} {height:.1f}"},
    )
    _say_once(sheet, label)
    element("rect", {"width": "100%", "height": "100%", "fill": "white"}, sheet)
    return sheet


def embeddable(document: str, label: str, tips: Tips) -> str:
    """Return a matplotlib drawing rewritten so that it shares no style and no id with the rest of a page.

    Args:
        document: SVG document that matplotlib wrote.
        label: Short description of the drawing for those who cannot see it.
        tips: Words for its shapes; see `Tips`.
    """
    sheet = ElementTree.fromstring(document)
    _say_once(sheet, label)
    for parent in sheet.iter():
        for child in list(parent):
            # The style sheet would apply to the whole page; its styles are on the root now.
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
    """Put the label, and the styles that all texts and lines share, on the root."""
    font = ", ".join(f"'{name}'" for name in FONTS)
    style = f"stroke-linejoin:round;stroke-linecap:butt;font-family:{font},sans-serif"
    sheet.attrib |= {"role": "img", "aria-label": _FORBIDDEN.sub("?", label), "style": style}


def _shapes(group: ElementTree.Element) -> list[ElementTree.Element]:
    shapes = [shape for shape in group.iter() if shape.tag in (f"{{{_SVG}}}use", f"{{{_SVG}}}path")]
    return [shape for shape in shapes if "id" not in shape.attrib]  # shapes with an id are definitions


def _own_ids(sheet: ElementTree.Element, prefix: str) -> None:
    """Rename ids that are referred to, so that no other picture has them; other ids become classes."""
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
