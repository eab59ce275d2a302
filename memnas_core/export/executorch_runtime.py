"""ExecuTorch's own runtime: whole programs, and single instructions of a program.

The runtime of the package has ExecuTorch's portable operators, the same C++ that a device runs. An instruction that
they execute is cut out: it becomes the one instruction of a copy of the program, with its constants, its arena and the
place of each of its tensors.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from memnas_core.export.file_format import ExportError

if TYPE_CHECKING:
    from executorch.exir._serialize._program import PTEFile

FLOAT_TOLERANCE = 1e-4
"""Largest difference of two results in floats, relative to the largest value; integers must be equal."""


class LoadedProgram:
    """A program's one method, loaded by ExecuTorch's runtime."""

    def __init__(self, content: bytes) -> None:
        """Load a program.

        Args:
            content: Content of a .pte file.
        """
        from executorch.runtime import Runtime

        self._content = content  # the runtime reads it where it is, and does not keep it alive
        with silent():
            self._method = Runtime.get().load_program(content).load_method("forward")

    def run(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the program's outputs; the next run writes over them."""
        found: Sequence[Tensor] = self._method.execute(list(inputs))
        return found

    @property
    def input_shape(self) -> Sequence[int]:
        """Shape of the first input."""
        return tuple(self._method.metadata.input_tensor_meta(0).sizes())


class PortableInstruction:
    """An instruction of a program, to be run by itself in ExecuTorch's runtime."""

    def __init__(self, file: "PTEFile", number: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Cut an instruction out.

        Args:
            file: The program.
            number: Number of the instruction.
            inputs: Numbers of the planned tensors that the instruction reads.
            outputs: Numbers of the tensors that it writes.

        Raises:
            ExportError: ExecuTorch has no portable kernel for the instruction, or refuses it.
        """
        from executorch.exir._serialize._program import serialize_pte_binary

        (plan,) = file.program.execution_plan
        (chain,) = plan.chains
        call = chain.instructions[number].instr_args
        operator = plan.operators[call.op_index]
        self._described = f"instruction {number} ({operator.name}.{operator.overload})"
        one = replace(
            plan,
            chains=[replace(chain, instructions=[chain.instructions[number]])],
            inputs=list(inputs),
            outputs=list(outputs),
        )
        cut = replace(file, program=replace(file.program, execution_plan=[one]))
        try:
            self._program = LoadedProgram(bytes(serialize_pte_binary(cut)))
        except RuntimeError as error:
            raise ExportError(
                f"ExecuTorch program, {self._described}: expected a portable kernel for it, found none that takes it "
                f"({_first_line(error)}); nothing was written"
            ) from error

    def check(self, inputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
        """Run the instruction and compare what it writes.

        Args:
            inputs: Values of the tensors that it reads.
            expected: What it should write, a tensor for each output.

        Raises:
            ExportError: It fails or writes something else.
        """
        try:
            with silent():
                outputs = self._program.run(inputs)
        except RuntimeError as error:
            raise ExportError(
                f"ExecuTorch program, {self._described}: expected ExecuTorch's portable kernel to run it, found "
                f"{_first_line(error)}; nothing was written"
            ) from error
        for found, right in zip(outputs, expected, strict=True):
            if found.shape != right.shape:
                raise self._wrong(f"the shape {tuple(found.shape)} instead of {tuple(right.shape)}")
            if found.is_floating_point():
                unequal = ~((found - right).abs() <= FLOAT_TOLERANCE * float(right.abs().max()))
            else:
                unequal = found != right
            if unequal.any():
                raise self._wrong(f"{int(unequal.sum())} of {unequal.numel()} values that differ")

    def _wrong(self, found: str) -> ExportError:
        return ExportError(
            f"ExecuTorch program, {self._described}: expected ExecuTorch's portable kernel to compute what torch does, "
            f"found {found}; nothing was written"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def silent() -> Iterator[None]:
    """Suppress what the runtime's native code writes to standard error, such as facts about the processor."""
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
