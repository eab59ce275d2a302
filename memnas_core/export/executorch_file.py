"""ExecuTorch programs (.pte): float32 with portable operators, int8 with Cortex-M operators.

No delegate takes layers out of the program, so that its memory plan is the arena that a device reserves. It is memnas's
plan (`memnas_core.export.executorch_plan`), or ExecuTorch's own plan if that is smaller.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from memnas_core.export import cortex_m
from memnas_core.export.executorch_plan import TensorSpec, plan_memory
from memnas_core.export.executorch_runtime import LoadedProgram, silent
from memnas_core.export.file_format import FileFormat, OpenedFile
from memnas_core.export.program_needs import program_needs
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.export.quantise import TakesChannelsLast, channels_first, channels_last, export_float, export_int8
from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import shared_graph
from memnas_core.memory.kernel_scratch import KERNELS, Kernels
from memnas_core.memory.runtime_operators import EXECUTORCH_PLANNED, runtime_arena, runtime_graph
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.training.deployed import DeployedNetwork

FLOAT32_BYTES, INT8_BYTES = 4, 1


class ExecutorchFormat(FileFormat):
    """ExecuTorch programs, which have no place for facts.

    Attributes:
        core: Processor core that int8 programs are for.
    """

    name = "executorch"
    described = "ExecuTorch program"
    suffix = ".pte"
    packages = ("executorch", "torchao")
    carries_facts = False

    def __init__(self, core: str = cortex_m.USUAL_CORE) -> None:
        self.core = core

    def cores(self, int8: bool) -> tuple[str, ...]:
        """Return the cores that int8 programs are for; portable operators run on any processor."""
        return cortex_m.CORES if int8 else ()

    def for_core(self, core: str) -> "ExecutorchFormat":
        """Return the format for another core."""
        return ExecutorchFormat(core)

    def write(self, network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:  # noqa: ARG002
        """Return the network as an ExecuTorch program for one image."""
        with cortex_m.quiet():
            from executorch.exir import ExecutorchBackendConfig, to_edge
            from executorch.exir.passes import MemoryPlanningPass

            if int8:
                edge = cortex_m.to_cortex_m(export_int8(TakesChannelsLast(network), channels_last(images)), self.core)
            else:
                edge = to_edge(export_float(network, images[:1]))
            config = ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(smaller_plan))
            return bytes(edge.to_executorch(config).buffer)

    def open(self, path: Path, int8: bool) -> OpenedFile:
        """Open a program.

        A float32 program runs in ExecuTorch's own runtime. The kernels of an int8 one are machine code for a Cortex-M,
        so here its instructions are executed one by one, in an arena of the planned size; those that are not for
        CMSIS-NN run in ExecuTorch's own runtime as well, and must give the same there (`program_runner`).
        """
        version = metadata.version("executorch")
        with cortex_m.quiet():
            if int8:
                cortex_m.register_operators()
            content = path.read_bytes()
            runner = ProgramRunner(content, for_device=int8)
            if int8:
                return OpenedFile(
                    f"ExecuTorch {version} on a {self.core}",
                    f"memnas, with ExecuTorch {version}'s portable kernels and references of its Cortex-M operators",
                    runner.planned_bytes,
                    on_this_machine=False,
                    channels_last=True,
                    run=lambda image: runner.run(channels_last(image)),
                    needs=program_needs(content),
                )
            program = LoadedProgram(content)
            with silent():  # the first run is when native code looks at the processor
                program.run((torch.zeros(program.input_shape),))

        def run(image: Tensor) -> Tensor:
            (scores,) = program.run((channels_first(image),))
            return scores.clone()  # the next run writes over them

        name = f"ExecuTorch {version} with portable operators"
        needs = program_needs(content)
        return OpenedFile(
            name, name, runner.planned_bytes, on_this_machine=True, channels_last=False, run=run, needs=needs
        )

    def predicted_bytes(self, graph: Graph, int8: bool) -> int | None:
        """Return the arena that the file plans."""
        if int8:
            return _int8_program_bytes(graph, KERNELS[self.core])
        return runtime_arena(graph, EXECUTORCH_PLANNED, FLOAT32_BYTES).bytes

    def prediction_words(self, int8: bool) -> str:
        """Return in words what is predicted."""
        return "ExecuTorch's plan" + (f" on a {self.core}" if int8 else "")


EXECUTORCH = ExecutorchFormat()


def smaller_plan(
    alignment: int, specs: Sequence[TensorSpec], graph_module: GraphModule, signature: object, extra_padding: int
) -> list[int]:
    """Place each tensor by memnas's plan, or by ExecuTorch's own plan if that needs less.

    Arguments and result are those of `memnas_core.export.executorch_plan.plan_memory`.
    """
    from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite

    planners = (plan_memory, MemoryPlanningAlgorithmSuite())
    sizes = [sum(plan(alignment, specs, graph_module, signature, extra_padding)) for plan in planners]
    smaller = planners[sizes.index(min(sizes))]
    found: list[int] = smaller(alignment, specs, graph_module, signature, extra_padding)
    return found


def _int8_program_bytes(graph: Graph, kernels: Kernels) -> int:
    """Return the arena of an int8 program, which takes and gives float32."""
    made = runtime_graph(graph, replace(EXECUTORCH_PLANNED, kernels=kernels), INT8_BYTES)
    image, scores = "quantised image", "dequantised scores"
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {"quantise": ((IMAGE,), (image,))}
    for name, (reads, writes) in made.layers.items():
        layers[name] = tuple(image if read == IMAGE else read for read in reads), tuple(writes)
    layers["dequantise"] = (graph.output,), (scores,)
    wide = {IMAGE: made.sizes[IMAGE] * FLOAT32_BYTES, scores: made.sizes[graph.output] * FLOAT32_BYTES}
    sizes = {**made.sizes, image: made.sizes[IMAGE], **wide}
    alignment = EXECUTORCH_PLANNED.alignment
    return plan_shared(
        shared_graph(layers, sizes, made.roles, EXECUTORCH_PLANNED.rules, alignment=alignment), alignment
    ).bytes
