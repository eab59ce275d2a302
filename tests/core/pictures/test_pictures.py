"""Pictures are read back as XML and compared with what they are to show, never with other pictures."""

import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from memnas_core.memory.lifetimes import LifetimeTable, lifetimes
from memnas_core.pictures import architecture_svg, history_svg, lifetime_svg
from memnas_core.pictures.lifetimes import _heights
from memnas_core.records.trainings import EpochFigures
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.moves import apply, edge_cuts, growths, seed_architecture, trims
from memnas_core.space.operations import OPERATIONS

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"

# Figure 3 of the paper: r7 and r10 leave the block. The profile of the last row is 1 3 2 4 2.
FIGURE_3 = {
    "c1_a": (("r1",), ("r2",)),
    "c1_b": (("r1",), ("r3",)),
    "c1": (("r2", "r3"), ("r4",)),
    "c2_a": (("r4",), ("r6",)),
    "c2_b": (("r1",), ("r5",)),
    "c2": (("r6", "r5"), ("r7",)),
    "c3_a": (("r4",), ("r8",)),
    "c3_b": (("r4",), ("r9",)),
    "c3": (("r8", "r9"), ("r10",)),
}


def figure_3() -> LifetimeTable:
    return lifetimes(FIGURE_3, {f"r{number}": 1 for number in range(1, 11)}, "paper")


def random_table(tensors: int) -> LifetimeTable:
    """A chain with skips: each layer reads the tensor before and now and then an older one."""
    rng = random.Random(tensors)
    names = [f"features.{number // 3}.conv.{number % 3}" for number in range(tensors)]
    layers = {
        f"layer{number}": (
            tuple({names[number - 1], rng.choice(names[max(0, number - 9) : number])}),
            (names[number],),
        )
        for number in range(1, tensors)
    }
    return lifetimes(layers, {name: rng.choice((256, 4096, 65536)) for name in names}, "sequential")


def random_architectures(count: int, steps: int = 6) -> list[Architecture]:
    rng = random.Random(7)
    found: list[Architecture] = []
    while len(found) < count:
        architecture = seed_architecture((1, 2, 1, 2, 1), 16)
        for number in range(steps):
            moves = [*trims(architecture), *edge_cuts(architecture)] if number % 2 else list(growths(architecture))
            changed = (apply(architecture, rng.choice(moves)) for _ in range(100))
            architecture = next(network for network in changed if network is not None)
            found.append(architecture)
    return found[:count]


def read(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def words(picture: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]


def group(picture: ElementTree.Element, name: str) -> ElementTree.Element:
    (found,) = (found for found in picture.iter(f"{SVG}g") if found.get("class") == name)
    return found


def circles(picture: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    found = group(picture, name).iter(f"{SVG}circle")
    return [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in found]


def placed(picture: ElementTree.Element, beginning: str) -> list[tuple[ElementTree.Element, ElementTree.Element]]:
    """Return the texts that begin so, from top to bottom, each with the group that says how it looks."""
    texts = [(text, look) for look in picture.iter(f"{SVG}g") for text in look.findall(f"{SVG}text")]
    found = [(text, look) for text, look in texts if (text.text or "").startswith(beginning)]
    return sorted(found, key=lambda pair: float(pair[0].attrib["y"]))


# Places are written in tenths of a point, so that a place that follows from two others is uncertain by three.
TENTHS = 0.3


# ---- lifetimes

HEIGHTS = [
    (1.28, False, [0, 0.4, 0.8, 1.2]),
    (1.28, True, [0, 1]),  # of one byte there is no half
    (5.12, True, [0, 2, 4]),
    (12.8, False, [0, 4, 8, 12]),
    (262.5, False, [0, 100, 200]),
    (1278.7, True, [0, 400, 800, 1200]),
]


@pytest.mark.parametrize("tensors", [2, 10, 40, 150])
def test_every_tensor_is_named_and_has_a_generation(tensors: int) -> None:
    table = random_table(tensors)
    picture = read(lifetime_svg(table, "title"))
    named = [(text.text or "").split("  ")[0] for text, _ in placed(picture, "features")]
    assert named == [row.tensor for row in table.rows]
    assert len(circles(picture, "generated")) == tensors
    ends = [row for row in table.rows if row.last < len(table.profile)]
    deleted = circles(picture, "deleted") if ends else []
    assert len(deleted) == len(ends)


def test_circles_stand_at_birth_and_deletion() -> None:
    table = random_table(40)
    picture = read(lifetime_svg(table, "title"))
    generated, deleted = circles(picture, "generated"), circles(picture, "deleted")
    x_of = {row.born: x for row, (x, _) in zip(table.rows, generated, strict=True)}
    step = (x_of[30] - x_of[1]) / 29
    for row, (x, _) in zip(table.rows, generated, strict=True):
        assert x == pytest.approx(x_of[1] + step * (row.born - 1), abs=TENTHS)
    ends = [(place, row) for place, row in enumerate(table.rows) if row.last < len(table.profile)]
    for (place, row), (x, y) in zip(ends, deleted, strict=True):
        assert x == pytest.approx(x_of[1] + step * row.last, abs=TENTHS)  # gone when the next step begins
        assert y == generated[place][1]


def test_what_is_in_memory_at_the_peak_is_coloured() -> None:
    # Figure 3: the peak, 4, is at step 4, where r5 (kept since step 2), r6, r8 and r9 are in memory.
    picture = read(lifetime_svg(figure_3(), "Figure 3"))
    rows = list(group(picture, "bars").iter(f"{SVG}polyline"))
    colors = Counter(bar.attrib["stroke"] for bar in rows)
    assert sorted(colors.values()) == [4, 6]
    peak_color = min(colors, key=lambda color: colors[color])
    marked = [bar.find(f"{SVG}title") for bar in rows if bar.attrib["stroke"] == peak_color]
    assert [(title.text or "").split(":")[0] for title in marked if title is not None] == [
        "r5",
        "r6",
        "r8",
        "r9",
    ]


@pytest.mark.parametrize("table", [figure_3(), random_table(10), random_table(150)], ids=["figure3", "10", "150"])
def test_the_peak_is_written_out(table: LifetimeTable) -> None:
    (text,) = (text for text in words(read(lifetime_svg(table, "title"))) if text.startswith("peak"))
    step = table.profile.index(max(table.profile)) + 1
    assert re.fullmatch(rf"peak {table.peak:,} bytes( \(.* kB\))? at step {step}", text)


def test_the_row_of_memory_is_figure_3s() -> None:
    assert figure_3().profile == (1, 3, 2, 4, 2)
    texts = words(read(lifetime_svg(figure_3(), "Figure 3")))
    assert [text for text in texts if text.isdigit()][-5:] == ["1", "3", "2", "4", "2"]


@pytest.mark.parametrize("tensors", [10, 150, 500])
def test_names_neither_overlap_nor_leave_the_picture(tensors: int) -> None:
    picture = read(lifetime_svg(random_table(tensors), "title"))
    labels = placed(picture, "features")
    assert len(labels) >= min(tensors, 100)
    size = float(labels[0][1].attrib["font-size"])
    assert size > 5.5
    for (above, _), (below, _) in pairwise(labels):
        assert float(below.attrib["y"]) - float(above.attrib["y"]) > 0.95 * size
    for label, look in labels:
        assert look.attrib["text-anchor"] == "end"
        assert float(look.attrib["font-size"]) == size
        assert float(label.attrib["x"]) - 0.62 * size * len(label.text or "") > 0


@pytest.mark.parametrize("tensors", [10, 40, 150])
def test_the_memory_of_every_step_is_drawn_to_scale(tensors: int) -> None:
    table = random_table(tensors)
    picture = read(lifetime_svg(table, "title"))
    (area,) = group(picture, "memory").iter(f"{SVG}polygon")
    points = [tuple(map(float, point.split(","))) for point in area.attrib["points"].split()]
    ground, stairs = points[0][1], points[1:-1]
    assert points[-1][1] == ground
    # A step is two points of one height: where it begins and where it ends.
    heights = [ground - y for _, y in stairs]
    assert heights[::2] == heights[1::2]
    scale = max(heights) / table.peak
    assert heights[::2] == pytest.approx([scale * used for used in table.profile], abs=TENTHS)
    assert [x for x, _ in stairs[1:-1:2]] == [x for x, _ in stairs[2::2]]
    # The line of the peak is where the steps are highest.
    (line,) = group(picture, "peak").iter(f"{SVG}polyline")
    assert {point.split(",")[1] for point in line.attrib["points"].split()} == {f"{ground - max(heights):.1f}"}


@pytest.mark.parametrize(("top", "is_whole", "heights"), HEIGHTS)
def test_heights_are_round_and_few(top: float, is_whole: bool, heights: list[float]) -> None:
    assert _heights(top, is_whole) == pytest.approx(heights)


def test_a_hostile_title_is_shown_as_it_is() -> None:
    hostile = "a<script>\"&' $x_1$ \x00\x1b 图"
    picture = read(lifetime_svg(figure_3(), hostile))
    assert "a<script>\"&' $x_1$ ?? ?" in words(picture)
    assert not list(picture.iter(f"{SVG}script"))


# ---- architectures

SHORT = {
    ops.CONV_3X3: "conv 3×3",
    ops.DEPTHWISE_3X3: "dw 3×3",
    ops.DEPTHWISE_5X5: "dw 5×5",
    ops.FACTORIZED_7X7: "1×7, 7×1",
    ops.AVERAGE_POOL_3X3: "avg 3×3",
    ops.MAX_POOL_3X3: "max 3×3",
    ops.DILATED_3X3: "dil 3×3",
    ops.IDENTITY: "identity",
}


@pytest.mark.parametrize("architecture", random_architectures(20), ids=lambda architecture: architecture.arch_id)
def test_every_cell_layer_and_output_is_there(architecture: Architecture) -> None:
    picture = read(architecture_svg(architecture))
    blocks = architecture.blocks
    # The walk's strides alternate, so no two neighbours are equal and each block is drawn.
    cells = [cell for block in blocks for cell in block.cells]
    titles = [title.text or "" for title in group(picture, "cells").iter(f"{SVG}title")]
    places = [(b, c) for b, block in enumerate(blocks, 1) for c in range(1, len(block.cells) + 1)]
    assert [title.split(":")[0] for title in titles] == [f"Block {b}, cell {c}" for b, c in places]
    for title, cell in zip(titles, cells, strict=True):
        assert [word for word in title.split() if word in set(OPERATIONS)] == [b.operation for b in cell.branches]
        assert title.endswith("not in the block's output") is not cell.included

    texts = Counter(words(picture))
    operations = Counter(branch.operation for cell in cells for branch in cell.branches)
    for operation, short in SHORT.items():
        key = operation in operations and operation in (ops.CONV_3X3, ops.IDENTITY)
        assert texts[short] == operations[operation] + key  # in the key both are called as in the cells
    assert texts["in"] == len(blocks) + sum(b.input == 0 for cell in cells for b in cell.branches)
    joined = Counter(cell.combiner for cell in cells if len(cell.branches) == 2)
    assert texts["+"] == joined[Combiner.SUM] + (joined[Combiner.SUM] > 0)
    assert texts["cat"] == joined[Combiner.CONCAT] + (joined[Combiner.CONCAT] > 0)
    outputs = list(group(picture, "outputs").iter(f"{SVG}polyline"))
    assert len(outputs) == sum(cell.included for cell in cells) + 1  # and one in the key


def test_what_trimming_changed_is_visible() -> None:
    conv, pool = Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3)
    full = (
        Cell(conv, pool, Combiner.SUM, included=True),
        Cell(Branch(0, ops.DILATED_3X3), Branch(1, ops.CONV_3X3), Combiner.CONCAT, included=True),
    )
    identity = (Cell(Branch(0, ops.IDENTITY), pool, Combiner.SUM, included=True), full[1])
    cut = (Cell(pool, None, Combiner.SUM, included=True), full[1])
    dropped = (full[0]._replace(included=False), full[1])
    blocks = [Block(cells, 1) for cells in (full, identity, cut, full[:1], dropped)]
    picture = read(architecture_svg(Architecture(tuple(blocks), 16)))
    texts = Counter(words(picture))
    assert texts["trimmed"] == 4
    assert texts["cut away"] == 1
    assert texts["stride 1, 1 of 2 cells"] == 1
    frames = [frame.attrib["stroke"] for frame in group(picture, "frames")]
    assert len(set(frames[1:])) == 1
    assert frames[0] != frames[1]
    assert (texts["concat c1–c2"], texts["output c1"], texts["output c2"]) == (3, 1, 1)


def test_blocks_with_their_own_filters_say_so() -> None:
    root = seed_architecture((1, 1, 1, 1), 16)
    one, two, three, four = root.blocks
    blocks = one, replace(two, filters=24), replace(three, filters=24), replace(four, filters=8)
    picture = read(architecture_svg(Architecture(blocks, 16)))
    texts = words(picture)
    assert [text for text in texts if text.startswith("stride")] == [
        "stride 1",
        "stride 1, 24 filters",
        "stride 1, 8 filters",
    ]
    assert [text for text in texts if re.match(r"Blocks? \d", text)] == ["Block 1", "Blocks 2 to 3", "Block 4"]
    assert "trimmed" not in texts


def test_equal_neighbours_are_drawn_once() -> None:
    texts = words(read(architecture_svg(seed_architecture((1, 1, 1, 2, 1, 1), 256))))
    titles = [text for text in texts if re.match(r"Blocks? \d", text)]
    assert titles == ["Blocks 1 to 3", "Block 4", "Blocks 5 to 6"]
    assert [text for text in texts if text.startswith("×")] == ["×3", "×2"]


def test_cells_in_another_order_are_not_trimmed() -> None:
    one = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.CONV_3X3), Combiner.SUM, included=True)
    other = Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.SUM, included=True)
    architecture = Architecture((Block((one, other), 1), Block((other, one), 1)), 16)
    assert "trimmed" not in words(read(architecture_svg(architecture)))


@pytest.mark.parametrize("architecture", random_architectures(6), ids=lambda architecture: architecture.arch_id)
def test_shapes_and_words_stay_inside(architecture: Architecture) -> None:
    picture = read(architecture_svg(architecture))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    boxes = [box for box in picture.iter(f"{SVG}rect") if box.attrib["width"] != "100%"]
    for box in boxes:
        assert 0 < float(box.attrib["x"]) < float(box.attrib["x"]) + float(box.attrib["width"]) < width
        assert 0 < float(box.attrib["y"]) < float(box.attrib["y"]) + float(box.attrib["height"]) < height
    for block in picture.iter(f"{SVG}g"):
        for text in block.findall(f"{SVG}text"):
            length = 0.62 * float(block.attrib["font-size"]) * len(text.text or "")
            shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[block.attrib["text-anchor"]]
            left = float(text.attrib["x"]) - shift * length
            assert left > 0
            assert left + length < width + 1


# ---- all pictures


def pictures() -> list[str]:
    history = tuple(EpochFigures(n, 1 / n, 0.5, 0.6, 0.1, 1.0) for n in range(1, 6))
    drawn = [architecture_svg(architecture) for architecture in random_architectures(3)]
    return [
        *drawn,
        lifetime_svg(random_table(12), "a"),
        lifetime_svg(random_table(30), "b"),
        history_svg(history),
    ]


def test_pictures_share_nothing_when_they_stand_in_one_page() -> None:
    ids: list[str] = []
    for svg in pictures():
        picture = read(svg)
        own = [node.attrib["id"] for node in picture.iter() if "id" in node.attrib]
        links = {node.attrib[LINK].removeprefix("#") for node in picture.iter() if LINK in node.attrib}
        links |= set(re.findall(r"url\(#([^)]*)\)", svg))
        assert links == set(own)
        ids += own
        assert not list(picture.iter(f"{SVG}style"))
        assert "http" not in re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    assert len(ids) == len(set(ids))
    assert ids


def test_the_history_shows_every_epoch() -> None:
    history = tuple(EpochFigures(n, 1 / n, 0.5, 0.6, 0.1, 1.0) for n in range(1, 6))
    svg = history_svg(history)
    assert svg.count("<use ") >= 3 * len(history)  # three lines with a dot at each epoch, and ticks
    assert {"training", "validation"} <= set(words(read(svg)))


def test_threads_draw_the_same_and_settings_stay() -> None:
    before = dict(mpl.rcParams)
    tables = [random_table(tensors) for tensors in (5, 8, 11, 14)]
    alone = [lifetime_svg(table, "title") for table in tables]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda table: lifetime_svg(table, "title"), tables))
    assert together == alone
    assert dict(mpl.rcParams) == before
