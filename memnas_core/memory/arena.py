"""The arena: a piece of memory that holds all activations, each at its own offset.

A runtime without an allocator reserves one arena before it starts. It cannot be smaller than the peak under
`sequential`, and is larger if gaps between tensors cannot be used. `memnas_core.memory.placement` finds the offsets,
`memnas_core.memory.sharing` decides which tensors share memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from memnas_core.errors import GraphError
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.placement import Buffer, place, used_bytes
from memnas_core.memory.sharing import SharedGraph
from memnas_core.memory.steps import aligned


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of a tensor in the arena, and the steps in which it is there.

    Attributes:
        tensor: Name of the tensor.
        bytes: Size of the tensor, without padding for alignment.
        offset: First byte of the tensor in the arena.
        born: First step in which the tensor is in memory, from 1.
        last: Last step in which the tensor is in memory.
        home: Owner of the memory: the tensor itself, or a tensor that takes all of this memory.
    """

    tensor: str
    bytes: int
    offset: int
    born: int
    last: int
    home: str


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """An arena for the layers of a graph in one order.

    Attributes:
        placements: Placement of each tensor in the arena, in order of birth.
        bytes: Size of the arena, a multiple of `alignment`.
        lower_bound: Bytes that every arena for this order needs: the peak of what is in memory, each piece rounded up
            to a multiple of `alignment`.
        alignment: Number of bytes of which every offset is a multiple.
        layers: Layer that runs in each step, from step 1.
    """

    placements: tuple[Placement, ...]
    bytes: int
    lower_bound: int
    alignment: int
    layers: tuple[str, ...]

    @property
    def is_optimal(self) -> bool:
        """Whether the arena has the size of the lower bound; a larger arena may be optimal all the same."""
        return self.bytes == self.lower_bound

    @property
    def offsets(self) -> Mapping[str, int]:
        """Tensor name -> first byte of the tensor in the arena."""
        return {placement.tensor: placement.offset for placement in self.placements}

    def reserved(self) -> tuple[Placement, ...]:
        """Return the pieces of memory, each in use from the first to the last step of all tensors that lie in it."""
        homes: dict[str, list[Placement]] = {}
        for placement in self.placements:
            homes.setdefault(placement.home, []).append(placement)
        pieces = []
        for home, tenants in homes.items():
            born, last = min(tenant.born for tenant in tenants), max(tenant.last for tenant in tenants)
            (owner,) = (tenant for tenant in tenants if tenant.tensor == home)
            pieces.append(Placement(home, owner.bytes, owner.offset, born, last, home))
        return tuple(pieces)


def plan_shared(graph: SharedGraph, alignment: int = 1) -> ArenaPlan:
    """Plan an arena for a graph whose tensors may share memory.

    Tensors that are left out have no placement.

    Raises:
        GraphError: The alignment is not positive.
    """
    if alignment < 1:
        raise GraphError(f"alignment: expected a positive number of bytes, found {alignment}")
    plain = {row.tensor: row for row in lifetimes(*graph.plain(), "sequential").rows}
    pieces = {home: plain[name] for home, name in graph.memory_names().items()}
    buffers = [Buffer(aligned(piece.bytes, alignment), piece.born, piece.last) for piece in pieces.values()]
    offsets = dict(zip(pieces, place(buffers), strict=True))
    placements = []
    for row in lifetimes(graph.layers, graph.sizes, "sequential").rows:
        if row.tensor in graph.homes:
            home = graph.homes[row.tensor]
            offset = offsets[home.tensor] + home.offset
            placements.append(Placement(row.tensor, row.bytes, offset, row.born, row.last, home.tensor))
    return ArenaPlan(
        tuple(placements),
        max((offset + buffer.size for offset, buffer in zip(offsets.values(), buffers, strict=True)), default=0),
        max(used_bytes(buffers)),
        alignment,
        tuple(graph.layers),
    )
