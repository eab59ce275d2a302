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
for one pixel and cached, as long as the filters of so many pixels are a multiple of the alignment.

Source: our own; `memnas_core.placement` finds the layouts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from memnas_core.architecture import Block, Cell
from memnas_core.arena_rules import ArenaRules, roles_of, shared_graph
from memnas_core.graph import IMAGE, Graph, Shape, lower_block
from memnas_core.placement import Buffer, place, used_bytes
from memnas_core.running_order import best_order


class ArenaModel(NamedTuple):
    """What the convention `arena` plans for.

    Attributes:
        rules: What the runtime does with the memory of activations.
        alignment: Every offset is a multiple of so many bytes.
    """

    rules: ArenaRules
    alignment: int


ARENA = ArenaModel(ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=True), 16)
"""The runtime behind the convention `arena`; layers run in the order of `minimum`."""


class PartArena(NamedTuple):
    """The arena of a part or of a network.

    Attributes:
        bytes: Its size; such an arena exists.
        lower_bound: No arena is smaller for the same order of layers.
    """

    bytes: int
    lower_bound: int


def largest(parts: Iterable[PartArena]) -> PartArena:
    """Return the arena of a chain of parts."""
    sizes, bounds = zip(*parts, strict=True)
    return PartArena(max(sizes), max(bounds))


def block_arena(
    cells: tuple[Cell, ...], stride: int, filters: int, in_channels: int, output: tuple[int, int], element_bytes: int
) -> PartArena:
    """Return the arena of a block.

    Args:
        cells: Its cells.
        stride: Its stride.
        filters: The paper's F.
        in_channels: Channels of what enters it, a multiple of F.
        output: Height and width of what leaves it.
        element_bytes: Bytes of one activation.
    """
    scale = output[0] * output[1] * element_bytes
    if filters * scale % ARENA.alignment == 0:
        one = _block_arena(cells, stride, filters, in_channels, (1, 1), 1, 1)
        return PartArena(one.bytes * scale, one.lower_bound * scale)
    return _block_arena(cells, stride, filters, in_channels, output, element_bytes, ARENA.alignment)


@lru_cache(maxsize=1 << 14)
def _block_arena(
    cells: tuple[Cell, ...],
    stride: int,
    filters: int,
    in_channels: int,
    output: tuple[int, int],
    element_bytes: int,
    alignment: int,
) -> PartArena:
    shape = Shape(in_channels, output[0] * stride, output[1] * stride)
    fragment = lower_block(Block(cells, stride), filters, IMAGE, shape, 0)
    inner = replace(ARENA.rules, counts_inputs=True, counts_outputs=True)
    return _planned(Graph(shape, fragment.layers, fragment.output), inner, element_bytes, alignment)


@lru_cache
def end_arena(part: Graph, element_bytes: int, *, is_first: bool) -> PartArena:
    """Return the arena of a network's first part, which reads the image, or of its last, which writes the output."""
    rules = ARENA.rules
    rules = replace(rules, counts_outputs=True) if is_first else replace(rules, counts_inputs=True)
    return _planned(part, rules, element_bytes, ARENA.alignment)


def _planned(part: Graph, rules: ArenaRules, element_bytes: int, alignment: int) -> PartArena:
    return ended(*_buffers(part, rules, element_bytes, alignment))


def _buffers(
    part: Graph, rules: ArenaRules, element_bytes: int, alignment: int
) -> tuple[list[Buffer], tuple[int | None, int | None]]:
    """Return the buffers of a part in its best order, and the numbers of those that come in and go out."""
    ordered, _ = best_order(part, element_bytes)
    sizes = ordered.sizes(element_bytes)
    shared = shared_graph(ordered.plain(), sizes, roles_of(ordered), rules, alignment=alignment)
    end = max(len(ordered.layers), 1)
    born = {IMAGE: 1} | {layer.name: step for step, layer in enumerate(ordered.layers, start=1)}
    until = dict.fromkeys(sizes, end)  # what nothing reads lives to the end
    until |= {name: step for step, layer in enumerate(ordered.layers, start=1) for name in layer.inputs}
    tenants = shared.tenants()
    buffers = [
        Buffer(
            -(-sizes[home] // alignment) * alignment,
            min(born[name] for name in names),
            max(until[name] for name in names),
        )
        for home, names in tenants.items()
    ]
    number = {home: place for place, home in enumerate(tenants)}
    first, last = (
        number[shared.homes[name].tensor] if name in shared.homes else None for name in (IMAGE, ordered.output)
    )
    return buffers, (first, last)


def ended(buffers: Sequence[Buffer], ends: tuple[int | None, int | None]) -> PartArena:
    """Return a small arena in which two buffers lie at its ends.

    First fit in two orders reached the lower bound in all of 1,372 blocks of random rounds; the search is there for
    what it misses.

    Args:
        buffers: What is to be placed.
        ends: Numbers of the buffer that comes in and of the one that goes out, which may be the same; None: none does.
    """
    bound = max(used_bytes(buffers))
    if _stacks(buffers, ends, bound):
        return PartArena(bound, bound)
    return PartArena(min(_searched(buffers, *ends, bound), _apart(buffers, *ends)), bound)


def _stacks(buffers: Sequence[Buffer], ends: tuple[int | None, int | None], height: int) -> bool:
    """Return whether first fit stays within a height, with the two buffers at its ends."""
    used = used_bytes(buffers)
    first, last = ends
    numbers = range(len(buffers))
    by_size = sorted(numbers, key=lambda i: -buffers[i].size)
    widest = sorted(range(1, len(used) + 1), key=lambda step: -used[step - 1])
    by_breadth = list(dict.fromkeys(i for t in widest for i in by_size if buffers[i].born <= t <= buffers[i].last))
    by_area = sorted(by_size, key=lambda i: -buffers[i].size * (buffers[i].last - buffers[i].born + 1))
    top = height - (buffers[last].size if last is not None else 0)
    attempts = ((by_breadth, 0), (by_area, top), (by_breadth, top), (by_area, 0))
    return any(_fits(buffers, order, {last: offset, first: 0}, height) for order, offset in attempts)


def _fits(buffers: Sequence[Buffer], order: Sequence[int], given: Mapping[int | None, int], height: int) -> bool:
    """Return whether first fit stays within a height, some buffers having their offsets already."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first and last step of what has a place
    for i in (*(i for i in given if i is not None), *(i for i in order if i not in given)):
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


def _searched(buffers: Sequence[Buffer], first: int | None, last: int | None, bound: int) -> int:
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
            if number is not None:
                size, born, until = loaded[number]
                loaded[number] = Buffer(size, min(born, step), max(until, step))
                loaded.append(Buffer(height - size, step, step))
        found = _height(loaded)
        if found <= height:
            return height
        height = found
    return sum(buffer.size for buffer in buffers)


def _apart(buffers: Sequence[Buffer], first: int | None, last: int | None) -> int:
    """Return the height with the two buffers at the ends and all others between them, which always works."""
    ends = {number for number in (first, last) if number is not None}
    between = [buffer for number, buffer in enumerate(buffers) if number not in ends]
    return _height(between) + sum(buffers[number].size for number in ends)


def _height(buffers: Sequence[Buffer]) -> int:
    offsets = place(buffers)
    return max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
