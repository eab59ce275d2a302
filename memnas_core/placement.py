"""Offsets in one arena for buffers whose sizes and lifetimes are known, so that the arena is small.

Buffers that are in memory in the same step must not overlap in space. No placement needs less than what is in
memory in some step. To reach that bound, or to show that nothing can, is NP-hard in general; two things are
tried until it is reached:

1. Greedy: take the buffers in some order and put each into a gap between those of its time that have a place
   already, into the lowest gap that is large enough or into the one that it fills best, else on top of them.

       order     first comes
       size      the largest buffer. With the lowest gap this is the planner of TensorFlow Lite Micro
                 (GreedyMemoryPlanner), with the gap that fits best the paper's greedy by size
       breadth   the largest of the step with the most bytes, then its others: the paper's greedy by breadth
       duration  the buffer that is longest in memory
       area      the one with the largest product of size and duration
       start     the one born first, as an allocator meets them at run time

2. Search. In any placement each buffer can be let down until it stands on the ground or on another buffer of
   its time. So a placement is an order of all buffers from the lowest up, each standing as low as those before
   it allow. Such orders are built up one buffer after another, lowest places first, going back where in some
   step the height so far and the bytes still to come exceed what is allowed. Which buffer is tried first where
   several can stand equally low decides whether that ends soon; so it starts over with each of the greedy
   orders after a limited number of states. Up to six buffers the limit covers all there is: the result is
   optimal.

Source: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020), offset calculation,
for greedy by size and by breadth.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

LOOKS_AN_ATTEMPT = 20_000
"""Buffers looked at in one attempt of the search: 3,333 states of six buffers, more than the 1,957 there are."""

LOOKS = 1_000_000
"""Buffers looked at in all attempts: about a second."""


class Buffer(NamedTuple):
    """What is to be placed.

    Attributes:
        size: Its bytes.
        born: First step in which it is in memory, from 1.
        last: Last step in which it is.
    """

    size: int
    born: int
    last: int


class _Layout(NamedTuple):
    """An offset for each buffer, and the arena that they need."""

    height: int
    offsets: list[int]


def used_bytes(buffers: Sequence[Buffer]) -> list[int]:
    """Return the bytes in memory in each step, the first being step 1; at least one step."""
    change = [0] * (max((buffer.last for buffer in buffers), default=1) + 1)
    for size, born, last in buffers:
        change[born - 1] += size
        change[last] -= size
    return list(accumulate(change[:-1]))


def place(buffers: Sequence[Buffer]) -> list[int]:
    """Return an offset for each buffer, all 0 or a sum of sizes; no worse than any of the greedy ways.

    Of buffers that an order does not tell apart, the one given first comes first.
    """
    used = used_bytes(buffers)
    bound = max(used)
    beside = _beside(buffers)
    best: _Layout | None = None
    for order in _orders(buffers, used):
        for fits_best in (False, True):
            layout = _greedy(buffers, beside, order, fits_best)
            if best is None or layout.height < best.height:
                best = layout
            if best.height == bound:
                return best.offsets
    assert best is not None, "there is more than one greedy way"
    return _improved(buffers, used, best).offsets


def _beside(buffers: Sequence[Buffer]) -> list[list[int]]:
    """Return for each buffer those that are in memory with it; those without bytes stand beside nothing."""
    beside: list[list[int]] = [[] for _ in buffers]
    alive: list[int] = []
    for i in sorted((i for i, buffer in enumerate(buffers) if buffer.size), key=lambda i: buffers[i].born):
        alive = [j for j in alive if buffers[j].last >= buffers[i].born]
        for j in alive:
            beside[i].append(j)
            beside[j].append(i)
        alive.append(i)
    return beside


def _orders(buffers: Sequence[Buffer], used: Sequence[int]) -> Iterator[list[int]]:
    durations = [buffer.last - buffer.born + 1 for buffer in buffers]
    by_size = sorted(range(len(buffers)), key=lambda i: -buffers[i].size)
    yield by_size
    widest = sorted(range(1, len(used) + 1), key=lambda step: -used[step - 1])
    yield list(dict.fromkeys(i for step in widest for i in by_size if buffers[i].born <= step <= buffers[i].last))
    yield sorted(by_size, key=lambda i: -durations[i])
    yield sorted(by_size, key=lambda i: -durations[i] * buffers[i].size)
    yield sorted(by_size, key=lambda i: buffers[i].born)


def _greedy(
    buffers: Sequence[Buffer], beside: Sequence[Sequence[int]], order: Sequence[int], fits_best: bool
) -> _Layout:
    offsets = [-1] * len(buffers)
    for i in order:
        size = buffers[i].size
        top, chosen, chosen_gap = 0, -1, 0
        for offset, end in sorted((offsets[j], offsets[j] + buffers[j].size) for j in beside[i] if offsets[j] >= 0):
            gap = offset - top
            if gap >= size and (chosen < 0 or gap < chosen_gap):
                chosen, chosen_gap = top, gap
                if not fits_best:
                    break
            top = max(top, end)
        offsets[i] = top if chosen < 0 else chosen
    return _Layout(_height(buffers, offsets), offsets)


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max((offset + buffer.size for offset, buffer in zip(offsets, buffers, strict=True)), default=0)


def _improved(buffers: Sequence[Buffer], used: Sequence[int], best: _Layout) -> _Layout:
    """Search for a layout at the bound, then for any better one, starting over with each of the orders."""
    bound, looks = max(used), 0
    for ceiling in (bound, best.height - 1):
        for order in _orders(buffers, used):
            if best.height == bound or looks > LOOKS:
                return best
            search = _Search(buffers, order, len(used), min(ceiling, best.height - 1))
            is_complete = search.run(stop_at=bound)
            looks += search.looks
            if search.found is not None:
                best = search.found
            if is_complete:
                break
    return best


class _Frame(NamedTuple):
    """A state of the search: what is still to be placed, and in each step the height and the bytes to come."""

    rest: tuple[int, ...]
    heights: tuple[int, ...]
    to_come: tuple[int, ...]
    options: Iterator[tuple[int, int]]  # offset and place in `rest` of what may stand there, the lowest first


class _Search:
    """Builds up layouts from the lowest buffer to the highest; each that is found lowers the ceiling."""

    def __init__(self, buffers: Sequence[Buffer], order: Sequence[int], steps: int, ceiling: int) -> None:
        self.buffers = buffers
        self.order = tuple(i for i in order if buffers[i].size)
        self.steps = steps
        self.ceiling = ceiling
        self.looks = 0
        self.found: _Layout | None = None

    def run(self, stop_at: int) -> bool:
        """Search until a layout of a height is found or enough was looked at.

        Returns:
            Whether no layout is below `found`, or below the ceiling where none was found.
        """
        count = len(self.order)
        # Twice as deep as a way without a turn, so that large graphs get a chance.
        limit = min(max(LOOKS_AN_ATTEMPT, 2 * count * count), LOOKS)
        offsets = [0] * len(self.buffers)
        seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        to_come = used_bytes([self.buffers[i] for i in self.order])
        to_come += [0] * (self.steps - len(to_come))
        stack = [self._frame(self.order, (0,) * self.steps, tuple(to_come))]
        while stack:
            frame = stack[-1]
            offset, place = next(frame.options, (0, -1))
            if place < 0 or not self._fits(frame, offset):
                stack.pop()  # what is higher fits no better
                continue
            number = frame.rest[place]
            offsets[number] = offset
            rest = frame.rest[:place] + frame.rest[place + 1 :]
            if not rest:
                height = _height(self.buffers, offsets)
                self.found, self.ceiling = _Layout(height, offsets.copy()), height - 1
                if height <= stop_at:
                    return True
                continue
            heights, to_come = self._placed(frame, number, offset)
            state = rest, tuple(heights)
            if state in seen:
                continue
            seen.add(state)
            self.looks += count
            if self.looks > limit:
                return False
            stack.append(self._frame(rest, state[1], tuple(to_come)))
        return True

    def _frame(self, rest: tuple[int, ...], heights: tuple[int, ...], to_come: tuple[int, ...]) -> _Frame:
        buffers = self.buffers
        lowest = (max(heights[buffers[i].born - 1 : buffers[i].last]) for i in rest)
        return _Frame(rest, heights, to_come, iter(sorted(zip(lowest, range(len(rest)), strict=True))))

    def _fits(self, frame: _Frame, offset: int) -> bool:
        """Return whether all that is to come may stand at an offset or higher."""
        ceiling = self.ceiling
        for height, size in zip(frame.heights, frame.to_come, strict=True):
            if size and (height if height > offset else offset) + size > ceiling:
                return False
        return True

    def _placed(self, frame: _Frame, number: int, offset: int) -> tuple[list[int], list[int]]:
        """Return heights and bytes to come with one more buffer in its place; nothing can go below it any more."""
        size, born, last = self.buffers[number]
        to_come = list(frame.to_come)
        for step in range(born - 1, last):
            to_come[step] -= size
        heights = [max(height, offset) if size else 0 for height, size in zip(frame.heights, to_come, strict=True)]
        for step in range(born - 1, last):
            if to_come[step]:
                heights[step] = offset + size
        return heights, to_come
