"""The picture of an architecture: its blocks side by side, each with its cells from top to bottom.

Source: Figure 1(b). On the left of a block there is a line for each tensor that its cells read, the block's input
first; a dot marks where a layer reads it. A cell's two layers meet in its combiner. Cells that are part of the
block's output are joined to the line on the right.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memnas_core.pictures.ink import Ink, Kind
from memnas_core.pictures.look import (
    ACCENT,
    FAINT,
    INK,
    PALE,
    SMALL_SIZE,
    SOFT,
    TEXT_SIZE,
    TINY_SIZE,
    TITLE_SIZE,
)
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Cell, Combiner, canonical
from memnas_core.space.operations import OPERATIONS, Operation

JOIN_LABELS = {Combiner.SUM: "+", Combiner.CONCAT: "cat"}

# All lengths in inches.
COLUMNS = 5
EDGE = 0.15
HEAD = 0.62
COLUMN_GAP, ROW_GAP = 0.22, 0.3
BLOCK_HEAD, BLOCK_FOOT, BLOCK_PAD = 0.58, 0.42, 0.24
LANE, LANE_LEFT, LANE_RIGHT = 0.085, 0.16, 0.12
TAG, LAYER_WIDTH, LAYER_HEIGHT, LAYER_GAP = 0.22, 0.92, 0.225, 0.06
JOIN_WIDTH, JOIN_HEIGHT, JOIN_GAP = 0.3, 0.2, 0.1
CARD_PAD, CELL_GAP = 0.06, 0.17
CARD_WIDTH = 2 * CARD_PAD + LAYER_WIDTH + JOIN_GAP + JOIN_WIDTH
CARD_HEIGHT = 2 * CARD_PAD + 2 * LAYER_HEIGHT + LAYER_GAP
KEY_ROW, LETTER = 0.24, 0.064


@dataclass(frozen=True, slots=True)
class _Group:
    """Equal blocks in a row, drawn once.

    Attributes:
        first: Number of the first block.
        count: Number of blocks.
        block: The block that they all equal.
        is_trimmed: Whether trimming has visibly changed the blocks.
        full_cells: Number of cells in the fullest block of the architecture.
    """

    first: int
    count: int
    block: Block
    is_trimmed: bool
    full_cells: int

    @property
    def title(self) -> str:
        if self.count == 1:
            return f"Block {self.first}"
        return f"Blocks {self.first} to {self.first + self.count - 1}"

    @property
    def lanes(self) -> dict[int, int]:
        """Tensor number -> its lane, for every tensor that is read; the block's input is leftmost."""
        read = sorted({branch.input for cell in self.block.cells for branch in cell.branches})
        return {tensor: lane for lane, tensor in enumerate(read)}

    @property
    def height(self) -> float:
        return BLOCK_HEAD + len(self.block.cells) * (CARD_HEIGHT + CELL_GAP) + BLOCK_FOOT


def architecture_svg(architecture: Architecture) -> str:
    """Return the picture of an architecture as SVG.

    Neighbouring blocks that are equal are drawn once. A block counts as trimmed, and its frame is coloured,
    if it differs from the fullest block or has an identity or a cell with one layer.
    """
    groups = list(_groups(architecture))
    rows = [groups[start : start + COLUMNS] for start in range(0, len(groups), COLUMNS)]
    lanes_width = LANE_LEFT + LANE * (max(len(group.lanes) for group in groups) - 1) + LANE_RIGHT
    block_width = lanes_width + CARD_WIDTH + BLOCK_PAD
    columns = max(len(rows[0]), 2)  # the title needs room
    width = 2 * EDGE + columns * block_width + (columns - 1) * COLUMN_GAP

    ink = Ink()
    _write_title(ink, architecture)
    top = HEAD
    for row in rows:
        for column, group in enumerate(row):
            left = EDGE + column * (block_width + COLUMN_GAP)
            _add_block(ink, group, left, top, block_width)
            if column < len(row) - 1:
                ink.write(left + block_width + COLUMN_GAP / 2, top + 0.17, "→", 12, SOFT, "center")
        top += max(group.height for group in row) + ROW_GAP
    bottom = _add_key(ink, architecture, top - 0.04, width)
    cells = sum(len(block.cells) for block in architecture.blocks)
    label = f"architecture {architecture.arch_id}: {len(architecture.blocks)} blocks, {cells} cells"
    return ink.svg(width, bottom + 0.12, label)


def _groups(architecture: Architecture) -> Iterator[_Group]:
    blocks = architecture.blocks
    shapes = [block.cells for block in canonical(architecture).blocks]
    fullest = max(shapes, key=_fullness)
    first = 0
    for number, block in enumerate(blocks, start=1):
        if number < len(blocks) and blocks[number] == block:
            continue
        is_trimmed = shapes[number - 1] != fullest or any(
            len(cell.branches) < 2 or any(branch.operation is ops.IDENTITY for branch in cell.branches)
            for cell in block.cells
        )
        yield _Group(first + 1, number - first, block, is_trimmed, len(fullest))
        first = number


def _fullness(cells: Sequence[Cell]) -> tuple[int, int, int]:
    branches = [branch for cell in cells for branch in cell.branches]
    growable = sum(branch.operation is not ops.IDENTITY for branch in branches)
    return len(branches), growable, sum(cell.included for cell in cells)


def _write_title(ink: Ink, architecture: Architecture) -> None:
    ink.write(EDGE, 0.22, f"Architecture {architecture.arch_id}", TITLE_SIZE, weight="bold")
    count = len(architecture.blocks)
    blocks = f"{count} {'block' if count == 1 else 'blocks'} with F = {architecture.filters}"
    stem = "stem conv 3×3" + (f" stride {architecture.stem_stride}" if architecture.stem_stride > 1 else "")
    ink.write(EDGE, 0.44, f"image → {stem} → {blocks} → global average pool → linear", color=SOFT)


def _add_block(ink: Ink, group: _Group, left: float, top: float, width: float) -> None:
    block, lanes = group.block, group.lanes
    ink.box(Kind.FRAMES, left, top, width, group.height, edge=ACCENT if group.is_trimmed else FAINT, radius=0.08)
    _write_head(ink, group, left, top, width)
    card_left = left + width - BLOCK_PAD - CARD_WIDTH
    lane_x = {tensor: left + LANE_LEFT + lane * LANE for tensor, lane in lanes.items()}
    output_x = left + width - BLOCK_PAD / 2
    output_y = top + group.height - BLOCK_FOOT + 0.04
    starts = {0: top + BLOCK_HEAD - 0.1}
    ends: dict[int, float] = {}
    for number, cell in enumerate(block.cells, start=1):
        card_top = top + BLOCK_HEAD + (number - 1) * (CARD_HEIGHT + CELL_GAP)
        tip = f"{group.title}, cell {number}: {_words(cell)}"
        ink.box(Kind.CELLS, card_left, card_top, CARD_WIDTH, CARD_HEIGHT, PALE, radius=0.06, tip=tip)
        ends |= _add_cell(ink, cell, number, card_left, card_top, lane_x)
        join_x = card_left + CARD_WIDTH - CARD_PAD - JOIN_WIDTH / 2
        join_y = card_top + CARD_HEIGHT / 2
        if number in lanes:
            starts[number] = card_top + CARD_HEIGHT + CELL_GAP * 0.55
            below = starts[number]
            ink.line(Kind.WIRES, (join_x, join_y), (join_x, below), (lane_x[number], below))
        if cell.included:
            ink.line(Kind.OUTPUTS, (join_x, join_y), (output_x, join_y), (output_x, output_y))
            ink.dot(output_x, join_y)
    for tensor, x in lane_x.items():
        ink.line(Kind.WIRES, (x, starts[tensor]), (x, ends[tensor]))
    ink.write(lane_x[0] + 0.05, starts[0] + 0.02, "in", TINY_SIZE, SOFT)

    included = [number for number, cell in enumerate(block.cells, start=1) if cell.included]
    text = f"concat {_spans(included)}" if len(included) > 1 else f"output c{included[0]}"
    right = output_x + 0.06
    ink.box(Kind.JOINS, card_left, output_y, right - card_left, 0.22, INK, INK)
    ink.write((card_left + right) / 2, output_y + 0.11, text, color="white", align="center")


def _write_head(ink: Ink, group: _Group, left: float, top: float, width: float) -> None:
    ink.write(left + 0.1, top + 0.17, group.title, TEXT_SIZE, weight="bold")
    cells = len(group.block.cells)
    own = "" if group.block.filters is None else f", {group.block.filters} filters"
    missing = f", {cells} of {group.full_cells} cells" if cells < group.full_cells else ""
    ink.write(left + 0.1, top + 0.35, f"stride {group.block.stride}{own}{missing}", TINY_SIZE, SOFT)
    words = ([f"×{group.count}"] if group.count > 1 else []) + (["trimmed"] if group.is_trimmed else [])
    color = ACCENT if group.is_trimmed else INK
    ink.write(left + width - 0.1, top + 0.17, " ".join(words), SMALL_SIZE, color, "right", "bold")


def _add_cell(
    ink: Ink, cell: Cell, number: int, left: float, top: float, lane_x: Mapping[int, float]
) -> dict[int, float]:
    """Draw a cell's card; return the height at which its lowest layer reads each tensor (tensor number -> y)."""
    layer_left, layer_right = left + CARD_PAD, left + CARD_PAD + LAYER_WIDTH
    join_left = left + CARD_WIDTH - CARD_PAD - JOIN_WIDTH
    join_x, middle = join_left + JOIN_WIDTH / 2, top + CARD_HEIGHT / 2
    ink.write(join_x, top + CARD_PAD + 0.06, f"c{number}", TINY_SIZE, align="center", weight="bold")
    reads: dict[int, float] = {}
    for row, branch in enumerate((cell.first, cell.second)):
        layer_top = top + CARD_PAD + row * (LAYER_HEIGHT + LAYER_GAP)
        y = layer_top + LAYER_HEIGHT / 2
        if branch is None:
            ink.box(Kind.CUT, layer_left, layer_top, LAYER_WIDTH, LAYER_HEIGHT, "none")
            ink.write(layer_left + LAYER_WIDTH / 2, y, "cut away", TINY_SIZE, SOFT, "center")
            continue
        label = branch.operation.label
        ink.box(Kind.LAYERS, layer_left, layer_top, LAYER_WIDTH, LAYER_HEIGHT, label.colour)
        ink.write(layer_left + 0.05, y, _tensor(branch.input), TINY_SIZE, SOFT)
        ink.write(layer_left + TAG, y, label.short)
        ink.line(Kind.WIRES, (lane_x[branch.input], y), (layer_left, y))
        bend = layer_right + JOIN_GAP / 2
        ink.line(Kind.WIRES, (layer_right, y), (bend, y), (bend, middle), (join_x, middle))
        ink.dot(lane_x[branch.input], y)
        reads[branch.input] = y
    if len(cell.branches) == 2:
        ink.box(Kind.JOINS, join_left, middle - JOIN_HEIGHT / 2, JOIN_WIDTH, JOIN_HEIGHT, edge=INK, radius=0.09)
        ink.write(join_x, middle, JOIN_LABELS[cell.combiner], align="center")
    return reads


def _tensor(number: int) -> str:
    return f"c{number}" if number else "in"


def _spans(numbers: Sequence[int]) -> str:
    """Return cell numbers in short form, such as `c1–c4 c6`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return " ".join(f"c{span[0]}" if len(span) == 1 else f"c{span[0]}–c{span[-1]}" for span in spans)


def _words(cell: Cell) -> str:
    layers = " and ".join(f"{branch.operation} of {_tensor(branch.input)}" for branch in cell.branches)
    joined = f"{cell.combiner} of {layers}" if len(cell.branches) == 2 else layers
    return f"{joined}; {'in' if cell.included else 'not in'} the block's output"


def _add_key(ink: Ink, architecture: Architecture, top: float, width: float) -> float:
    """Draw the key of colours and signs and return its lower end."""
    cells = [cell for block in architecture.blocks for cell in block.cells]
    operations = {branch.operation for cell in cells for branch in cell.branches}
    combiners = {cell.combiner for cell in cells if len(cell.branches) == 2}
    x, y = EDGE, top
    entries = [(operation.label.words, operation) for operation in OPERATIONS if operation in operations]
    signs = [("sum of both", Combiner.SUM), ("concatenation of both", Combiner.CONCAT)]
    words = [(text, combiner) for text, combiner in signs if combiner in combiners]
    for text, sign in (*entries, *words, ("in the block's output", None)):
        length = 0.4 + LETTER * len(text)
        if x + length > width and x > EDGE:
            x, y = EDGE, y + KEY_ROW
        if isinstance(sign, Operation):
            ink.box(Kind.LAYERS, x, y - 0.065, 0.2, 0.13, sign.label.colour, radius=0.03)
        elif isinstance(sign, Combiner):
            ink.box(Kind.JOINS, x - 0.03, y - 0.085, 0.26, 0.17, edge=INK, radius=0.08)
            ink.write(x + 0.1, y, JOIN_LABELS[sign], TINY_SIZE, align="center")
        else:
            ink.line(Kind.OUTPUTS, (x, y), (x + 0.2, y))
            ink.dot(x + 0.2, y)
        ink.write(x + 0.27, y, text)
        x += length
    return y + KEY_ROW / 2
