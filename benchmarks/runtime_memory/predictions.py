"""What memnas predicts for a measured network: one row for each runtime and convention."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.runtime_memory.networks import CLASSES, Measured
from memnas_core.environment import processor_flags
from memnas_core.memory.dataflow import Dataflow
from memnas_core.memory.lifetimes import peak_activation_bytes, peaks
from memnas_core.memory.onnxruntime_plan import channel_block, onnxruntime_bytes
from memnas_core.memory.running_order import best_order
from memnas_core.memory.runtime_operators import (
    EXECUTORCH,
    EXECUTORCH_PLACED,
    EXECUTORCH_PLANNED,
    FUSED,
    RuntimeArena,
    runtime_arena,
)
from memnas_core.space.architecture_json import to_json
from memnas_core.space.graph import Graph, lower

ELEMENT_BYTES = 4

MODELS = {
    "executorch": EXECUTORCH,
    "executorch placed": EXECUTORCH_PLACED,
    "executorch memnas plan": EXECUTORCH_PLANNED,
    "fused": FUSED,
}
"""The rules under which every network's arena is planned, whichever runtime it is compared with."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network, runtime and convention.

    Attributes:
        arch_id: Id of the network.
        source: `random`, or the search that found it.
        architecture: Architecture as JSON.
        input_shape: Channels, height, width.
        has_branches: Whether its layers can run in more than one order.
        runtime: Name of the runtime, and how it is set up.
        runtime_version: Version of the runtime.
        runtime_bytes: Bytes that the runtime reserves or allocates for activations.
        order: Order of layers in the file that the runtime was given, `best` or `plain`.
        convention: `paper`, `sequential` and `minimum` as in `memnas_core.memory.lifetimes`; `breadth first` for
            `sequential` in the order of the paper's steps; `arena` for an arena under the runtime's own rules;
            `arena, RULES` for one under other rules.
        predicted_bytes: Bytes that the convention predicts.
        lower_bound_bytes: For an arena, the bytes that every placement of the same tensors needs at least.
    """

    arch_id: str
    source: str
    architecture: str
    input_shape: tuple[int, ...]
    has_branches: bool
    runtime: str
    runtime_version: str
    runtime_bytes: int
    order: str
    convention: str
    predicted_bytes: int
    lower_bound_bytes: int | None


def rows_of(measured: Measured) -> Iterator[Row]:
    """Yield all rows of a network."""
    subject = measured.subject
    plain = lower(subject.architecture, subject.shape, CLASSES)
    best, _ = best_order(plain, ELEMENT_BYTES)
    figures = _order_figures(plain)
    arenas = {"best": _arenas(best)}
    arenas["plain"] = arenas["best"] if plain == best else _arenas(plain)
    for runtime, order, own, found in _runtimes(measured):
        predictions: dict[str, RuntimeArena | int] = dict(figures)
        if own is not None:
            predictions["arena"] = arenas[order][own]
        predictions |= {f"arena, {rules}": arena for rules, arena in arenas[order].items()}
        for convention, predicted in predictions.items():
            yield Row(
                arch_id=subject.architecture.arch_id,
                source=subject.source,
                architecture=to_json(subject.architecture),
                input_shape=tuple(subject.shape),
                has_branches=has_branches(plain),
                runtime=runtime,
                runtime_version=measured.versions[runtime.split()[0]],
                runtime_bytes=found,
                order=order,
                convention=convention,
                predicted_bytes=predicted if isinstance(predicted, int) else predicted.bytes,
                lower_bound_bytes=None if isinstance(predicted, int) else predicted.lower_bound or None,
            )


def has_branches(graph: Graph) -> bool:
    """Return whether the layers of a graph can run in more than one order."""
    return any(len(step) > 1 for step in Dataflow(graph.plain(), graph.sizes(1)).steps)


def _runtimes(measured: Measured) -> Iterator[tuple[str, str, str | None, int]]:
    """Yield name, order of the file, own rules and bytes of each runtime."""
    best, plain = measured.best_order, measured.plain_order
    yield "executorch", "best", "executorch", best["executorch"]
    yield "executorch plain order", "plain", "executorch", plain["executorch"]
    yield "executorch memnas plan", "best", "executorch memnas plan", best["executorch, memnas's plan"]
    yield "executorch memnas plan plain order", "plain", "executorch memnas plan", plain["executorch, memnas's plan"]
    yield "onnxruntime", "best", "onnxruntime", best["onnxruntime"]
    yield "onnxruntime basic", "best", None, best["onnxruntime basic"]


def _order_figures(graph: Graph) -> dict[str, int]:
    layers, sizes = graph.plain(), graph.sizes(ELEMENT_BYTES)
    names = tuple(layers)
    breadth_first = [names[layer] for step in Dataflow(layers, sizes).steps for layer in step]
    found = peaks(layers, sizes)
    return {
        "paper": found.paper,
        "sequential": found.sequential,
        "breadth first": peak_activation_bytes(layers, sizes, "sequential", breadth_first),
        "minimum": found.minimum,
    }


def _arenas(graph: Graph) -> dict[str, RuntimeArena]:
    found = {name: runtime_arena(graph, model, ELEMENT_BYTES) for name, model in MODELS.items()}
    block = channel_block(processor_flags())
    return found | {"onnxruntime": RuntimeArena(onnxruntime_bytes(graph, ELEMENT_BYTES, block), 0)}
