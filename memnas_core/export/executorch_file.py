"""ExecuTorch programs (.pte): float32 with portable operators, int8 with Cortex-M operators.

No delegate takes layers out of the program, so that its memory plan is the arena that a device reserves. It is memnas's
plan (`memnas_core.executorch_plan`), or ExecuTorch's own where that is smaller.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from memnas_core.deployed import DeployedNetwork
from memnas_core.executorch_plan import TensorSpec, plan_memory
from memnas_core.export import cortex_m
from memnas_core.export.model_file import OpenedFile
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.export.quantise import channels_first, channels_last, export_float, export_int8


def write_executorch(network: DeployedNetwork, images: Tensor, int8: bool) -> bytes:
    """Return the network as an ExecuTorch program for one image.

    Args:
        network: What to write.
        images: Normalised training images, shape (n, channels, height, width); int8 is calibrated on them.
        int8: Whether weights and activations are int8.
    """
    with cortex_m.quiet():
        from executorch.exir import ExecutorchBackendConfig, to_edge
        from executorch.exir.passes import MemoryPlanningPass

        if int8:
            edge = cortex_m.to_cortex_m(export_int8(network, images))
        else:
            edge = to_edge(export_float(network, images[:1]))
        config = ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(smaller_plan))
        return bytes(edge.to_executorch(config).buffer)


def smaller_plan(
    alignment: int, specs: Sequence[TensorSpec], graph_module: GraphModule, signature: object, extra_padding: int
) -> list[int]:
    """Give each tensor its place by memnas's plan, or by ExecuTorch's own where that needs less.

    Arguments and result as `memnas_core.executorch_plan.plan_memory`.
    """
    from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite

    planners = (plan_memory, MemoryPlanningAlgorithmSuite())
    sizes = [sum(plan(alignment, specs, graph_module, signature, extra_padding)) for plan in planners]
    smaller = planners[sizes.index(min(sizes))]
    found: list[int] = smaller(alignment, specs, graph_module, signature, extra_padding)
    return found


def open_executorch(path: Path, int8: bool) -> OpenedFile:
    """Open a program.

    A float32 program runs in ExecuTorch's own runtime. The kernels of an int8 one are machine code for a Cortex-M, so
    here its instructions are executed one by one, in an arena of the planned size (`program_runner`).
    """
    version = metadata.version("executorch")
    with cortex_m.quiet():
        if int8:
            cortex_m.register_operators()
        runner = ProgramRunner(path.read_bytes())
        if int8:
            return OpenedFile(
                f"ExecuTorch {version} on a {cortex_m.TARGET}",
                f"memnas, with the reference implementations of ExecuTorch {version}'s Cortex-M operators",
                runner.planned_bytes,
                on_this_machine=False,
                channels_last=True,
                run=lambda image: runner.run(channels_last(image)),
            )
        with _silent():
            from executorch.runtime import Runtime

            method = Runtime.get().load_program(path).load_method("forward")
            # The first run is when native code looks at the processor.
            method.execute((torch.zeros(method.metadata.input_tensor_meta(0).sizes()),))

    def run(image: Tensor) -> Tensor:
        (scores,) = method.execute((channels_first(image),))
        assert isinstance(scores, Tensor), "a network returns a tensor"
        return scores.clone()  # the next run writes over them

    name = f"ExecuTorch {version} with portable operators"
    return OpenedFile(name, name, runner.planned_bytes, on_this_machine=True, channels_last=False, run=run)


@contextmanager
def _silent() -> Iterator[None]:
    """Swallow what the runtime's native code writes to standard error about the processor that it finds."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
