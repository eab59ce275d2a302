"""A checked dataflow graph with numbers in place of names, as `lifetimes` and `order_search` use it."""

from collections.abc import Mapping, Sequence

from memnas_core.errors import GraphError

Layers = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Layer name -> (names of the tensors it reads, names of the tensors it writes)."""

Sizes = Mapping[str, int]
"""Tensor name -> bytes."""


class Dataflow:
    """A graph whose layers and tensors are numbered in the order given; sets of layers are bit masks.

    Attributes:
        layer_names: Name of each layer.
        tensor_names: Name of each tensor.
        size: Bytes of each tensor.
        inputs: Tensors that each layer reads, each once.
        outputs: Tensors that each layer writes, each once.
        producer: Mask of the layer that writes each tensor; 0 for an input of the graph.
        readers: Mask of the layers that read each tensor.
        predecessors: Mask of the layers whose outputs each layer reads.
        successors: Layers that read each layer's outputs.
        steps: Layers of each step if every layer runs as soon as its inputs exist.

    Raises:
        GraphError: A tensor has no size, a negative size or two producers, or the graph has a cycle.
    """

    __slots__ = (
        "inputs",
        "layer_names",
        "outputs",
        "predecessors",
        "producer",
        "readers",
        "size",
        "steps",
        "successors",
        "tensor_names",
    )

    def __init__(self, layers: Layers, sizes: Sizes) -> None:
        number = {tensor: place for place, tensor in enumerate(sizes)}
        self.layer_names = tuple(layers)
        self.tensor_names = tuple(sizes)
        self.size = list(sizes.values())
        try:
            self.inputs = [[number[t] for t in dict.fromkeys(reads)] for reads, _ in layers.values()]
            self.outputs = [[number[t] for t in dict.fromkeys(writes)] for _, writes in layers.values()]
        except KeyError as error:
            raise GraphError(_no_size(layers, error.args[0])) from None
        for tensor, size in enumerate(self.size):
            if size < 0:
                raise GraphError(f"tensor {self.tensor_names[tensor]!r}: expected its bytes, found {size}")
        self.producer = [0] * len(sizes)
        self.readers = [0] * len(sizes)
        for layer, writes in enumerate(self.outputs):
            for tensor in writes:
                if self.producer[tensor]:
                    raise GraphError(self._two_producers(tensor, layer))
                self.producer[tensor] = 1 << layer
        self.predecessors = [0] * len(layers)
        writer = {tensor: layer for layer, writes in enumerate(self.outputs) for tensor in writes}
        self.successors: list[list[int]] = [[] for _ in layers]
        for layer, reads in enumerate(self.inputs):
            mask = 1 << layer
            for tensor in reads:
                self.readers[tensor] |= mask
                self.predecessors[layer] |= self.producer[tensor]
            for before in {writer[tensor] for tensor in reads if tensor in writer}:
                self.successors[before].append(layer)
        self.steps = self._steps()

    def start_bytes(self) -> int:
        """Return the bytes of the graph's inputs."""
        return sum(size for size, producer in zip(self.size, self.producer, strict=True) if not producer)

    def _two_producers(self, tensor: int, layer: int) -> str:
        first = self.layer_names[self.producer[tensor].bit_length() - 1]
        return (
            f"tensor {self.tensor_names[tensor]!r}: expected one layer to write it, found {first!r} and "
            f"{self.layer_names[layer]!r}"
        )

    def _steps(self) -> list[list[int]]:
        steps = []
        missing = [before.bit_count() for before in self.predecessors]
        ready = [layer for layer, count in enumerate(missing) if not count]
        while ready:
            steps.append(ready)
            reached = [after for layer in ready for after in self.successors[layer]]
            for layer in reached:
                missing[layer] -= 1
            ready = sorted({layer for layer in reached if not missing[layer]})
        stuck = [name for name, count in zip(self.layer_names, missing, strict=True) if count]
        if stuck:
            names = ", ".join(map(repr, stuck[:5]))
            raise GraphError(f"layers {names}: expected an order in which they can run, found a cycle")
        return steps


def successors(predecessors: Sequence[int]) -> list[list[int]]:
    """Return for each layer the layers that it is a predecessor of, in ascending order."""
    after: list[list[int]] = [[] for _ in predecessors]
    for layer, left in enumerate(predecessors):
        before = left
        while before:
            lowest = before & -before
            after[lowest.bit_length() - 1].append(layer)
            before ^= lowest
    return after


def _no_size(layers: Layers, tensor: str) -> str:
    layer = next(name for name, (reads, writes) in layers.items() if tensor in {*reads, *writes})
    return f"tensor {tensor!r} of layer {layer!r}: expected its bytes, found none"
