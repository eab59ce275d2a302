"""Runs an ExecuTorch program instruction by instruction, in an arena of exactly the size that it plans.

For programs whose operators have no kernels on this machine. What is executed is the written file: its instructions,
its constants, and every activation at the offset that its memory plan gives. Were the plan too small or two tensors
wrongly at the same place, the results would be wrong. The operators are ExecuTorch's reference implementations of
what CMSIS-NN computes, which are made for comparing and are slow.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._ops import OpOverload

from memnas_core.export.model_file import ExportError

if TYPE_CHECKING:
    from executorch.exir.schema import Tensor as TensorValue

CORTEX_M = "cortex_m"
_CONVOLUTIONS = ("quantized_conv2d", "quantized_depthwise_conv2d")


class ProgramRunner:
    """One program with its constants and its arena.

    Attributes:
        planned_bytes: Size of the arena.
    """

    def __init__(self, content: bytes) -> None:
        """Read a program.

        Args:
            content: Of a .pte file.

        Raises:
            ExportError: It has not one method of one input and one output, layers that a delegate runs, or branches.
        """
        from executorch.exir import schema
        from executorch.exir._serialize._program import deserialize_pte_binary

        program = deserialize_pte_binary(content).program
        (plan,) = program.execution_plan
        if len(plan.inputs) != 1 or len(plan.outputs) != 1 or len(plan.chains) != 1 or plan.delegates:
            raise ExportError(
                "ExecuTorch program: expected one input, one output and no delegate, found "
                f"{len(plan.inputs)}, {len(plan.outputs)} and {len(plan.delegates)}"
            )
        self.planned_bytes = sum(plan.non_const_buffer_sizes)
        self._arenas = [torch.zeros(size, dtype=torch.uint8) for size in plan.non_const_buffer_sizes]
        self._constants = [buffer.storage for buffer in program.constant_buffer]
        self._values: list[object] = []
        for value in plan.values:
            self._values.append(self._value(value.val))
        self._input, self._output = self._values[plan.inputs[0]], self._values[plan.outputs[0]]
        operators = [_operator(operator.name, operator.overload) for operator in plan.operators]
        self._steps: list[tuple[Callable[[Sequence[object]], None], list[object]]] = []
        for instruction in plan.chains[0].instructions:
            call = instruction.instr_args
            if isinstance(call, schema.KernelCall):
                self._steps.append((operators[call.op_index], [self._values[number] for number in call.args]))
            elif not isinstance(
                call, schema.FreeCall
            ):  # a free concerns memory outside the plan, of which there is none
                raise ExportError(f"ExecuTorch program: expected calls of operators only, found {type(call).__name__}")

    def run(self, image: Tensor) -> Tensor:
        """Return the program's output for one input."""
        assert isinstance(self._input, Tensor), "a network reads a tensor"
        assert isinstance(self._output, Tensor), "a network writes a tensor"
        self._input.copy_(image)
        for operator, arguments in self._steps:
            operator(arguments)
        return self._output.clone()

    def _value(self, value: object) -> object:
        """Turn a value of the program into one of Python's or torch's; lists refer to values before them."""
        from executorch.exir import schema

        if isinstance(value, schema.Tensor):
            return self._tensor(value)
        if isinstance(value, schema.IntList | schema.TensorList | schema.OptionalTensorList):
            return [None if number < 0 else self._values[number] for number in value.items]
        if isinstance(value, schema.BoolList | schema.DoubleList):
            return list(value.items)
        if isinstance(value, schema.Null):
            return None
        (plain,) = vars(value).values()  # Int, Bool, Double and String have one attribute
        return plain

    def _tensor(self, tensor: "TensorValue") -> Tensor:
        dtype = _dtype(tensor.scalar_type)
        strides = [0] * len(tensor.sizes)
        step = 1
        for dimension in reversed(tensor.dim_order):
            strides[dimension] = step
            step *= tensor.sizes[dimension]
        if tensor.allocation_info is None:
            storage = bytearray(self._constants[tensor.data_buffer_idx])
            place = torch.frombuffer(storage, dtype=torch.uint8) if storage else torch.empty(0, dtype=torch.uint8)
        else:
            begin = tensor.allocation_info.memory_offset
            place = self._arenas[tensor.allocation_info.memory_id][begin : begin + step * dtype.itemsize]
        return place.view(dtype)[:step].as_strided(tensor.sizes, strides)


def _dtype(scalar_type: object) -> torch.dtype:
    from executorch.exir.tensor import scalar_type_table

    (found,) = (dtype for dtype, number in scalar_type_table.items() if number == scalar_type)
    assert isinstance(found, torch.dtype), "the table goes from torch's types to ExecuTorch's"
    return found


def _operator(name: str, overload: str) -> Callable[[Sequence[object]], None]:
    """Return what executes an operator on the arguments of an instruction, the last of which is its output."""
    namespace, _, plain = name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), plain)
    if namespace != CORTEX_M:
        return _with_out(getattr(packet, overload))
    count = len(packet.default._schema.arguments)
    reads_dilation = [argument.name for argument in packet.default._schema.arguments].index

    def execute(arguments: Sequence[object]) -> None:
        read = list(arguments[:count])
        if plain in _CONVOLUTIONS:
            weight, dilation = reads_dilation("weight"), reads_dilation("dilation")
            read[weight], read[dilation] = spread_kernel(read[weight], read[dilation])
        output = arguments[-1]
        assert isinstance(output, Tensor), "an operator writes a tensor"
        output.copy_(packet.default(*read))

    return execute


def _with_out(operator: OpOverload) -> Callable[[Sequence[object]], None]:
    arguments = operator._schema.arguments
    positional = sum(not argument.kwarg_only for argument in arguments)
    keywords = [argument.name for argument in arguments if argument.kwarg_only]

    def execute(given: Sequence[object]) -> None:
        operator(*given[:positional], **dict(zip(keywords, given[positional:], strict=False)))

    return execute


def spread_kernel(weight: object, dilation: object) -> tuple[Tensor, list[int]]:
    """Write a dilated kernel out with zeros between its taps: torch has no dilated convolution of integers.

    Args:
        weight: Its height and width are dimensions 1 and 2.
        dilation: Vertical and horizontal.
    """
    assert isinstance(weight, Tensor), "a convolution reads its weights"
    assert isinstance(dilation, list), "a convolution has two dilations"
    vertical, horizontal = dilation
    first, height, width, last = weight.shape
    spread = weight.new_zeros(first, (height - 1) * vertical + 1, (width - 1) * horizontal + 1, last)
    spread[:, ::vertical, ::horizontal] = weight
    return spread, [1, 1]
