"""The arena of one network, and which tensors make its peak."""

from dataclasses import asdict, dataclass

from memnas_core.arena import ArenaPlan, plan_shared
from memnas_core.arena_rules import ArenaRules, LayerRoles, roles_of, shared_graph
from memnas_core.graph import Graph
from memnas_core.memory_report import DescribedGraph, LayerGraph, LiveTensor, MemoryReport, PeakStep


@dataclass(frozen=True, slots=True)
class ArenaReport:
    """An arena and how it came about.

    Attributes:
        plan: The arena.
        rules: What the runtime does.
        order: Whose order the layers run in: `minimum`, or `sequential` for the order in which they are written.
        at_peak: The first step that has most bytes in memory. Memory that tensors share is in it once, under the
            name of the tensor that takes all of it.
    """

    plan: ArenaPlan
    rules: ArenaRules
    order: str
    at_peak: PeakStep

    def document(self) -> dict[str, object]:
        """Return the arena as a JSON document."""
        return {
            "bytes": self.plan.bytes,
            "lower_bound_bytes": self.plan.lower_bound,
            "is_optimal": self.plan.is_optimal,
            "alignment": self.plan.alignment,
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
    shared = shared_graph(graph.plain(), graph.sizes(activation_bytes), graph_roles(graph), rules, running, alignment)
    plan = plan_shared(shared, alignment)
    return ArenaReport(plan, rules, order, _peak_step(plan, graph))


def graph_roles(graph: Graph | DescribedGraph) -> LayerRoles:
    """Return what the layers of a graph are."""
    return roles_of(graph) if isinstance(graph, Graph) else graph.roles()


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


def _peak_step(plan: ArenaPlan, graph: LayerGraph) -> PeakStep:
    used, shapes = used_in_steps(plan), graph.shapes()
    step = used.index(max(used)) + 1
    alive = sorted((piece for piece in plan.reserved() if piece.born <= step <= piece.last), key=lambda p: -p.bytes)
    tensors = tuple(LiveTensor(piece.tensor, tuple(shapes[piece.tensor]), piece.bytes) for piece in alive)
    return PeakStep(step, plan.layers[step - 1 : step], tensors)
