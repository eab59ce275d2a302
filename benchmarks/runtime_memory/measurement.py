"""The bytes that two runtimes need for the activations of one network (see `benchmarks.runtime_memory`)."""

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from torch import nn
from torch.fx import GraphModule

from benchmarks.runtime_memory.onnxruntime_peak import OnnxRuntimeProcess, OnnxRuntimeSettings
from memnas_core.export.executorch_plan import TensorSpec, plan_memory
from memnas_core.memory.lifetimes import LeastPeak, peak_activation_bytes
from memnas_core.space.graph import Graph
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import Network, build_network

ONNXRUNTIME = {
    "onnxruntime": OnnxRuntimeSettings("ALL", pattern=True),
    "onnxruntime, no pattern": OnnxRuntimeSettings("ALL", pattern=False),
    "onnxruntime basic": OnnxRuntimeSettings("BASIC", pattern=True),
    "onnxruntime basic, no pattern": OnnxRuntimeSettings("BASIC", pattern=False),
}


@dataclass(frozen=True, slots=True)
class RuntimeBytes:
    """Bytes that runtimes need for one network.

    Attributes:
        best_order: Bytes by runtime, with layers in the order that `minimum` found.
        plain_order: Bytes by runtime for ExecuTorch, with layers as the architecture lists them.
    """

    best_order: Mapping[str, int]
    plain_order: Mapping[str, int]


def runtime_versions() -> dict[str, str]:
    """Return the version of each runtime, by the first word of the runtime's name."""
    return {name: metadata.version(name) for name in ("executorch", "onnxruntime")}


def measure_runtimes(graph: Graph, seed: int, onnxruntime: OnnxRuntimeProcess) -> RuntimeBytes:
    """Export a network with random weights to both runtimes and return what they need.

    Args:
        graph: Layers of the network, in the plain order.
        seed: Decides the weights.
        onnxruntime: The process that counts ONNX Runtime's allocations.
    """
    network = _as_trained(build_network(graph, seed), seed)
    best = deploy(network)
    found = executorch_bytes(best)
    plain = found if best.graph == graph else executorch_bytes(in_plain_order(best, graph))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.onnx")
        # The older exporter takes a tenth of the newer one's time. With the newer exporter's files ONNX Runtime
        # gave other figures on 3 of 30 networks, from 7 % less to 14 % more.
        torch.onnx.export(best, (torch.zeros(1, *graph.input_shape),), model, dynamo=False)
        found = found | {name: onnxruntime.peak_bytes(model, settings) for name, settings in ONNXRUNTIME.items()}
    return RuntimeBytes(found, plain)


def in_plain_order(network: DeployedNetwork, graph: Graph) -> DeployedNetwork:
    """Return a deployed network that runs its layers in the order of a given graph."""
    order = [layer.name for layer in graph.layers]
    layers = nn.ModuleDict({name: network.layers[name] for name in order})
    peak = peak_activation_bytes(graph.plain(), graph.sizes(4), "sequential")
    bound = network.least.lower_bound
    return DeployedNetwork(graph, LeastPeak(peak, tuple(order), bound, exact=peak == bound), layers)


def _as_trained(network: Network, seed: int) -> Network:
    """Set batch norms to values such as training leaves behind, so that folding leaves a bias everywhere."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None, "it was built to keep them"
            assert module.running_var is not None, "it was built to keep them"
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    return network.eval()


def executorch_bytes(network: DeployedNetwork) -> dict[str, int]:
    """Return the bytes that ExecuTorch reserves, both as it ships and with tensors placed by memnas.

    The first is that of the program that it emits. The second is determined in the same planning pass.
    """
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite
    from executorch.exir.passes import MemoryPlanningPass

    theirs = MemoryPlanningAlgorithmSuite()
    ours: list[int] = []

    def plan_both(
        alignment: int, specs: Sequence[TensorSpec], module: GraphModule, signature: object, padding: int
    ) -> list[int]:
        """Plan as ExecuTorch does and note what memnas would plan; one program instead of two saves half the time."""
        ours.append(sum(plan_memory(alignment, specs, module, signature, padding)))
        found: list[int] = theirs(alignment, specs, module, signature, padding)
        return found

    program = torch.export.export(network, (torch.zeros(1, *network.graph.input_shape),))
    edge = to_edge(program, compile_config=EdgeCompileConfig(_check_ir_validity=False))  # a fifth faster
    emitted = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(plan_both)))
    (plan,) = emitted.executorch_program.execution_plan
    (planned,) = ours
    return {"executorch": sum(plan.non_const_buffer_sizes), "executorch, memnas's plan": planned}


def quiet() -> None:
    """Make exporters report only errors, and torch use one thread."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
