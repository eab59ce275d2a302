"""The arena of one network, and which tensors make its peak."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from memnas_core.arena import ArenaPlan, plan_shared
from memnas_core.arena_rules import ArenaRules, shared_graph
from memnas_core.block_arena import ARENA
from memnas_core.graph import Graph
from memnas_core.memory_report import DescribedGraph, LiveTensor, MemoryReport, PeakStep
from memnas_core.runtime_arena import runtime_graph
from memnas_core.sharing import SharedGraph


@dataclass(frozen=True, slots=True)
class ArenaReport:
    """An arena and how it came about.

    Attributes:
        plan: The arena.
        rules: What the runtime does.
        operators: `executorch` where the arena holds what ExecuTorch makes of an architecture's layers, as the
            convention `arena` of a search does; `layers` where it holds a torch network's layers as they are.
        order: Whose order the layers run in: `minimum`, or `sequential` for the order in which they are written.
        shapes: Of every tensor.
        at_peak: The first step that has most bytes in memory. Memory that tensors share is in it once, under the
            name of the tensor that takes all of it.
    """

    plan: ArenaPlan
    rules: ArenaRules
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
            "rules": asdict(self.rules),
            "at_peak": asdict(self.at_peak),
            "layers": self.plan.layers,
            "placements": [asdict(placement) for placement in self.plan.placements],
        }


def arena_report(
    graph: Graph | DescribedGraph,
    report: MemoryReport,
    rules: ArenaRules,
    activation_bytes: int,
    order: str,
    alignment: int,
) -> ArenaReport:
    """Plan the arena of a graph.

    Args:
        graph: The layers.
        report: Its memory, with the orders.
        rules: What the runtime does.
        activation_bytes: Bytes of one activation.
        order: `minimum` or `sequential`: the order in which the layers run.
        alignment: Every offset is a multiple of so many bytes.
    """
    running = [layer for step in report.tables[order].steps for layer in step]
    shapes: Mapping[str, tuple[int, ...]]
    if isinstance(graph, Graph):
        operators = "executorch"
        shared, shapes = _operators(graph, rules, activation_bytes, running, alignment)
    else:
        operators, shapes = "layers", graph.shapes()
        layers, sizes = graph.plain(), graph.sizes(activation_bytes)
        shared = shared_graph(layers, sizes, graph.roles(), rules, running, alignment)
    plan = plan_shared(shared, alignment)
    return ArenaReport(plan, rules, operators, order, shapes, _peak_step(plan, shapes))


def _operators(
    graph: Graph, rules: ArenaRules, activation_bytes: int, running: Sequence[str], alignment: int
) -> tuple[SharedGraph, Mapping[str, tuple[int, ...]]]:
    """Return what a runtime makes of an architecture, and the shapes of its tensors."""
    by_name = {layer.name: layer for layer in graph.layers}
    ordered = replace(graph, layers=tuple(by_name[name] for name in running))
    made = runtime_graph(ordered, replace(ARENA, rules=rules, alignment=alignment), activation_bytes)
    return shared_graph(made.layers, made.sizes, made.roles, rules, alignment=alignment), made.shapes


def used_in_steps(plan: ArenaPlan) -> list[int]:
    """Return the bytes of an arena that are in use in each step, without what alignment adds."""
    change = [0] * (len(plan.layers) + 2)
    for piece in plan.reserved():
        change[piece.born - 1] += piece.bytes
        change[piece.last] -= piece.bytes
    used, total = [], 0
    for step in range(max(len(plan.layers), 1)):
        total += change[step]
        used.append(total)
    return used


def _peak_step(plan: ArenaPlan, shapes: Mapping[str, tuple[int, ...]]) -> PeakStep:
    used = used_in_steps(plan)
    step = used.index(max(used)) + 1
    alive = sorted((piece for piece in plan.reserved() if piece.born <= step <= piece.last), key=lambda p: -p.bytes)
    tensors = tuple(LiveTensor(piece.tensor, tuple(shapes[piece.tensor]), piece.bytes) for piece in alive)
    return PeakStep(step, plan.layers[step - 1 : step], tensors)
