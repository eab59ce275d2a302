"""The arena of a network, and the tensors at its peak."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from memnas_core.memory.arena import ArenaPlan, plan_shared
from memnas_core.memory.arena_rules import ArenaRules, shared_graph
from memnas_core.memory.block_arena import ARENA
from memnas_core.memory.depthwise import with_depthwise_in_place
from memnas_core.memory.report import DescribedGraph, MemoryReport, PeakStep, live_tensors, tensor_bytes
from memnas_core.memory.runtime_operators import runtime_graph
from memnas_core.memory.sharing import SharedGraph
from memnas_core.memory.steps import profile
from memnas_core.space.graph import Graph


@dataclass(frozen=True, slots=True)
class ArenaReport:
    """An arena and the assumptions behind it.

    Attributes:
        plan: Plan of the arena.
        rules: Rules by which the runtime lays out activations.
        depthwise_in_place: Whether depthwise convolutions may write over their input.
        operators: `executorch` if the operators are those that ExecuTorch makes of an architecture's layers, as under
            the convention `arena` of a search; `layers` if they are a torch network's layers as they are.
        order: Convention whose order the layers run in: `minimum`, or `sequential` for the order of the graph.
        shapes: Tensor name -> shape.
        at_peak: First step with the most bytes in memory. Memory that tensors share is listed once, under the name of
            the tensor that takes all of it.
    """

    plan: ArenaPlan
    rules: ArenaRules
    depthwise_in_place: bool
    operators: str
    order: str
    shapes: Mapping[str, tuple[int, ...]]
    at_peak: PeakStep

    def document(self) -> dict[str, object]:
        """Return the arena as a JSON document."""
        return {
            "bytes": self.plan.bytes,
            "lower_bound_bytes": self.plan.lower_bound,
            "is_optimal": self.plan.is_optimal,
            "alignment": self.plan.alignment,
            "operators": self.operators,
            "order": self.order,
            "rules": asdict(self.rules) | ({"depthwise_in_place": True} if self.depthwise_in_place else {}),
            "at_peak": asdict(self.at_peak),
            "layers": self.plan.layers,
            "placements": [asdict(placement) for placement in self.plan.placements],
        }


def arena_report(
    graph: Graph | DescribedGraph,
    report: MemoryReport,
    rules: ArenaRules,
    activation_bytes: float,
    order: str,
    alignment: int,
    depthwise_in_place: bool = False,
) -> ArenaReport:
    """Plan the arena of a graph.

    Args:
        graph: The network.
        report: Memory report of the graph, which has the orders.
        rules: Rules by which the runtime lays out activations.
        activation_bytes: Bytes of one activation.
        order: Convention whose order the layers run in: `minimum` or `sequential`.
        alignment: Number of bytes of which every offset is a multiple.
        depthwise_in_place: Whether depthwise convolutions may write over their input.
    """
    running = [layer for step in report.tables[order].steps for layer in step]
    shapes: Mapping[str, tuple[int, ...]]
    if isinstance(graph, Graph):
        operators = "executorch"
        shared, shapes = _operators(graph, rules, int(activation_bytes), running, alignment)
        depthwise = frozenset(layer.name for layer in graph.layers if 1 < layer.groups == layer.in_channels)
    else:
        operators, shapes = "layers", graph.shapes()
        layers, sizes = graph.plain(), tensor_bytes(graph, activation_bytes)
        shared = shared_graph(layers, sizes, graph.roles(), rules, running, alignment)
        depthwise = graph.depthwise()
    plan = plan_shared(shared, alignment)
    if depthwise_in_place:
        others = [plan_shared(other, alignment) for other in with_depthwise_in_place(shared, depthwise)]
        plan = min(plan, *others, key=lambda plan: plan.bytes)
    return ArenaReport(plan, rules, depthwise_in_place, operators, order, shapes, _peak_step(plan, shapes))


def _operators(
    graph: Graph, rules: ArenaRules, activation_bytes: int, running: Sequence[str], alignment: int
) -> tuple[SharedGraph, Mapping[str, tuple[int, ...]]]:
    """Return the operators that a runtime makes of an architecture, and the shapes of their tensors."""
    by_name = {layer.name: layer for layer in graph.layers}
    ordered = replace(graph, layers=tuple(by_name[name] for name in running))
    made = runtime_graph(ordered, replace(ARENA, rules=rules, alignment=alignment), activation_bytes)
    return shared_graph(made.layers, made.sizes, made.roles, rules, alignment=alignment), made.shapes


def used_in_steps(plan: ArenaPlan) -> list[int]:
    """Return the bytes of an arena that are in use in each step, without padding for alignment."""
    return profile(((piece.bytes, piece.born, piece.last) for piece in plan.reserved()), len(plan.layers))


def _peak_step(plan: ArenaPlan, shapes: Mapping[str, tuple[int, ...]]) -> PeakStep:
    used = used_in_steps(plan)
    step = used.index(max(used)) + 1
    return PeakStep(step, plan.layers[step - 1 : step], live_tensors(plan.reserved(), step, shapes))
