"""Which weights of its base a candidate can start from.

A candidate differs from its base by one move or a few, so most of its layers were trained before. This module matches
the cells of each block with the base's cells, and derives which layer of the base each layer of the candidate's graph
continues, run by run. `memnas_core.training.inherit` copies the weights.

All tensors of a block consist of *runs*, one for each layer that a concatenation joins; a run has as many channels as
the block has filters. A convolution that reads a concatenation takes over the base's weights run by run: those of a run
that trimming removed are dropped, those of a run that growing added are zero, so that the grown network computes the
same function as its base. Where a block has another number of filters than in the base, so have its runs;
`memnas_core.training.channels` decides which of their channels are taken over.

No network of the search space is refused: layers without a counterpart in the base start with fresh weights.

Source: not in the paper, which trains every candidate from scratch. Function-preserving growth is due to Net2Net
(Chen et al., ICLR 2016); here zero input weights take the place of split or copied channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.layers import Shape
from memnas_core.space.operations import Operation, Place

FRESH = None
"""Stands for the number of a run, cell or branch that has no counterpart in the base."""

Runs = tuple[int | None, ...]


class Continued(NamedTuple):
    """A layer that continues one of the base's.

    Attributes:
        layer: Name of the base's layer.
        runs: For each run of input channels, in order, the base's run whose weights it takes; FRESH: zeros.
            Layers that read one run in both networks have (0,).
    """

    layer: str
    runs: Runs


class PassedOn(NamedTuple):
    """A new projection where the base has none; it starts by passing on what the base reads here.

    Attributes:
        run: Number of the first input run that is passed on.
        runs: Number of input runs.
    """

    run: int
    runs: int


class Entry(NamedTuple):
    """The tensor that enters a block or the classifier.

    Attributes:
        runs: For each run of the child's tensor the parent's run, or FRESH.
        base_runs: Number of runs of the parent's tensor.
        block_widths: Filters of the block in the child and in the parent; those of the last block for the classifier.
        is_read: Whether neither network projects the tensor.
    """

    runs: Runs
    base_runs: int
    block_widths: tuple[int, int]
    is_read: bool


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The initial weights of a candidate's layers.

    Attributes:
        continued: Continued layers, by name. Layers with weights that are in neither mapping get fresh ones.
        passed_on: New projections, by name.
        keeps_function: Whether the candidate computes the same function as its base, as after growing.
        entries: What enters each block, and the classifier.
    """

    continued: dict[str, Continued]
    passed_on: dict[str, PassedOn]
    keeps_function: bool
    entries: tuple[Entry, ...]


class _Match(NamedTuple):
    """The parent block's cells and branches that those of a child block continue.

    Attributes:
        cells: For each child cell from 1 the number of the parent's cell, or FRESH; entry 0 (the input) is 0.
        branches: For each child cell and branch the parent cell's branch (0 or 1), or FRESH.
    """

    cells: tuple[int | None, ...]
    branches: tuple[tuple[int | None, int | None], ...]


def inheritance(child: Architecture, parent: Architecture) -> Inheritance:
    """Return which weights of a parent a child can start from.

    Args:
        child: Any architecture with the strides and the F of its parent; blocks may have other numbers of filters.
        parent: Usually the base that the child was made from; only structure decides, not moves.
    """
    continued = {"stem": Continued("stem", (0,))}
    passed_on: dict[str, PassedOn] = {}
    runs: Runs = (0,)  # runs of the child's tensor that enters a block
    parent_count = 1  # number of runs of the parent's tensor
    keeps = True
    channels = child.filters, parent.filters  # channels of their runs
    entries: list[Entry] = []
    for number, (new, old) in enumerate(zip(child.blocks, parent.blocks, strict=True), start=1):
        prefix, widths = f"b{number}", (new.width(child.filters), old.width(parent.filters))
        is_projected = len(runs) * channels[0] != widths[0]
        was_projected = parent_count * channels[1] != widths[1]
        kept = next((place for place, run in enumerate(runs) if run is not FRESH), None)
        if is_projected and was_projected:
            continued |= _reader(f"{prefix}_project", f"{prefix}_project", runs)
        elif is_projected and kept is not None:
            passed_on[f"{prefix}_project"] = PassedOn(kept, len(runs))
        entries.append(Entry(runs, parent_count, widths, not (is_projected or was_projected)))
        keeps = keeps and widths[0] >= widths[1] and (is_projected or not was_projected)
        match = _best_match(new, old)
        for position in range(1, len(new.cells) + 1):
            continued |= _continued_layers(new, old, match, position, prefix)
        keeps = keeps and _lossless(runs, parent_count) and _is_whole(new, old, match)
        runs, parent_count = _output_runs(new, old, match)
        channels = widths
    continued |= _reader("classifier", "classifier", runs)
    entries.append(Entry(runs, parent_count, channels, is_read=False))
    return Inheritance(continued, passed_on, keeps and _lossless(runs, parent_count), tuple(entries))


def _reader(ours: str, theirs: str, runs: Runs) -> dict[str, Continued]:
    """Return that a layer continues another, or nothing if they share no run: all-zero weights would not learn."""
    return {ours: Continued(theirs, runs)} if any(run is not FRESH for run in runs) else {}


def _lossless(runs: Runs, parent_count: int) -> bool:
    """Return whether every run of the parent's tensor is in the child's."""
    return set(range(parent_count)) <= set(runs)


def _is_whole(new: Block, old: Block, match: _Match) -> bool:
    """Return whether every cell of the parent is whole in the child."""
    kept = {
        match.cells[position]
        for position, cell in enumerate(new.cells, start=1)
        if match.cells[position] is not FRESH and _similarity(cell, old, match.cells, position) == _WHOLE
    }
    return kept == set(range(1, len(old.cells) + 1))


_SAME_LAYER = 4
_SAME_PLACE = 2
_SAME_COMBINER = 1
_SAME_OUTPUT = 1
_WHOLE = 2 * _SAME_LAYER + _SAME_COMBINER + _SAME_OUTPUT


def _similarity(cell: Cell, old: Block, cells: Sequence[int | None], position: int) -> int:
    """Return how similar a child cell is to the parent cell that it is matched with."""
    number = cells[position]
    assert number is not FRESH, "only matched cells are compared"
    other = old.cells[number - 1]
    branches = _branch_match(cell, other, cells)
    found = 0
    for branch, side in zip((cell.first, cell.second), branches, strict=True):
        theirs = _branches(other)[side] if side is not FRESH else None
        if branch is not None and theirs is not None:
            found += _SAME_LAYER if branch.operation is theirs.operation else _SAME_PLACE
    if len(cell.branches) == len(other.branches) == 1:
        found += _SAME_LAYER + _SAME_COMBINER  # nothing to combine: as similar as two equal branches
    elif len(cell.branches) == len(other.branches):
        found += _SAME_COMBINER * (cell.combiner is other.combiner)
    return found + _SAME_OUTPUT * (cell.included is other.included)


def _branches(cell: Cell) -> tuple[Branch | None, Branch | None]:
    return cell.first, cell.second


def _branch_match(cell: Cell, other: Cell, cells: Sequence[int | None]) -> tuple[int | None, int | None]:
    """Return for each branch of a child cell the parent cell's branch that it continues.

    Both must read the same tensor. Their layers must be the same, or the child's an identity, as after trimming.
    """

    def worth(side: int, theirs: int) -> int:
        branch, old = _branches(cell)[side], _branches(other)[theirs]
        if branch is None or old is None or cells[branch.input] != old.input:
            return 0
        if branch.operation is old.operation:
            return _SAME_LAYER
        return _SAME_PLACE if branch.operation is ops.IDENTITY else 0

    straight = worth(0, 0), worth(1, 1)
    swapped = worth(0, 1), worth(1, 0)
    if sum(straight) >= sum(swapped):
        return (0 if straight[0] else FRESH), (1 if straight[1] else FRESH)
    return (1 if swapped[0] else FRESH), (0 if swapped[1] else FRESH)


def _best_match(new: Block, old: Block) -> _Match:
    """Return the match with the parent's cells that continues most layers; moves keep the cells' order."""
    best = max(_matches(new, old, (0,)), key=lambda found: found[0])[1]
    branches = tuple(
        _branch_match(cell, old.cells[number - 1], best) if (number := best[position]) is not FRESH else (FRESH, FRESH)
        for position, cell in enumerate(new.cells, start=1)
    )
    return _Match(best, branches)


def _matches(new: Block, old: Block, cells: tuple[int | None, ...]) -> Iterator[tuple[int, tuple[int | None, ...]]]:
    """Yield all ways to match the cells from `len(cells)` on in order, with their worth."""
    position = len(cells)
    if position > len(new.cells):
        yield 0, cells
        return
    cell = new.cells[position - 1]
    last = max(number for number in cells if number is not FRESH)
    for number in range(last + 1, len(old.cells) + 1):
        tried = (*cells, number)
        worth = _similarity(cell, old, tried, position)
        if worth >= _SAME_PLACE:
            for rest, whole in _matches(new, old, tried):
                yield worth + rest, whole
            if worth == _WHOLE:
                return  # the same cell with the same inputs: nothing later is better
    for rest, whole in _matches(new, old, (*cells, FRESH)):
        yield rest, whole


def _run_count(cell: Cell) -> int:
    return 2 if cell.combiner is Combiner.CONCAT and len(cell.branches) == 2 else 1


def _cell_runs(new: Block, old: Block, match: _Match, position: int) -> Runs:
    """Return the parent's run for each run of a child cell's output; position 0 is the block's input, projected."""
    if position == 0:
        return (0,)
    cell, number = new.cells[position - 1], match.cells[position]
    if number is FRESH:
        return (FRESH,) * _run_count(cell)
    parent_runs = _run_count(old.cells[number - 1])
    if parent_runs == 1:
        return (0,) if _run_count(cell) == 1 else (FRESH, FRESH)
    sides = [
        side for branch, side in zip(_branches(cell), match.branches[position - 1], strict=True) if branch is not None
    ]
    return tuple(sides) if len(sides) == _run_count(cell) else (FRESH,) * _run_count(cell)


def _output_runs(new: Block, old: Block, match: _Match) -> tuple[Runs, int]:
    """Return the parent's run for each run of the child block's output, and the number of the parent's runs."""
    start: dict[int, int] = {}
    count = 0
    for number, cell in enumerate(old.cells, start=1):
        if cell.included:
            start[number] = count
            count += _run_count(cell)
    runs: list[int | None] = []
    for position, cell in enumerate(new.cells, start=1):
        if cell.included:
            first = start.get(match.cells[position] or 0)
            runs += [
                FRESH if first is None or run is FRESH else first + run for run in _cell_runs(new, old, match, position)
            ]
    return tuple(runs), count


@lru_cache
def _with_weights(operation: Operation) -> tuple[tuple[str, bool], ...]:
    """Return the name suffixes of an operation's layers that have weights, and whether each reads all runs."""
    read = 2 if operation.reads_any_width else 1
    layers = operation.layers(Place("", "read", Shape(read, 1, 1), 1, 1, 0))
    return tuple((layer.name, layer.in_channels > 1) for layer in layers if layer.weights)


def _continued_layers(new: Block, old: Block, match: _Match, position: int, prefix: str) -> dict[str, Continued]:
    """Return which layers of a child cell continue which of the parent's."""
    found: dict[str, Continued] = {}
    number = match.cells[position]
    if number is FRESH:
        return found
    cell, other = new.cells[position - 1], old.cells[number - 1]
    for letter, branch, side in zip("ab", _branches(cell), match.branches[position - 1], strict=True):
        if branch is None or side is FRESH:
            continue
        theirs = _branches(other)[side]
        assert theirs is not None, "only branches that exist are matched"
        ours, base = f"{prefix}_c{position}_{letter}", f"{prefix}_c{number}_{'ab'[side]}"
        runs = _cell_runs(new, old, match, branch.input)
        wide = _run_count(old.cells[theirs.input - 1]) > 1 if theirs.input else False
        was_projected = wide and not theirs.operation.reads_any_width
        if not branch.operation.reads_any_width and len(runs) > 1 and was_projected:
            found |= _reader(f"{ours}_project", f"{base}_project", runs)
        if branch.operation is theirs.operation:
            for end, reads_all in _with_weights(branch.operation):
                found |= _reader(f"{ours}{end}", f"{base}{end}", runs if reads_all else (0,))
    return found
