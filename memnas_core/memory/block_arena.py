"""The arena of a network, found from the arenas of its parts, so that thousands of candidates a round can have one.

A network is a chain of parts (stem, blocks, classifier). They run one after another, and only one tensor is in memory
between two of them. Each part is laid out by itself under one condition: the part's input and its output lie at an end
of the part's memory, in its lowest or its highest bytes. Then the arena of the network is the largest arena of a part,
because layouts that meet the condition fit together:

1. A layout that is turned upside down (offset -> height - size - offset) is still a layout, and meets the condition.
2. In an arena that is higher than the layout, a tensor at the layout's highest end may move up to the arena's end:
   nothing lies above it while it is in memory, so it overlaps nothing.
3. So go through the network from the image on. The input of a part is at an end of the arena, where the previous part
   has put it. If it lies at the other end of the part's layout, turn the layout upside down. Then, if the output lies
   at the highest end of the layout, move it to the arena's end. So the next part finds its input at an end.

Sharing between parts does not break this: a tensor that overwrites another has the same size, and so lies at the same
end.

Every arena of the network needs at least the bytes that are in memory in any step of any part. So if the largest arena
of a part has the size of its lower bound, the figure is exact. Otherwise a planner of the whole network may need less,
with the output of a part in the middle of the arena. Every offset is a sum of rounded sizes, or the arena's end minus
such a sum, and so is aligned.

A block's layout does not depend on its resolution: all its tensors grow with the pixels of its output. It is found
for one pixel and cached, provided that every tensor's bytes for all pixels are a multiple of the alignment, and that no
scratch memory of kernels counts, which does not grow.

Source: our own; `memnas_core.memory.placement` finds the layouts, `memnas_core.memory.runtime_operators` says what a
layer becomes at run time, and plans the same arena for a whole network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from memnas_core.memory.kernel_scratch import Kernels, scratch_bytes
from memnas_core.memory.placement import Buffer, place, used_bytes
from memnas_core.memory.runtime_operators import EXECUTORCH_PLANNED, INDEX_BYTES, operators
from memnas_core.memory.steps import aligned
from memnas_core.space.architecture import Block, Cell
from memnas_core.space.graph import IMAGE, lower_block
from memnas_core.space.layers import Layer, Shape
from memnas_core.space.operations import OPERATIONS, Place

ARENA = replace(EXECUTORCH_PLANNED, separate_relu=False)
"""The runtime behind the convention `arena`: ExecuTorch with the plan that `memnas export` writes, layers in the order
of `minimum`. A ReLU in place takes no memory beyond its convolution's, so that both are one operator here."""


class PartArena(NamedTuple):
    """The arena of a part or of a network.

    Attributes:
        bytes: Size of an arena that is known to exist.
        lower_bound: Bytes that every arena needs for the same order of layers.
    """

    bytes: int
    lower_bound: int


class PlannedBlock(NamedTuple):
    """Everything about a block that its arena depends on.

    Attributes:
        cells: Cells of the block, or others whose operators make tensors of the same sizes.
        stride: Stride of the block.
        filters: Filters of the block's operation layers.
        in_channels: Channels of the block's input.
        order: Layers in running order, as indices into the layers of the lowered block.
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


def block_arena(
    block: PlannedBlock, output: tuple[int, int], element_bytes: int, kernels: Kernels | None = None
) -> PartArena:
    """Return the arena of a block.

    Args:
        block: The block.
        output: Height and width of the block's output.
        element_bytes: Bytes of one activation.
        kernels: Kernels whose scratch memory counts.
    """
    pixels = output[0] * output[1]
    widths = element_bytes, INDEX_BYTES
    channels = block.filters, block.in_channels  # all its tensors have a multiple of one of them
    if kernels is None and not any(one * pixels * width % ARENA.alignment for one in channels for width in widths):
        one = _block_arena(block, (1, 1), element_bytes, 1, None)
        return PartArena(one.bytes * pixels, one.lower_bound * pixels)
    return _block_arena(block, output, element_bytes, ARENA.alignment, kernels)


@lru_cache(maxsize=1 << 14)
def _block_arena(
    block: PlannedBlock, output: tuple[int, int], element_bytes: int, alignment: int, kernels: Kernels | None
) -> PartArena:
    shape = Shape(block.in_channels, output[0] * block.stride, output[1] * block.stride)
    layers = lower_block(Block(block.cells, block.stride), block.filters, IMAGE, shape, 0).layers
    running = [layers[place] for place in block.order]
    return ended(*_buffers(running, IMAGE, shape, element_bytes, alignment, kernels))


@lru_cache
def most_scratch(filters: int, kernels: Kernels) -> int:
    """Return an upper bound on the scratch memory of a layer in a block, in bytes.

    Layers read at most twice as many channels as the block has filters. The projection of the block's input may read
    more, but needs no scratch memory.

    Args:
        filters: Filters of the block's operation layers.
        kernels: Kernels of the core.
    """
    place = Place("", "", Shape(2 * filters, 1, 1), 2 * filters, 1, 0)
    every = (layer for operation in OPERATIONS for layer in operation.layers(place))
    return aligned(max(scratch_bytes(layer, kernels) for layer in every), ARENA.alignment)


@lru_cache
def end_arena(
    layers: tuple[Layer, ...], source: str, shape: Shape, element_bytes: int, kernels: Kernels | None = None
) -> PartArena:
    """Return the arena of a network's first part, which reads the image, or of its last, which writes the output.

    Args:
        layers: Layers of the part, each of which reads the output of the previous one.
        source: Name of the part's input.
        shape: Shape of the part's input.
        element_bytes: Bytes of one activation.
        kernels: Kernels whose scratch memory counts.
    """
    return ended(*_buffers(layers, source, shape, element_bytes, ARENA.alignment, kernels))


class _Memory:
    """A piece of memory for a tensor and for the tensors that overwrite it one after another."""

    __slots__ = ("born", "last", "size")

    def __init__(self, size: int, born: int) -> None:
        self.size = size
        self.born = born
        self.last = born


def _buffers(
    layers: Sequence[Layer], source: str, shape: Shape, element_bytes: int, alignment: int, kernels: Kernels | None
) -> tuple[list[Buffer], tuple[int, int]]:
    """Return the buffers of a part in its running order, and the numbers of the input's and the output's buffer.

    The result is that of `memnas_core.memory.arena_rules.shared_graph` under the rules of `ARENA`, without names.
    """
    model = ARENA if kernels is None else replace(ARENA, kernels=kernels)
    made = [operator for layer in layers for operator in operators(layer, model, element_bytes)]
    until = {name: step for step, operator in enumerate(made, start=1) for name in operator.reads}
    end = max(len(made), 1)
    memory = {source: _Memory(shape.elements * element_bytes, 1)}
    memory[source].last = until.get(source, end)  # an unread tensor stays in memory to the end
    distinct, beside = [memory[source]], []
    for step, (name, reads, output, is_elementwise, beside_bytes) in enumerate(made, start=1):
        size = output.elements * element_bytes
        own = None
        if is_elementwise:
            own = next((memory[read] for read in reads if until[read] == step and memory[read].size == size), None)
        if own is None:
            own = _Memory(size, step)
            distinct.append(own)
        own.last = until.get(name, end)
        memory[name] = own
        if beside_bytes:
            beside.append(Buffer(aligned(beside_bytes, alignment), step, step))
    buffers = [Buffer(aligned(one.size, alignment), one.born, one.last) for one in distinct]
    output_name = layers[-1].name if layers else source
    return buffers + beside, (0, distinct.index(memory[output_name]))


def ended(buffers: Sequence[Buffer], ends: tuple[int, int]) -> PartArena:
    """Return a small arena in which the buffers of input and output each lie at an end.

    First fit reaches the lower bound in nearly all blocks; the search handles the others.

    Args:
        buffers: Buffers to place.
        ends: Numbers of the input's and the output's buffer, which may be the same.
    """
    used = used_bytes(buffers)
    bound = max(used)
    if _stacks(buffers, used, ends, bound):
        return PartArena(bound, bound)
    return PartArena(min(_searched(buffers, *ends, bound), _apart(buffers, *ends)), bound)


def _stacks(buffers: Sequence[Buffer], used: Sequence[int], ends: tuple[int, int], height: int) -> bool:
    """Return whether first fit stays within a height with each of the two buffers at an end."""
    first, last = ends
    top = height - buffers[last].size
    by_size = sorted(range(len(buffers)), key=lambda i: -buffers[i].size)
    widest = sorted(range(1, len(used) + 1), key=lambda step: -used[step - 1])
    by_breadth = list(dict.fromkeys(i for t in widest for i in by_size if buffers[i].born <= t <= buffers[i].last))
    if _fits(buffers, by_breadth, {last: 0, first: 0}, height):  # most blocks fit
        return True
    by_area = sorted(by_size, key=lambda i: -buffers[i].size * (buffers[i].last - buffers[i].born + 1))
    others = ((by_area, top), (by_breadth, top), (by_area, 0))
    return any(_fits(buffers, order, {last: offset, first: 0}, height) for order, offset in others)


def _fits(buffers: Sequence[Buffer], order: Sequence[int], given: Mapping[int, int], height: int) -> bool:
    """Return whether first fit stays within a height; some buffers have given offsets."""
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first and last step of each placed buffer
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
    """Return the height of a layout with each of two buffers at an end, found by search.

    A ballast that is in memory only together with the first buffer fills the rest of the height. In a layout of this
    height there is no gap beside it, so the first buffer lies at an end. Another ballast does this for the last buffer.
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
    """Return the height of a layout that always exists: the two buffers at the ends and all others between them."""
    ends = {first, last}
    between = [buffer for number, buffer in enumerate(buffers) if number not in ends]
    return _height(between) + sum(buffers[number].size for number in ends)


def _height(buffers: Sequence[Buffer]) -> int:
    offsets = place(buffers)
    return max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)
