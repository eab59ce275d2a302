"""Beside what test_formats.py compares with ExecuTorch's own runtime: what the runner makes of wrong programs."""

import pytest
import torch
from torch import Tensor, nn

from memnas_core.export.file_format import ExportError
from memnas_core.export.program_runner import ProgramRunner, spread_kernel


def program(module: nn.Module, *inputs: Tensor) -> bytes:
    from executorch.exir import to_edge

    return bytes(to_edge(torch.export.export(module, inputs)).to_executorch().buffer)


class Sum(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


def test_one_input_only() -> None:
    with pytest.raises(ExportError, match="expected one input, one output and no delegate, found 2, 1 and 0"):
        ProgramRunner(program(Sum(), torch.ones(2), torch.ones(2)))


def test_results_are_those_of_the_plan() -> None:
    """A chain of three tensors of 3 floats, each rounded up to 16 bytes; the third can lie where the first was."""
    runner = ProgramRunner(program(nn.Sequential(nn.Tanh(), nn.Sigmoid()), torch.ones(3)))
    assert runner.planned_bytes == 32
    for values in (torch.tensor([0.0, 1.0, -2.0]), torch.tensor([3.0, 0.5, 0.25])):
        torch.testing.assert_close(runner.run(values), values.tanh().sigmoid())


def test_a_dilated_kernel_is_a_larger_one_with_zeros() -> None:
    kernel = torch.arange(1, 7, dtype=torch.int8).view(1, 2, 3, 1)
    spread, dilation = spread_kernel(kernel, [2, 3])
    assert dilation == [1, 1]
    assert spread[0, :, :, 0].tolist() == [[1, 0, 0, 2, 0, 0, 3], [0] * 7, [4, 0, 0, 5, 0, 0, 6]]
    image = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        nn.functional.conv2d(image, kernel.permute(0, 3, 1, 2).float(), dilation=(2, 3)),
        nn.functional.conv2d(image, spread.permute(0, 3, 1, 2).float()),
    )
