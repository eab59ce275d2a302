"""Offsets in one small arena for buffers whose sizes and lifetimes are known.

Buffers that are in memory in the same step must not overlap in space. Every placement needs at least the bytes
that are in memory in any one step. To reach this bound, or to show that it can't be reached, is NP-hard in general.
Two methods are tried until it is reached:

1. Greedy: take the buffers in some order. Put each into a gap between the placed buffers that are in memory at the
   same time, either the lowest gap that is large enough or the one that it fills best, otherwise on top of them.

       order     which buffer comes first
       size      the largest. With the lowest gap this is the planner of TensorFlow Lite Micro
                 (GreedyMemoryPlanner), with the gap that fits best the paper's greedy by size
       breadth   the largest of the step with the most bytes, then the others of that step: the paper's greedy by
                 breadth
       duration  the one that is longest in memory
       area      the one with the largest product of size and duration
       start     the one born first, as an allocator meets them at run time

2. Search: in any placement each buffer can be moved down until it stands on the ground or on another buffer that is
   in memory at the same time. So a placement is an order of all buffers from the lowest up, each as low as those
   before it allow. The search builds such orders one buffer after another, lowest places first. It goes back when,
   in some step, the height so far plus the bytes still to come exceed the limit. If several buffers can stand equally
   low, the choice of the first one decides how soon the search ends. So after a limited number of states it starts
   over with another of the greedy orders. For up to six buffers the limit covers all states, and the result is
   optimal.

Source: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020), offset calculation,
for greedy by size and by breadth.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memnas_core.memory.steps import profile

LOOKS_AN_ATTEMPT = 20_000
"""Number of buffers looked at in one attempt: 3,333 states of six buffers, which have only 1,957 states."""

LOOKS = 1_000_000
"""Number of buffers looked at in all attempts, which take about a second."""


class Buffer(NamedTuple):
    """A buffer to place.

    Attributes:
        size: Size of the buffer, in bytes.
        born: First step in which the buffer is in memory, from 1.
        last: Last step in which the buffer is in memory.
    """

    size: int
    born: int
    last: int


class _Layout(NamedTuple):
    """An offset for each buffer, and the height of the arena that they need."""

    height: int
    offsets: list[int]


def used_bytes(buffers: Sequence[Buffer]) -> list[int]:
    """Return the bytes in memory in each step, from step 1; there is at least one step."""
    return profile(buffers, max((buffer.last for buffer in buffers), default=1))


def place(buffers: Sequence[Buffer]) -> list[int]:
    """Return an offset for each buffer; the arena is no larger than with any greedy method.

    Each offset is 0 or a sum of sizes. Buffers that are equal in an order stay in the order given.
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
    """Return for each buffer those that are in memory at the same time; buffers without bytes are left out."""
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
    rank = [0] * len(used)  # of each step, the one with the most bytes first
    for place, step in enumerate(sorted(range(len(used)), key=lambda step: -used[step])):
        rank[step] = place
    yield sorted(by_size, key=lambda i: min(rank[buffers[i].born - 1 : buffers[i].last]))
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
    """Return the best layout that a search finds, or `best` if it finds no better one.

    It searches for a layout at the bound first, then for any better one, each time with one order after another.
    """
    bound, looks, orders = max(used), 0, list(_orders(buffers, used))
    for ceiling in (bound, best.height - 1):
        for order in orders:
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
    """A state of the search: the buffers still to place, and in each step the height and the bytes to come."""

    rest: tuple[int, ...]
    lowest: list[int]  # lowest possible offset of each of them
    heights: tuple[int, ...]
    to_come: tuple[int, ...]
    options: Iterator[tuple[int, int]]  # lowest possible offset of a buffer and its index in `rest`, lowest first


def _frame(rest: tuple[int, ...], lowest: list[int], heights: tuple[int, ...], to_come: tuple[int, ...]) -> _Frame:
    return _Frame(rest, lowest, heights, to_come, iter(sorted(zip(lowest, range(len(rest)), strict=True))))


class _Search:
    """A search that builds layouts from the lowest buffer to the highest; each layout found lowers the ceiling."""

    def __init__(self, buffers: Sequence[Buffer], order: Sequence[int], steps: int, ceiling: int) -> None:
        self.buffers = buffers
        self.order = tuple(i for i in order if buffers[i].size)
        self.steps = steps
        self.ceiling = ceiling
        self.looks = 0
        self.found: _Layout | None = None

    def run(self, stop_at: int) -> bool:
        """Search until a layout of height `stop_at` is found or the limit of looks is reached.

        Returns:
            Whether it is certain that no layout is lower than `found`, or fits under the ceiling if none was found.
        """
        count = len(self.order)
        # At least twice the looks of a search that never goes back, so that large graphs get a chance.
        limit = min(max(LOOKS_AN_ATTEMPT, 2 * count * count), LOOKS)
        offsets = [0] * len(self.buffers)
        seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        to_come = used_bytes([self.buffers[i] for i in self.order])
        to_come += [0] * (self.steps - len(to_come))
        stack = [_frame(self.order, [0] * count, (0,) * self.steps, tuple(to_come))]
        while stack:
            frame = stack[-1]
            offset, place = next(frame.options, (0, -1))
            if place < 0 or not self._fits(frame, offset):
                stack.pop()  # higher offsets don't fit either
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
            stack.append(_frame(rest, self._lowest(frame, place), state[1], tuple(to_come)))
        return True

    def _lowest(self, frame: _Frame, place: int) -> list[int]:
        """Return the lowest offset of each buffer to come when one more is placed as low as it can be."""
        buffers, offset = self.buffers, frame.lowest[place]
        size, born, last = buffers[frame.rest[place]]
        lowest = [
            max(low, offset + size if buffers[i].born <= last and born <= buffers[i].last else offset)
            for i, low in zip(frame.rest, frame.lowest, strict=True)
        ]
        del lowest[place]
        return lowest

    def _fits(self, frame: _Frame, offset: int) -> bool:
        """Return whether the buffers to come may fit under the ceiling at an offset or higher."""
        ceiling = self.ceiling
        for height, size in zip(frame.heights, frame.to_come, strict=True):
            if size and (height if height > offset else offset) + size > ceiling:
                return False
        return True

    def _placed(self, frame: _Frame, number: int, offset: int) -> tuple[list[int], list[int]]:
        """Return heights and bytes to come with one more buffer placed; no later buffer goes below it."""
        size, born, last = self.buffers[number]
        to_come = list(frame.to_come)
        for step in range(born - 1, last):
            to_come[step] -= size
        heights = [max(height, offset) if size else 0 for height, size in zip(frame.heights, to_come, strict=True)]
        for step in range(born - 1, last):
            if to_come[step]:
                heights[step] = offset + size
        return heights, to_come
