"""Memory of any torch network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnas_core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from memnas_core.memory.arena_report import ArenaReport
    from memnas_core.memory.report import MemoryReport


@dataclass(frozen=True, slots=True)
class NetworkMemory:
    """Memory of a network, as `memnas memory` prints it (docs/memory.md).

    Attributes:
        report: Figures of the conventions paper, sequential and minimum, with the tensors at each peak.
        arena: The arena, one piece of memory with an offset for each tensor, as a runtime reserves it.
    """

    report: "MemoryReport"
    arena: "ArenaReport"

    @property
    def parameters(self) -> int:
        """Number of weights, frozen ones included."""
        return self.report.parameters

    @property
    def param_bytes(self) -> int:
        """Bytes of the weights."""
        return self.report.param_bytes

    @property
    def peaks(self) -> dict[str, int]:
        """Convention -> peak of the activations in bytes; `arena` is what a runtime reserves."""
        return {**self.report.peaks, "arena": self.arena.plan.bytes}

    @property
    def totals(self) -> dict[str, int]:
        """Convention -> weights and peak together, in bytes."""
        return {convention: self.param_bytes + peak for convention, peak in self.peaks.items()}

    def __str__(self) -> str:
        """Return the figures as lines."""
        lines = [f"{'weights':<12}{self.param_bytes:>14,} bytes"]
        return "\n".join([*lines, *(f"{name:<12}{peak:>14,} bytes" for name, peak in self.peaks.items())])


def memory(
    network: "nn.Module",
    *inputs: Sequence[int],
    weight_bytes: float = 4,
    activation_bytes: float = 4,
    batch: int = 1,
) -> NetworkMemory:
    """Return the memory that a network needs for an image; it is run once without data, and left as it was found.

    Args:
        network: Any torch module; it is measured in evaluation mode.
        inputs: Shape of each of its inputs without the batch, such as `(3, 224, 224)`; all are float32.
        weight_bytes: Bytes of one weight: 4 for float32, 1 for int8.
        activation_bytes: Bytes of one element of an activation.
        batch: Number of images at once.

    Raises:
        InputError: It is no torch module, or does not run on these inputs.
    """
    from torch import nn

    from memnas_core.memory.arena_report import arena_report
    from memnas_core.memory.block_arena import ARENA
    from memnas_core.memory.report import memory_report
    from memnas_core.tracing.inputs import NetworkInput
    from memnas_core.tracing.trace import trace_inputs

    if not isinstance(network, nn.Module):
        raise InputError(f"memory: expected a torch.nn.Module, found {type(network).__name__}")
    if not inputs:
        raise InputError("memory: expected the shape of an input, such as (3, 224, 224), found none")
    graph = trace_inputs(network, [NetworkInput(tuple(shape)) for shape in inputs], batch)
    report = memory_report(graph, weight_bytes, activation_bytes)
    arena = arena_report(graph, report, ARENA.rules, activation_bytes, "minimum", ARENA.alignment)
    return NetworkMemory(report, arena)
