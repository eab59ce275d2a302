"""Which channels of its base's layers each layer of a candidate takes over.

`memnas_core.training.inheritance` says which layer continues which, run by run. Where a block has another number of
filters than in the base, channels of its runs go or come. This module decides which: a narrowed block keeps the
channels with the largest scales of batch norm, a widened one keeps all and gets fresh ones beside them.

Layers that keep channels (depthwise, pooling) tie their input to their output, and a sum ties its two inputs. Channels
that are tied form a *group*, and all its layers keep the same ones. A group that holds the block's input has no choice
where the input is not projected: it has the channels that the block before has left.

    symbol    meaning
    position  number of a channel in the base's tensor that stands in the same place; GONE where it has none
    node      a run of channels in a block of the candidate: the output of a convolution, or the block's input

Source: not in the paper. Scales as a measure of importance are those of network slimming (Liu et al., ICCV 2017).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memnas_core.space.layers import Layer, LayerKind
from memnas_core.training.inheritance import FRESH, Entry, Inheritance, Runs

GONE = -1
"""Position of a channel without a counterpart in the base."""

Positions = npt.NDArray[np.int64]
Scales = Mapping[str, npt.NDArray[np.float64]]
"""Convolution of the base -> the absolute scale of its batch norm for each output channel, shape (channels,)."""


class Channels(NamedTuple):
    """What a layer takes over from one of its base's.

    Attributes:
        layer: Name of the base's layer; None: a new projection, which passes on what it reads.
        outputs: Position of each output channel, shape (out,); a layer gives fresh weights to those that are GONE.
        inputs: Position of each input channel, shape (in,); weights are zero for those that are GONE. Without meaning
            for depthwise layers.
    """

    layer: str | None
    outputs: Positions
    inputs: Positions


class _Incoming(NamedTuple):
    """The candidate's tensor that enters a block, beside the base's.

    Attributes:
        positions: Position of each channel, shape (channels of the candidate's tensor,).
        scales: Importance of each position, shape (channels of the base's tensor,).
    """

    positions: Positions
    scales: npt.NDArray[np.float64]


def inherited_channels(layers: Sequence[Layer], inheritance: Inheritance, scales: Scales) -> dict[str, Channels]:
    """Return what each layer takes over, for all layers that continue one of the base's or pass on what they read.

    Args:
        layers: Layers of the candidate, each after those that it reads.
        inheritance: The candidate's inheritance from its base.
        scales: Scales of the base's batch norms.
    """
    by_name = {layer.name: layer for layer in layers}
    stem = _same(by_name["stem"].output.channels)
    found = {"stem": Channels("stem", stem, _same(by_name["stem"].in_channels))}
    incoming = _Incoming(stem, scales["stem"])
    for number, entry in enumerate(inheritance.entries[:-1], start=1):
        block = _Block([layer for layer in layers if layer.block == number], number, entry, incoming)
        block.choose(inheritance, scales)
        found |= block.taken_over(inheritance)
        incoming = block.outgoing(_output_of(layers, number), inheritance.entries[number])
    if "classifier" in inheritance.continued:
        classes = by_name["classifier"].output.channels
        found["classifier"] = Channels("classifier", _same(classes), incoming.positions)
    return found


def _same(count: int) -> Positions:
    return np.arange(count, dtype=np.int64)


def _output_of(layers: Sequence[Layer], number: int) -> str:
    """Return the name of the tensor that leaves a block: what the next part with layers reads from before."""
    for later in range(number + 1, max(layer.block for layer in layers) + 1):
        own = [layer for layer in layers if layer.block == later]
        names = {layer.name for layer in own}
        if own:
            return next(name for layer in own for name in layer.inputs if name not in names)
    return next(layer for layer in layers if layer.kind is LayerKind.GLOBAL_AVERAGE_POOL).inputs[0]


_INPUT = ""
"""Name of the node that stands for the input of a block."""


class _Block:
    """The nodes of one block of the candidate, and the positions of their channels."""

    def __init__(self, layers: Sequence[Layer], number: int, entry: Entry, incoming: _Incoming) -> None:
        """Find the nodes and the groups that they form.

        Args:
            layers: The block's layers.
            number: Number of the block.
            entry: What enters the block.
            incoming: Channels of what enters the block.
        """
        self._layers = layers
        self._projection = f"b{number}_project"
        self._entry = entry
        self._incoming = incoming
        self._group: dict[str, str] = {_INPUT: _INPUT}
        self._nodes: dict[str, tuple[str, ...]] = {}
        self._width = {_INPUT: entry.block_widths[0]}
        self._positions: dict[str, Positions] = {}
        self._scales: dict[str, npt.NDArray[np.float64]] = {}
        for layer in layers:
            self._nodes[layer.name] = self._written(layer)

    def _read(self, tensor: str) -> tuple[str, ...]:
        """Return the nodes of a tensor that a layer of the block reads."""
        return self._nodes.get(tensor, (_INPUT,))

    def _written(self, layer: Layer) -> tuple[str, ...]:
        """Return the nodes of a layer's output, and tie those that a sum joins."""
        read = [self._read(name) for name in layer.inputs]
        if layer.kind is LayerKind.CONCAT:
            return tuple(node for nodes in read for node in nodes)
        is_mixed = len({len(nodes) for nodes in read}) > 1  # only operations of a user's own join such tensors
        if is_mixed or (layer.kind is LayerKind.CONV and not _keeps_channels(layer)):
            self._group[layer.name], self._width[layer.name] = layer.name, layer.output.channels
            return (layer.name,)
        for other in read[1:]:
            for one, two in zip(read[0], other, strict=True):
                self._tie(one, two)
        return read[0]

    def _tie(self, one: str, two: str) -> None:
        first, second = self._group[one], self._group[two]
        kept, gone = (second, first) if second == _INPUT else (first, second)
        for node, group in self._group.items():
            if group == gone:
                self._group[node] = kept

    def choose(self, inheritance: Inheritance, scales: Scales) -> None:
        """Decide the positions of the channels of all groups."""
        is_projected = any(layer.name == self._projection for layer in self._layers)
        new, old = self._entry.block_widths
        for group in dict.fromkeys(self._group.values()):
            known = list(self._scales_of(group, inheritance, scales))
            width = self._width[group]
            count = len(known[0]) if known else (old if width == new else width)
            important = np.sum([np.zeros(count), *(one for one in known if len(one) == count)], axis=0)
            if group == _INPUT and not is_projected:
                positions = self._incoming.positions if self._entry.is_read else _kept(width, important)
                important = self._incoming.scales if self._entry.is_read else important
            elif group == self._group.get(self._projection) and self._projection in inheritance.passed_on:
                positions = _kept(width, important, self._incoming.positions)
            else:
                positions = _kept(width, important)
            self._positions[group], self._scales[group] = positions, important

    def _scales_of(self, group: str, inheritance: Inheritance, scales: Scales) -> Iterator[npt.NDArray[np.float64]]:
        """Yield the scales of all layers of the base that the layers of a group continue."""
        for layer in self._layers:
            nodes = self._nodes[layer.name]
            places = [place for place, node in enumerate(nodes) if self._group[node] == group]
            if layer.kind is not LayerKind.CONV or not places:
                continue
            if layer.name in inheritance.continued:
                theirs, runs = inheritance.continued[layer.name]
                if len(nodes) == 1:
                    yield scales[theirs]
                elif len(nodes) == len(runs):
                    yield from (
                        self._of_run(scales[theirs], run) for place in places if (run := runs[place]) is not FRESH
                    )
            elif layer.name in inheritance.passed_on:
                yield self._incoming.scales

    def _of_run(self, scales: npt.NDArray[np.float64], run: int) -> npt.NDArray[np.float64]:
        """Return the scales of one of the runs that a depthwise layer of the base keeps."""
        width = self._entry.block_widths[1]
        return scales[run * width : (run + 1) * width]

    def _at(self, node: str) -> Positions:
        return self._positions[self._group[node]]

    def taken_over(self, inheritance: Inheritance) -> dict[str, Channels]:
        """Return what the block's layers take over."""
        found: dict[str, Channels] = {}
        for layer in self._layers:
            if layer.kind is not LayerKind.CONV:
                continue
            outputs, source = self._at(self._nodes[layer.name][0]), layer.inputs[0]
            if layer.name == self._projection:
                continued = inheritance.continued.get(layer.name)
                if continued or layer.name in inheritance.passed_on:
                    theirs = continued.layer if continued else None
                    found[layer.name] = Channels(theirs, outputs, self._incoming.positions)
            elif layer.name in inheritance.continued:
                continued, nodes = inheritance.continued[layer.name], self._read(source)
                if len(nodes) == len(continued.runs):
                    read = self._joined(nodes, continued.runs)
                    found[layer.name] = Channels(continued.layer, read if _keeps_channels(layer) else outputs, read)
        return found

    def _joined(self, nodes: Sequence[str], runs: Runs) -> Positions:
        """Return the positions of the channels of a tensor that consists of nodes, which are these runs of the base."""
        parts = []
        for node, run in zip(nodes, runs, strict=True):
            own = self._at(node)
            shift = 0 if run is FRESH else run * self._entry.block_widths[1]
            parts.append(np.where((own == GONE) | (run is FRESH), GONE, own + shift))
        return np.concatenate(parts)

    def outgoing(self, output: str, entry: Entry) -> _Incoming:
        """Return the channels of the block's output.

        Args:
            output: Name of the block's output.
            entry: What enters the next block, or the classifier.
        """
        nodes, width = self._read(output), self._entry.block_widths[1]
        important = np.zeros(entry.base_runs * width)
        for node, run in zip(nodes, entry.runs, strict=True):
            own = self._scales[self._group[node]]
            if run is not FRESH and len(own) == width:
                important[run * width : (run + 1) * width] = own
        return _Incoming(self._joined(nodes, entry.runs), important)


def _keeps_channels(layer: Layer) -> bool:
    """Return whether a convolution is depthwise with one output for each input."""
    return layer.groups > 1 and layer.groups == layer.in_channels == layer.output.channels


def _kept(width: int, important: npt.NDArray[np.float64], available: Positions | None = None) -> Positions:
    """Return the positions that a group keeps, in their order, the most important if not all; then GONE.

    Args:
        width: Channels of the group in the candidate.
        important: Importance of each position in the base, shape (channels in the base,).
        available: Positions that there are; None: all.
    """
    there = _same(len(important)) if available is None else np.unique(available[available != GONE])
    kept = np.sort(there[np.argsort(-important[there], kind="stable")[:width]])
    return np.concatenate([kept, np.full(width - len(kept), GONE)])
