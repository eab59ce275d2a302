"""The rules of tracing written down once more, as simply as can be, on a run with real data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ELEMENT_WISE = {"relu", "mul", "add", "sub", "sigmoid", "tanh", "clone"}
MAKES = {"randn_like", "zeros", "empty_like"}
"""Operations of which only shapes of their arguments count."""


class Figures(NamedTuple):
    """What is compared: the peak of `sequential` in elements, the number of layers, names of the state."""

    sequential: int
    layers: int
    state: tuple[str, ...]


@dataclass
class Operation:
    reads: list[int]
    writes: int
    is_in_place: bool  # could be


@dataclass
class Watcher(TorchDispatchMode):
    """Numbers what storages hold; a write begins a new number."""

    state: Mapping[str, Tensor]
    size: list[int] = field(default_factory=list)
    state_of: dict[int, int] = field(default_factory=dict)  # number -> storage of the state that it lies in
    holds: dict[int, int] = field(default_factory=dict)  # storage -> number
    operations: list[Operation] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    storages: list[torch.UntypedStorage] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.states = {self.place(tensor) for tensor in self.state.values()}

    def place(self, tensor: Tensor) -> int:
        self.storages.append(tensor.untyped_storage())  # stays, so that its address is not used again
        return self.storages[-1].data_ptr()

    def begin(self, tensor: Tensor) -> int:
        place = self.place(tensor)
        self.holds[place] = number = len(self.size)
        self.size.append(0 if place in self.states else tensor.untyped_storage().nbytes() // 4)
        if place in self.states:
            self.state_of[number] = place
        return number

    def numbers(self, tensors: Sequence[Tensor]) -> list[int]:
        return [self.holds[place] for place in map(self.place, tensors) if place in self.holds]

    def __torch_dispatch__(
        self, func: OpOverload, _types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        writes = name.endswith("_") and name != "transpose_"
        if not writes and {*map(self.place, made)} <= {*map(self.place, given)}:
            return result  # a view
        (target,) = given[:1] if writes else made
        sources = [] if name in MAKES else [tensor for tensor in given if self.place(tensor) in self.holds]
        if not sources and name != "randn_like":
            self.holds.pop(self.place(target), None)
            return result
        is_alike = len(sources) == 1 and layout(sources[0]) == layout(target)
        reads = sorted(set(self.numbers(sources)))
        self.written.add(self.place(target))
        self.operations.append(Operation(reads, self.begin(target), name.strip("_") in ELEMENT_WISE and is_alike))
        return result


def layout(tensor: Tensor) -> tuple[object, ...]:
    steps = [(side, step) for side, step in zip(tensor.shape, tensor.stride(), strict=True) if side > 1]
    return steps, tensor.storage_offset(), tensor.untyped_storage().nbytes()


@contextmanager
def unchanged(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield the buffers of a network, and put them and their values back."""
    buffers = dict(network._buffers)
    values = {name: buffer.clone() for name, buffer in buffers.items()}
    yield dict(buffers)
    for name, buffer in buffers.items():
        network._buffers[name] = buffer.copy_(values[name])


def second_figures(network: nn.Module, image: Tensor) -> Figures:
    """Return the figures of a network whose own buffers are all that it keeps."""
    state: dict[str, Tensor] = {}
    while True:
        with unchanged(network) as before, torch.no_grad():
            watcher, given = Watcher(state), image.clone()
            (start, *_) = [watcher.begin(tensor) for tensor in (given, *state.values())]
            with watcher:
                returned = network(given)
            old = {name: watcher.place(buffer) for name, buffer in before.items()}
            new = {name: watcher.place(buffer) for name, buffer in network._buffers.items()}
            kept = {*watcher.numbers(tree_leaves(returned)), *watcher.numbers(list(network._buffers.values()))}
        replaced = {name for name in old if old[name] != new[name]}
        found = {name for name in old if old[name] in watcher.written}
        found |= {name for name in replaced if new[name] in watcher.holds}
        found |= {name for name in replaced if new[name] in {old[other] for other in found}}
        if found <= state.keys():
            break
        state = {name: before[name] for name in sorted(found | state.keys())}
    return _figures(watcher, start, kept)


def _figures(watcher: Watcher, start: int, kept: set[int]) -> Figures:
    needed, operations = set(kept), []
    for operation in reversed(watcher.operations):
        if operation.writes in needed:
            needed.update(operation.reads)
            operations.insert(0, operation)
    layers: list[tuple[list[int], list[int]]] = []  # numbers that are read, and that lie in the one result in turn
    for operation in operations:
        source = operation.reads[0] if operation.reads else -1
        writers = [layer for layer in layers if layer[1][-1] == source]
        readers = sum(source in other.reads for other in operations)
        stays = watcher.state_of.get(source) == watcher.state_of.get(operation.writes)
        if operation.is_in_place and writers and readers == 1 and source not in kept and stays:
            writers[0][1].append(operation.writes)
        else:
            layers.append((operation.reads, [operation.writes]))
    always = sum(tensor.numel() for tensor in watcher.state.values())
    alive = {start} & ({number for reads, _ in layers for number in reads} | kept)
    peak = sum(watcher.size[number] for number in alive)
    for place, (_, writes) in enumerate(layers):
        alive.add(writes[-1])
        peak = max(peak, sum(watcher.size[number] for number in alive))
        later = {number for reads, _ in layers[place + 1 :] for number in reads}
        alive &= later | kept
    return Figures(always + peak, len(layers), tuple(sorted(watcher.state)))
