"""ExecuTorch programs placed by memnas: they compute the same, in the arena that was predicted."""

import logging
import random
import warnings
from collections.abc import Iterator

import pytest
import torch

from memnas_core.export.executorch_plan import plan_memory
from memnas_core.memory.runtime_operators import EXECUTORCH, EXECUTORCH_PLANNED, runtime_arena
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import build_network
from tests.core.random_architectures import random_walk

pytest.importorskip("executorch")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
    torch.set_num_threads(threads)


def network_with_everything(seed: int) -> DeployedNetwork:
    """Return a deployed network with all kinds of layers, for which memnas reserves less than ExecuTorch does."""
    rng = random.Random(seed)
    while True:
        graph = lower(random_walk(rng, 6, strides=(2, 1), filters=4), Shape(3, 8, 8), 10)
        kinds = {layer.kind for layer in graph.layers}
        if {"max_pool", "subsample", "concat", "sum"} <= kinds:
            network = deploy(build_network(graph, seed))
            shipped, planned = (runtime_arena(network.graph, model, 4) for model in (EXECUTORCH, EXECUTORCH_PLANNED))
            if planned.bytes < shipped.bytes:
                return network


def emitted(network: DeployedNetwork, memnas: bool) -> tuple[int, bytes]:
    """Return the planned bytes of the exported program, and the program."""
    from executorch.exir import ExecutorchBackendConfig, to_edge
    from executorch.exir.passes import MemoryPlanningPass

    edge = to_edge(torch.export.export(network, (torch.zeros(1, *network.graph.input_shape),)))
    planner = MemoryPlanningPass(plan_memory) if memnas else MemoryPlanningPass()
    program = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planner))
    (plan,) = program.executorch_program.execution_plan
    return sum(plan.non_const_buffer_sizes), bytes(program.buffer)


@pytest.mark.parametrize("memnas", [False, True])
def test_programs_compute_the_same_in_the_predicted_arena(memnas: bool) -> None:
    from executorch.runtime import Runtime

    network = network_with_everything(3)
    model = EXECUTORCH_PLANNED if memnas else EXECUTORCH
    planned, program = emitted(network, memnas)
    assert planned == runtime_arena(network.graph, model, 4).bytes
    method = Runtime.get().load_program(program).load_method("forward")
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        image = torch.randn(1, *network.graph.input_shape, generator=generator)
        (found,) = method.execute((image,))
        torch.testing.assert_close(found, network(image), rtol=1e-4, atol=1e-5)
