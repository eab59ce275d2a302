"""The arena: one piece of memory that holds all activations, and an offset in it for each of them.

A runtime without an allocator reserves one arena before it starts. It cannot be smaller than the peak under
`sequential`, and is larger where gaps between tensors cannot be used. `memnas_core.placement` tells how the
offsets are found, `memnas_core.sharing` which tensors may share memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memnas_core.dataflow import Layers, Sizes
from memnas_core.errors import GraphError
from memnas_core.memory import lifetimes
from memnas_core.placement import Buffer, place, used_bytes
from memnas_core.sharing import SharedGraph, unshared


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and when a tensor is in the arena.

    Attributes:
        tensor: Its name.
        bytes: Its size, without what alignment adds.
        offset: Its first byte in the arena.
        born: First step in which it is in memory, from 1.
        last: Last step in which it is.
        home: Whose memory it lies in: its own name, or that of a tensor that takes all of this memory.
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
        placements: One for each tensor in the arena, in order of birth.
        bytes: Size of the arena, a multiple of `alignment`.
        lower_bound: No arena for this order is smaller: the peak of what is in memory, each piece rounded up to
            a multiple of `alignment`.
        alignment: Every offset is a multiple of so many bytes.
        layers: What runs in each step, the first being step 1.
    """

    placements: tuple[Placement, ...]
    bytes: int
    lower_bound: int
    alignment: int
    layers: tuple[str, ...]

    @property
    def is_optimal(self) -> bool:
        """Whether the lower bound shows that no arena is smaller; one above it may be optimal all the same."""
        return self.bytes == self.lower_bound

    @property
    def offsets(self) -> Mapping[str, int]:
        """Tensor name -> its first byte in the arena."""
        return {placement.tensor: placement.offset for placement in self.placements}

    def reserved(self) -> tuple[Placement, ...]:
        """Return the pieces of memory that tensors lie in, each from the first to the last step of all of them."""
        homes: dict[str, list[Placement]] = {}
        for placement in self.placements:
            homes.setdefault(placement.home, []).append(placement)
        pieces = []
        for home, tenants in homes.items():
            born, last = min(tenant.born for tenant in tenants), max(tenant.last for tenant in tenants)
            (owner,) = (tenant for tenant in tenants if tenant.tensor == home)
            pieces.append(Placement(home, owner.bytes, owner.offset, born, last, home))
        return tuple(pieces)


def plan_arena(layers: Layers, sizes: Sizes, order: Sequence[str] | None = None, alignment: int = 1) -> ArenaPlan:
    """Plan an arena in which each tensor has memory of its own.

    The arena is never larger than with greedy-by-size.

    Args:
        layers: Layer name -> (names of inputs, names of outputs).
        sizes: Tensor name -> bytes.
        order: The order in which layers run; default: the order of `layers`.
        alignment: Every offset is a multiple of so many bytes.

    Raises:
        GraphError: The graph is cyclic or incomplete, the order impossible, or the alignment not positive.

    Source: `memnas_core.placement`.
    """
    return plan_shared(unshared(layers, sizes, order), alignment)


def plan_shared(graph: SharedGraph, alignment: int = 1) -> ArenaPlan:
    """Plan an arena for a graph whose tensors may share memory; else as `plan_arena`.

    Tensors that are left out have no placement.

    Raises:
        GraphError: The alignment is not positive.
    """
    if alignment < 1:
        raise GraphError(f"alignment: expected a positive number of bytes, found {alignment}")
    plain = {row.tensor: row for row in lifetimes(*graph.plain(), "sequential").rows}
    pieces = {home: plain[name] for home, name in graph.memory_names().items()}
    buffers = [Buffer(-(-piece.bytes // alignment) * alignment, piece.born, piece.last) for piece in pieces.values()]
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
