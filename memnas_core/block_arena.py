"""The arena of a network from the arenas of its parts, so that thousands of candidates a round have their figure.

A network is a chain of parts (stem, blocks, classifier). They run one after another, and one tensor alone is in memory
between two of them. A part is laid out by itself under one condition: the tensor that comes in and the one that goes
out lie at an end of the part's memory, the lowest or the highest bytes of it. Then the arena of the network is the
largest arena of a part, because layouts that meet the condition fit together:

1. Turned upside down (offset -> height - size - offset) a layout remains one, and meets the condition.
2. In an arena that is higher than the layout, what lies at the highest end may move up to the arena's end: nothing is
   above it in its time, so it meets nothing.
3. So go through the network from the image on. The tensor that comes into a part is at an end of the arena, where the
   part before has put it. If it lies at the other end of the part's layout, turn the layout upside down. Then move
   what goes out to the arena's end if it lies at the highest end of the layout. The next part finds it at an end.

Sharing crosses no joint in a way that breaks this: a tensor that overwrites another has its size, and thereby lies at
the same end.

No arena of the network is smaller than what is in memory in some step of some part. Where the largest part's arena is
its lower bound, the figure is therefore exact. Otherwise a planner of the whole network may do with less, where what
goes out of a part has to lie in the middle. Every offset is a sum of rounded sizes or the arena's end less one, and so
is aligned.

A block's layout does not depend on its resolution: all its tensors grow with the pixels of its output. It is found
for one pixel and cached, as long as the bytes of so many pixels of every tensor are a multiple of the alignment.

Source: our own; `memnas_core.placement` finds the layouts, `memnas_core.runtime_arena` says what a layer becomes at run
time, and plans the same arena for a whole network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from memnas_core.architecture import Block, Cell
from memnas_core.graph import IMAGE, Layer, Shape, lower_block
from memnas_core.placement import Buffer, place, used_bytes
from memnas_core.runtime_arena import EXECUTORCH_PLANNED, INDEX_BYTES, operators

ARENA = replace(EXECUTORCH_PLANNED, separate_relu=False)
"""The runtime behind the convention `arena`: ExecuTorch with the plan that `memnas export` writes, layers in the order
of `minimum`. A ReLU that overwrites takes no memory beyond its convolution's, so that both are one operator here."""


class PartArena(NamedTuple):
    """The arena of a part or of a network.

    Attributes:
        bytes: Its size; such an arena exists.
        lower_bound: No arena is smaller for the same order of layers.
    """

    bytes: int
    lower_bound: int


class PlannedBlock(NamedTuple):
    """A block as its arena depends on it.

    Attributes:
        cells: Its cells, or others whose operators make tensors of the same sizes.
        stride: Its stride.
        filters: The paper's F.
        in_channels: Channels of what enters it, a multiple of F.
        order: Its layers in running order, by their places in the lowered block.
    """

    cells: tuple[Cell, ...]
    stride: int
    filters: int
    in_channels: int
    order: tuple[int, ...]


def largest(parts: Iterable[PartArena]) -> PartArena:
    """Return the arena of a chain of parts."""
    sizes, bounds = zip(*parts, strict=True)
    return PartArena(max(sizes), max(bounds))


def block_arena(block: PlannedBlock, output: tuple[int, int], element_bytes: int) -> PartArena:
    """Return the arena of a block.

    Args:
        block: The block.
        output: Height and width of what leaves it.
        element_bytes: Bytes of one activation.
    """
    pixels = output[0] * output[1]
    if not any(block.filters * pixels * width % ARENA.alignment for width in (element_bytes, INDEX_BYTES)):
        one = _block_arena(block, (1, 1), element_bytes, 1)
        return PartArena(one.bytes * pixels, one.lower_bound * pixels)
    return _block_arena(block, output, element_bytes, ARENA.alignment)


@lru_cache(maxsize=1 << 14)
def _block_arena(block: PlannedBlock, output: tuple[int, int], element_bytes: int, alignment: int) -> PartArena:
    shape = Shape(block.in_channels, output[0] * block.stride, output[1] * block.stride)
    layers = lower_block(Block(block.cells, block.stride), block.filters, IMAGE, shape, 0).layers
    return _part_arena([layers[place] for place in block.order], IMAGE, shape, element_bytes, alignment)


@lru_cache
def end_arena(layers: tuple[Layer, ...], source: str, shape: Shape, element_bytes: int) -> PartArena:
    """Return the arena of a network's first part, which reads the image, or of its last, which writes the output.

    Args:
        layers: Its layers, of which each reads what the one before writes.
        source: The tensor that enters it.
        shape: Its shape.
        element_bytes: Bytes of one activation.
    """
    return _part_arena(layers, source, shape, element_bytes, ARENA.alignment)


def _part_arena(layers: Sequence[Layer], source: str, shape: Shape, element_bytes: int, alignment: int) -> PartArena:
    return ended(*_buffers(layers, source, shape, element_bytes, alignment))


class _Memory:
    """Memory that a tensor, and those that overwrite it, take in turn."""

    __slots__ = ("born", "last", "size")

    def __init__(self, size: int, born: int) -> None:
        self.size = size
        self.born = born
        self.last = born


def _buffers(
    layers: Sequence[Layer], source: str, shape: Shape, element_bytes: int, alignment: int
) -> tuple[list[Buffer], tuple[int, int]]:
    """Return the buffers of a part in its running order, and the numbers of those that come in and go out.

    The same as `memnas_core.arena_rules.shared_graph` finds under the rules of `ARENA`, without the names.
    """
    made = [operator for layer in layers for operator in operators(layer, ARENA, element_bytes)]
    until = {name: step for step, operator in enumerate(made, start=1) for name in operator.reads}
    end = max(len(made), 1)
    memory = {source: _Memory(shape.elements * element_bytes, 1)}
    memory[source].last = until.get(source, end)  # what nothing reads lives to the end
    distinct, indices = [memory[source]], []
    for step, (name, reads, output, is_elementwise, index_bytes) in enumerate(made, start=1):
        size = output.elements * element_bytes
        own = None
        if is_elementwise:
            own = next((memory[read] for read in reads if until[read] == step and memory[read].size == size), None)
        if own is None:
            own = _Memory(size, step)
            distinct.append(own)
        own.last = until.get(name, end)
        memory[name] = own
        if index_bytes:
            indices.append(Buffer(-(-index_bytes // alignment) * alignment, step, step))
    buffers = [Buffer(-(-one.size // alignment) * alignment, one.born, one.last) for one in distinct]
    output_name = layers[-1].name if layers else source
    return buffers + indices, (0, distinct.index(memory[output_name]))


def ended(buffers: Sequence[Buffer], ends: tuple[int, int]) -> PartArena:
    """Return a small arena in which two buffers lie at its ends.

    First fit reaches the lower bound in nearly all blocks; the search is there for what it misses.

    Args:
        buffers: What is to be placed.
        ends: Numbers of the buffer that comes in and of the one that goes out, which may be the same.
    """
    used = used_bytes(buffers)
    bound = max(used)
    if _stacks(buffers, used, ends, bound):
        return PartArena(bound, bound)
    return PartArena(min(_searched(buffers, *ends, bound), _apart(buffers, *ends)), bound)


def _stacks(buffers: Sequence[Buffer], used: Sequence[int], ends: tuple[int, int], height: int) -> bool:
    """Return whether first fit stays within a height, with the two buffers at its ends."""
    first, last = ends
    top = height - buffers[last].size
    by_size = sorted(range(len(buffers)), key=lambda i: -buffers[i].size)
    widest = sorted(range(1, len(used) + 1), key=lambda step: -used[step - 1])
    by_breadth = list(dict.fromkeys(i for t in widest for i in by_size if buffers[i].born <= t <= buffers[i].last))
    if _fits(buffers, by_breadth, {last: 0, first: 0}, height):  # most do
        return True
    by_area = sorted(by_size, key=lambda i: -buffers[i].size * (buffers[i].last - buffers[i].born + 1))
    others = ((by_area, top), (by_breadth, top), (by_area, 0))
    return any(_fits(buffers, order, {last: offset, first: 0}, height) for order, offset in others)


def _fits(buffers: Sequence[Buffer], order: Sequence[int], given: Mapping[int, int], height: int) -> bool:
    """Return whether first fit stays within a height, some buffers having their offsets already."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first and last step of what has a place
    for i in (*given, *(i for i in order if i not in given)):
        size, born, until = buffers[i]
        top, fixed = 0, given.get(i)
        for offset, end, theirs, gone in sorted(placed):
            if theirs <= until and born <= gone:
                if fixed is not None and offset < fixed + size and fixed < end:
                    return False
                if offset - top >= size:
                    break
                top = max(top, end)
        if fixed is not None:
            top = fixed
        if top + size > height:
            return False
        placed.append((top, top + size, born, until))
    return True


def _searched(buffers: Sequence[Buffer], first: int, last: int, bound: int) -> int:
    """Return the height of a layout with two buffers at its ends, found by search.

    A ballast that is in memory with the first buffer alone and fills the rest of the height puts that buffer at an
    end, and another one does the same for the last buffer: a layout of this height leaves no gap beside them.
    """
    later = [Buffer(size, born + 1, until + 1) for size, born, until in buffers]
    end = max(buffer.last for buffer in later) + 1
    height = bound
    for _ in range(3):
        loaded = list(later)
        for number, step in ((first, 1), (last, end)):
            size, born, until = loaded[number]
            loaded[number] = Buffer(size, min(born, step), max(until, step))
            loaded.append(Buffer(height - size, step, step))
        found = _height(loaded)
        if found <= height:
            return height
        height = found
    return sum(buffer.size for buffer in buffers)


def _apart(buffers: Sequence[Buffer], first: int, last: int) -> int:
    """Return the height with the two buffers at the ends and all others between them, which always works."""
    ends = {first, last}
    between = [buffer for number, buffer in enumerate(buffers) if number not in ends]
    return _height(between) + sum(buffers[number].size for number in ends)


def _height(buffers: Sequence[Buffer]) -> int:
    offsets = place(buffers)
    return max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
