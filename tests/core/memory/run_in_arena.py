"""A memory that remembers who wrote each byte, and graphs that run on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from memnas_core.memory.arena_rules import ArenaRules, LayerRoles
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.sharing import SharedGraph

Layers = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
Sizes = dict[str, int]

ALONE = ArenaRules(in_place=False, direct_concats=False, counts_inputs=True, counts_outputs=True)
ALL_RULES = [
    ArenaRules(in_place=a, direct_concats=b, counts_inputs=c, counts_outputs=d)
    for a, b, c, d in product((False, True), repeat=4)
]


def profile(graph: SharedGraph) -> tuple[int, ...]:
    return lifetimes(*graph.plain(), "sequential").profile


@dataclass(frozen=True)
class Program:
    layers: Layers
    sizes: Sizes
    roles: LayerRoles


class Memory:
    """Tells each byte by the tensor that it was first written for, and its place in it.

    The parts of a concatenation have the same bytes as the whole. A tensor without an address lies where nothing
    else does.
    """

    def __init__(self, program: Program, address: Mapping[str, int]) -> None:
        self.program = program
        self.address = address
        self.values: dict[str, list[object]] = {}
        self.cells: dict[object, object] = {}

    def cells_of(self, tensor: str) -> list[object]:
        places = range(self.program.sizes[tensor])
        return [self.address[tensor] + n if tensor in self.address else (tensor, n) for n in places]

    def write(self, tensor: str) -> None:
        self.values[tensor] = [f"byte {n} of {tensor}" for n in range(self.program.sizes[tensor])]
        self.cells.update(zip(self.cells_of(tensor), self.values[tensor], strict=True))

    def check(self, *tensors: str) -> None:
        for tensor in tensors:
            assert [self.cells[cell] for cell in self.cells_of(tensor)] == self.values[tensor], f"{tensor} is lost"

    def concatenate(self, reads: Sequence[str], output: str) -> None:
        """Copy one input after the other; none may be lost meanwhile."""
        self.values[output] = [byte for tensor in reads for byte in self.values[tensor]]
        copies = zip(self.cells_of(output), self.values[output], strict=True)
        for tensor in reads:
            self.cells.update(islice(copies, len(self.values[tensor])))
            self.check(*reads)


def run(program: Program, order: Sequence[str], address: Mapping[str, int]) -> None:
    """Run a program in a memory; every layer must find what it reads as it was written."""
    memory = Memory(program, address)
    produced = {tensor for _, writes in program.layers.values() for tensor in writes}
    for tensor in sorted(program.sizes.keys() - produced):
        memory.write(tensor)
    for layer in order:
        reads, (output,) = program.layers[layer]
        memory.check(*reads)
        if layer in program.roles.concats:
            memory.concatenate(reads, output)
            continue
        for tensor in reads:
            if set(memory.cells_of(tensor)) & set(memory.cells_of(output)):
                assert layer in program.roles.elementwise
                assert memory.cells_of(tensor) == memory.cells_of(output)
        memory.write(output)
    memory.check(*program.sizes.keys() - {tensor for reads, _ in program.layers.values() for tensor in reads})
