"""The arena plot is read back as XML and compared with the plan."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from memnas_core.memory.arena import ArenaPlan, plan_shared
from memnas_core.memory.sharing import unshared, with_direct_concats, with_in_place
from memnas_core.pictures import arena_svg

SVG = "{http://www.w3.org/2000/svg}"


def plan(in_place: bool = True) -> ArenaPlan:
    """Return the arena of two branches, one with an activation, that are concatenated."""
    layers = {
        "left": (("x",), ("a",)),
        "relu": (("a",), ("r",)),
        "right": (("x",), ("b",)),
        "concat": (("r", "b"), ("c",)),
        "pool": (("c",), ("y",)),
    }
    graph = unshared(layers, {"x": 5000, "a": 2000, "r": 2000, "b": 3000, "c": 5000, "y": 100})
    if in_place:
        graph = with_direct_concats(with_in_place(graph, ("relu",)), ("concat",))
    return plan_shared(graph)


def groups(svg: str) -> dict[str, ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return {name: group for group in found if (name := group.get("class"))}


def rectangles(group: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Return left, right, top and bottom of each shape, in points."""
    found = []
    for path in group.iter(f"{SVG}path"):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d", ""))]
        found.append((min(numbers[::2]), max(numbers[::2]), min(numbers[1::2]), max(numbers[1::2])))
    return found


@pytest.mark.parametrize("in_place", [False, True])
def test_rectangles_stand_where_tensors_lie(in_place: bool) -> None:
    arena = plan(in_place)
    shapes = rectangles(groups(arena_svg(arena, "title"))["tensors"])
    # Until when each is seen: r is drawn over a, c over r and b.
    ends = {"x": 4, "a": 2 if in_place else 3, "r": 4 if in_place else 5, "b": 4 if in_place else 5, "c": 6, "y": 6}
    ground = max(bottom for _, _, _, bottom in shapes)
    left = min(left for left, _, _, _ in shapes)
    step = (max(right for _, right, _, _ in shapes) - left) / 5
    scale = max(ground - top for _, _, top, _ in shapes) / arena.bytes
    for placement, shape in zip(arena.placements, shapes, strict=True):
        expected = (
            left + step * (placement.born - 1),
            left + step * (ends[placement.tensor] - 1),
            ground - scale * (placement.offset + placement.bytes),
            ground - scale * placement.offset,
        )
        assert shape == pytest.approx(expected, abs=0.01), placement.tensor


def test_shared_memory_is_framed_and_the_peak_coloured() -> None:
    arena = plan()
    found = groups(arena_svg(arena, "title"))
    ((left, right, top, bottom),) = rectangles(found["shared"])
    tensors = dict(zip([p.tensor for p in arena.placements], rectangles(found["tensors"]), strict=True))
    assert (left, right) == pytest.approx((tensors["a"][0], tensors["c"][1]), abs=0.01)
    assert (top, bottom) == pytest.approx(tensors["c"][2:], abs=0.01)
    # 10,000 bytes are there from step 1 on: x, and the memory in which a lies.
    colors = [re.findall(r"fill: (#\w+)", path.get("style", ""))[0] for path in found["tensors"].iter(f"{SVG}path")]
    coloured = [p.tensor for p, color in zip(arena.placements, colors, strict=True) if color == "#fdeadd"]
    assert coloured == ["x", "a"]


def test_tips_and_names() -> None:
    arena = plan()
    svg = arena_svg(arena, "title")
    tips = [title.text for title in groups(svg)["tensors"].iter(f"{SVG}title")]
    assert len(tips) == len(arena.placements)
    at = arena.offsets["b"]
    assert f"b: 3,000 bytes from {at:,}, in the memory of c, in steps 3 to 4" in tips
    words = ["".join(text.itertext()).split() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert ["x", "5.0", "kB"] in words
    assert all(words_of[:1] != ["y"] for words_of in words), "100 bytes leave no room for a name"


def test_the_arena_and_its_bound_are_written_out() -> None:
    arena = plan()
    svg = arena_svg(arena, "title")
    assert "arena 10,000 bytes (10.0 kB), the least for this order" in svg
    assert "bound" not in groups(svg)
    svg = arena_svg(replace(arena, lower_bound=9000), "title")
    assert "arena 10,000 bytes (10.0 kB); none for this order is below 9,000 (dotted)" in svg
    assert "bound" in groups(svg)


def test_any_name_can_be_drawn() -> None:
    graph = unshared({"a": (("<x> & $y$\x01",), ("t" * 99,))}, {"<x> & $y$\x01": 3, "t" * 99: 4})
    svg = arena_svg(plan_shared(graph), 'a "title" <&>')
    words = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert 'a "title" <&>' in words
    assert any(text.startswith("<x> & $y$?") for text in words)
