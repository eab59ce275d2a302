"""Int8 programs for a device: each instruction that ExecuTorch's portable kernels execute there is right in them."""

import copy
import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memnas_core.export.cortex_m import quiet
from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.executorch_runtime import PortableInstruction
from memnas_core.export.file_format import ExportError
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.export.quantise import channels_last
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import build_network
from tests.core.random_architectures import random_walk

pytest.importorskip("executorch")

SHAPE = Shape(3, 8, 8)


def random_network(seed: int, filters: int, images: Tensor) -> DeployedNetwork:
    """Return a network with a concatenation and an identity with a stride, whose batch norms have seen the images."""
    rng = random.Random(seed)
    while True:
        graph = lower(random_walk(rng, 4, strides=(1, 2), filters=filters), SHAPE, 10)
        if {LayerKind.CONCAT, LayerKind.SUBSAMPLE} <= {layer.kind for layer in graph.layers}:
            network = build_network(graph, seed)
            with torch.no_grad():
                network.train()(images)
            return deploy(network.eval())


def portable_instructions(content: bytes) -> Iterator[tuple[str, NDArray[np.int8], NDArray[np.int8]]]:
    """Yield name, result and right result of each aten instruction: ExecuTorch's runtime against numpy.

    Each is the one instruction of a copy of the program, and reads random values.
    """
    from executorch.exir import schema
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.runtime import Runtime

    plan = deserialize_pte_binary(content).program.execution_plan[0]
    for number, instruction in enumerate(plan.chains[0].instructions):
        call = instruction.instr_args
        name = plan.operators[call.op_index].name
        if not name.startswith("aten::"):
            continue
        values = [plan.values[place].val for place in call.args]
        reads = list(values[0].items) if isinstance(values[0], schema.TensorList) else [call.args[0]]
        cut = copy.deepcopy(deserialize_pte_binary(content))
        own = cut.program.execution_plan[0]
        own.chains[0].instructions = [own.chains[0].instructions[number]]
        own.inputs, own.outputs = reads, [call.args[-1]]
        rng = np.random.default_rng(number)
        inputs = [rng.integers(-128, 128, plan.values[place].val.sizes, np.int8) for place in reads]
        laid_out = [laid_out_as(x, plan.values[place].val.dim_order) for x, place in zip(inputs, reads, strict=True)]
        program = bytes(serialize_pte_binary(cut))
        (found,) = Runtime.get().load_program(program).load_method("forward").execute(laid_out)
        if name == "aten::cat":
            expected = np.concatenate(inputs, values[1].int_val)
        else:
            assert name == "aten::slice_copy"
            dimension, start, end, step = (value.int_val for value in values[1:5])
            kept = range(inputs[0].shape[dimension])[start:end:step]
            expected = inputs[0].take(kept, dimension)
        yield name, found.numpy().copy(), expected


def laid_out_as(values: NDArray[np.int8], dim_order: Sequence[int]) -> Tensor:
    """Return the values as a tensor whose memory has this order of dimensions."""
    inverse = np.argsort(dim_order)
    return torch.from_numpy(values).permute(*dim_order).contiguous().permute(*inverse.tolist())


def test_portable_kernels_compute_what_is_meant() -> None:
    """Random networks; the right results are numpy's."""
    images = torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(0))
    names = []
    for seed, filters in enumerate((4, 3)):
        network = random_network(seed, filters, images)
        content = EXECUTORCH.write(network, images[:2], int8=True, facts="")
        for name, found, expected in portable_instructions(content):
            np.testing.assert_array_equal(found, expected)
            names.append(name)
        runner = ProgramRunner(content, for_device=True)
        scores = torch.cat([runner.run(channels_last(image)) for image in images[:2].split(1)])
        with torch.no_grad():
            right = network(images[:2])
        assert (scores - right).abs().max() < 0.5 * right.std()
    assert {"aten::cat", "aten::slice_copy"} == set(names)


class Concatenation(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.cat((image, image), 1)


def concatenation(channels_last_in_memory: bool) -> tuple[Tensor, bytes]:
    """Return an image of shape (1, 3, 2, 2) and a program that concatenates it with itself."""
    from executorch.exir import to_edge

    image = torch.arange(12.0).view(1, 3, 2, 2)
    image = image.contiguous(memory_format=torch.channels_last) if channels_last_in_memory else image
    with quiet():
        return image, bytes(to_edge(torch.export.export(Concatenation(), (image,))).to_executorch().buffer)


def test_tensors_with_the_channels_last_in_memory_are_refused() -> None:
    """Torch's operators read them by their strides and are right in silence; a device's kernels are not."""
    image, program = concatenation(channels_last_in_memory=False)
    torch.testing.assert_close(ProgramRunner(program, for_device=True).run(image), torch.cat((image, image), 1))
    image, program = concatenation(channels_last_in_memory=True)
    torch.testing.assert_close(ProgramRunner(program).run(image), torch.cat((image, image), 1))
    with pytest.raises(ExportError, match=r"instruction 0 \(aten::cat.out\): expected tensors in the default order"):
        ProgramRunner(program, for_device=True)


def test_an_instruction_that_computes_something_else_is_named() -> None:
    """ExecuTorch's kernel takes the image for one in the default order: pytorch/executorch, PR 21865."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    image, program = concatenation(channels_last_in_memory=True)
    file = deserialize_pte_binary(program)
    plan = file.program.execution_plan[0]
    instruction = PortableInstruction(file, 0, plan.inputs, plan.outputs)
    with pytest.raises(ExportError, match=r"instruction 0 \(aten::cat.out\): .* of 24 values that differ"):
        instruction.check([image], [torch.cat((image, image), 1)])


def test_an_instruction_without_a_portable_kernel_is_named() -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary

    file = deserialize_pte_binary(concatenation(channels_last_in_memory=False)[1])
    plan = file.program.execution_plan[0]
    plan.operators[0].name = "aten::sinc"
    with pytest.raises(ExportError, match=r"instruction 0 \(aten::sinc.out\): expected a portable kernel for it"):
        PortableInstruction(file, 0, plan.inputs, plan.outputs)
