"""Beside what test_formats.py says of programs: whose memory plan they have."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from memnas_core.export import executorch_file
from memnas_core.export.executorch_plan import TensorSpec, plan_memory

Planner = Callable[[int, Sequence[TensorSpec], GraphModule, object, int], list[int]]


def planned_bytes(planner: Planner) -> int:
    """Return the arena of image -> addition -> ReLU -> sigmoid, each of 8 floats."""
    from executorch.exir import ExecutorchBackendConfig, to_edge
    from executorch.exir.passes import MemoryPlanningPass

    class Chain(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return (image + image).relu().sigmoid()

    edge = to_edge(torch.export.export(Chain(), (torch.ones(8),)))
    emitted = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(planner)))
    (plan,) = emitted.executorch_program.execution_plan
    return sum(plan.non_const_buffer_sizes)


def test_the_smaller_plan_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sum and ReLU overwrite, the sigmoid does not: two tensors of 32 bytes. ExecuTorch alternates between two, too."""
    assert planned_bytes(executorch_file.smaller_plan) == 64

    def wasteful(
        alignment: int, specs: Sequence[TensorSpec], graph_module: GraphModule, signature: object, extra_padding: int
    ) -> list[int]:
        return plan_memory(alignment, specs, graph_module, signature, extra_padding + 1000)

    assert planned_bytes(wasteful) == 1064
    monkeypatch.setattr(executorch_file, "plan_memory", wasteful)
    assert planned_bytes(executorch_file.smaller_plan) == 64
