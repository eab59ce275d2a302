"""Memory planning of ExecuTorch programs by memnas; `plan_memory` is given to ExecuTorch's memory planning pass.

    ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(plan_memory))

ExecuTorch's own planner lets no tensor overwrite another and puts tensors into a few shared objects, the largest
first. Here additions and ReLUs write over an input that nothing needs any more, and offsets are those of
`memnas_core.memory.placement`. The program stays the same; only the places of its tensors change. Working in place is
safe for the portable operators: they read an element of each input before they write the same element of the output.
It is also safe for the addition of CMSIS-NN, in each of its three versions (plain C, DSP and vector instructions): it
reads up to four elements of each input, writes the same elements of the output, and goes on.

The scratch memory that a Cortex-M kernel asks for is an argument that no step writes. It is needed in that one step.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from torch.fx import GraphModule, Node

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph

IN_PLACE = ("aten::relu", "aten::add", "cortex_m::quantized_add")
"""Operators whose kernels may write over an input of the output's size."""

RULES = ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=True)


class TensorSpec(Protocol):
    """The part of ExecuTorch's description of a tensor that is used here."""

    mem_id: int | None
    mem_obj_id: int | None
    mem_offset: int | None

    @property
    def allocated_memory(self) -> int:
        """Bytes of the tensor, rounded up to the alignment."""

    def realign(self, new_alignment: int) -> int:
        """Set the alignment."""


def plan_memory(
    alignment: int, specs: Sequence[TensorSpec], graph_module: GraphModule, _signature: object, extra_padding: int
) -> list[int]:
    """Place each tensor in the arena.

    Args:
        alignment: Number of bytes of which every offset is a multiple.
        specs: Tensors to place; their places are written into them.
        graph_module: The program, in the order in which it runs.
        _signature: Inputs and constants of the program; not needed, because `specs` says the same.
        extra_padding: Bytes to add at the end if a delegate asks for them.

    Returns:
        Bytes of each memory: 0 for constants, and the size of the arena.
    """
    for spec in specs:
        spec.realign(alignment)
    names = {id(spec): f"t{number}" for number, spec in enumerate(specs)}
    sizes = {names[id(spec)]: spec.allocated_memory for spec in specs}
    steps = [node for node in graph_module.graph.nodes if _is_step(node)]
    reads = {node: tuple(dict.fromkeys(_names_of(_read_by(node), names))) for node in steps}
    read = {name for found in reads.values() for name in found}
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for node in steps:
        writes = tuple(dict.fromkeys(_names_of(_written_by(node), names)))
        layers[node.name] = reads[node], writes
        if unread := tuple(name for name in writes if name not in read):
            layers[f"{node.name} done"] = unread, ()  # an unread tensor would stay in memory to the end
    elementwise = {node.name for node in steps if _operator(node) in IN_PLACE}
    roles = LayerRoles(frozenset(elementwise), frozenset(), frozenset())
    plan = plan_shared(shared_graph(layers, sizes, roles, RULES, alignment=alignment), alignment)
    homes = {placement.tensor: placement.home for placement in plan.placements}
    objects = {home: number for number, home in enumerate(dict.fromkeys(homes.values()))}
    for spec in specs:
        tensor = names[id(spec)]
        spec.mem_id, spec.mem_offset, spec.mem_obj_id = 1, plan.offsets[tensor], objects[homes[tensor]]
    return [0, plan.bytes + extra_padding]


def _is_step(node: Node) -> bool:
    """Return whether a node reads or writes tensors; other nodes reserve memory, or rename a tensor."""
    return node.op == "output" or (node.op == "call_function" and _name(node) not in ("alloc", "getitem", "view"))


def _name(node: Node) -> str:
    return getattr(node.target, "__name__", "")


def _operator(node: Node) -> str:
    return str(getattr(getattr(node.target, "_schema", None), "name", ""))


def _written_by(node: Node) -> Iterator[Node]:
    """Yield the nodes that stand for what a step writes: the step itself, and the memory reserved for it.

    This is memory for its results and scratch memory; ExecuTorch reserves each piece for one step.
    """
    if node.op != "output":
        yield node
        yield from (argument for argument in node.all_input_nodes if _name(argument) == "alloc")


def _read_by(node: Node) -> Iterator[Node]:
    written = list(_written_by(node))
    return (argument for argument in node.all_input_nodes if argument not in written)


def _names_of(nodes: Iterable[Node], names: Mapping[int, str]) -> Iterator[str]:
    """Yield the names of the nodes' tensors that are to be placed; a view stands for the tensor that it views."""
    for node in nodes:
        found = _viewed(node).meta.get("spec")
        for spec in found if isinstance(found, list | tuple) else (found,):
            if id(spec) in names:
                yield names[id(spec)]


def _viewed(node: Node) -> Node:
    return _viewed(node.all_input_nodes[0]) if _name(node) == "view" else node
