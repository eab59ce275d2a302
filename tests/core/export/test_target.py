"""The processor core that an int8 program of ExecuTorch is for."""

from typing import TYPE_CHECKING

import pytest
import torch

from memnas_core.errors import InputError
from memnas_core.export.cortex_m import CORES, quiet, to_cortex_m
from memnas_core.export.executorch_file import EXECUTORCH, ExecutorchFormat
from memnas_core.export.file_format import FileFormat
from memnas_core.export.onnx_file import ONNX
from memnas_core.export.quantise import TakesChannelsLast, channels_last, export_int8
from memnas_core.export.target import for_target
from memnas_core.memory.kernel_scratch import KERNELS
from memnas_core.memory.kernel_scratch import scratch_bytes as predicted_scratch
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.training.deployed import deploy
from memnas_core.training.network import build_network

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager


@pytest.mark.parametrize(
    ("target", "device", "core"),
    [
        (None, None, "cortex-m7"),
        (None, "rp2040", "cortex-m0+"),
        (None, "stm32f411", "cortex-m4"),
        ("cortex-m55", "stm32f411", "cortex-m55"),
        ("Cortex-M0plus", None, "cortex-m0+"),
        ("cortex-m33", "esp32", "cortex-m33"),
    ],
)
def test_target_comes_before_device(target: str | None, device: str | None, core: str) -> None:
    found = for_target(EXECUTORCH, True, target, device)
    assert isinstance(found, ExecutorchFormat)
    assert found.core == core


@pytest.mark.parametrize(
    ("wanted", "int8", "target", "device", "words"),
    [
        (EXECUTORCH, True, None, "esp32", "found the Xtensa LX6 of esp32, .* write --format executorch without --int8"),
        (EXECUTORCH, True, None, "iphone6", "found the Typhoon"),
        (EXECUTORCH, True, "cortex-a53", None, "--target cortex-a53: expected one of cortex-m0, cortex-m0+, "),
        (EXECUTORCH, False, "cortex-m4", None, "expected --format executorch --int8, .* found --format executorch, "),
        (ONNX, True, "cortex-m4", None, "found --format onnx --int8, which is for any; leave --target out"),
    ],
)
def test_other_cores_are_refused(
    wanted: FileFormat, int8: bool, target: str | None, device: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words.replace("+", r"\+")):
        for_target(wanted, int8, target, device)


def test_files_for_any_processor_ignore_the_device() -> None:
    assert for_target(EXECUTORCH, False, None, "esp32") is EXECUTORCH
    assert for_target(ONNX, True, None, "iphone6") is ONNX


def test_scratch_memory_is_that_of_the_core() -> None:
    """A depthwise 5x5 of 16 channels, by the formulas of CMSIS-NN (arm_depthwise_conv_get_buffer_sizes_s8.c).

    Plain C needs none; DSP instructions two bytes for each tap of each channel, 2 * 16 * 25; vector instructions four
    bytes for each tap of a block of 124 channels, 4 * 124 * 25.
    """
    pytest.importorskip("executorch")
    cell = Cell(Branch(0, ops.DEPTHWISE_5X5), Branch(0, ops.IDENTITY), Combiner.SUM, included=True)
    graph = lower(Architecture((Block((cell,), stride=1),), filters=16), Shape(3, 8, 8), 10)
    network, images = deploy(build_network(graph, seed=0)), torch.randn(2, 3, 8, 8)
    with quiet():
        program = export_int8(TakesChannelsLast(network), channels_last(images))
        lowered = {core: to_cortex_m(program, core) for core in ("cortex-m0+", "cortex-m4", "cortex-m55")}
        planned = planned_bytes(lowered["cortex-m55"])
    assert {core: scratch_bytes(edge) for core, edge in lowered.items()} == {
        "cortex-m0+": 0,
        "cortex-m4": 800,
        "cortex-m55": 12_400,
    }
    assert planned >= 12_400 + 2 * 16 * 8 * 8  # beside it the input and the output


@pytest.mark.parametrize("channels", [1, 3])
def test_the_search_counts_what_the_kernels_ask_for(channels: int) -> None:
    """Every operation, at both strides; CMSIS-NN's own functions give the sizes in the lowered program."""
    pytest.importorskip("executorch")
    pairs = list(zip(ops.OPERATIONS, reversed(tuple(ops.OPERATIONS)), strict=True))
    cells = tuple(Cell(Branch(0, one), Branch(0, two), Combiner.CONCAT, included=True) for one, two in pairs)
    graph = lower(Architecture((Block(cells, stride=1), Block(cells, stride=2)), filters=5), Shape(channels, 8, 8), 3)
    network, images = deploy(build_network(graph, seed=0)), torch.randn(2, channels, 8, 8)
    with quiet():
        program = export_int8(TakesChannelsLast(network), channels_last(images))
        for core in ("cortex-m0", "cortex-m33", "cortex-m85"):
            edge = to_cortex_m(program, core)
            asked = [
                int(argument.meta["val"].numel())
                for node in edge.exported_program().graph.nodes
                for argument in node.all_input_nodes
                if "alloc" in str(argument.target)
            ]
            predicted = [predicted_scratch(layer, KERNELS[core]) for layer in graph.layers]
            assert sorted(filter(None, asked)) == sorted(filter(None, predicted))
            assert planned_bytes(edge) >= max(predicted)


def scratch_bytes(edge: "EdgeProgramManager") -> int:
    (convolution,) = (node for node in edge.exported_program().graph.nodes if "depthwise" in str(node.target))
    return int(convolution.args[-1].meta["val"].numel())


def planned_bytes(edge: "EdgeProgramManager") -> int:
    (plan,) = edge.to_executorch().executorch_program.execution_plan
    return sum(plan.non_const_buffer_sizes)


def test_cores_are_those_that_executorch_knows() -> None:
    pytest.importorskip("executorch")
    with quiet():
        from executorch.backends.cortex_m.target_config import CortexM, CortexMTargetConfig

    assert sorted(CORES) == sorted(CortexMTargetConfig(core).target_string.replace("plus", "+") for core in CortexM)
