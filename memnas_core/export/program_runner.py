"""Running an ExecuTorch program instruction by instruction, in an arena of exactly the planned size.

This is for programs whose operators have no kernels on this machine. The written file itself is executed: its
instructions, its constants, and every activation at the offset that its memory plan gives. If the plan were too small,
or two tensors wrongly at the same place, the results would be wrong. The operators are torch's own, and ExecuTorch's
reference implementations of CMSIS-NN, which are made for comparison and are slow.

Both take a tensor in any order of its dimensions, whereas a device's kernels read memory as it comes. So a program for
a device is taken only if all its tensors are in the default order and ExecuTorch has a kernel for each instruction.
Instructions of portable operators run in ExecuTorch's own runtime too, on the same values.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._ops import OpOverload

from memnas_core.export.executorch_runtime import PortableInstruction
from memnas_core.export.file_format import ExportError

if TYPE_CHECKING:
    from executorch.exir._serialize._program import PTEFile
    from executorch.exir.schema import Instruction
    from executorch.exir.schema import Tensor as TensorValue

CORTEX_M = "cortex_m"
_CONVOLUTIONS = ("quantized_conv2d_nhwc", "quantized_depthwise_conv2d_nhwc")

Step = Callable[[Sequence[object]], None]
"""Executes an operator on an instruction's arguments, the last of which is its output."""


class ProgramRunner:
    """A program with its constants and its arena.

    Attributes:
        planned_bytes: Size of the arena, in bytes.
    """

    def __init__(self, content: bytes, for_device: bool = False) -> None:
        """Read a program.

        Args:
            content: Content of a .pte file.
            for_device: Whether kernels of a device will run it, so that each instruction is checked for them.

        Raises:
            ExportError: The program has not exactly one input and one output, or has delegates or branches; or it is
                for a device, whose kernels do not take an instruction.
        """
        from executorch.exir import schema
        from executorch.exir._serialize._program import deserialize_pte_binary

        self._file: PTEFile = deserialize_pte_binary(content)
        (plan,) = self._file.program.execution_plan
        if len(plan.inputs) != 1 or len(plan.outputs) != 1 or len(plan.chains) != 1 or plan.delegates:
            raise ExportError(
                "ExecuTorch program: expected one input, one output and no delegate, found "
                f"{len(plan.inputs)}, {len(plan.outputs)} and {len(plan.delegates)}"
            )
        self.planned_bytes = sum(plan.non_const_buffer_sizes)
        self._arenas = [torch.zeros(size, dtype=torch.uint8) for size in plan.non_const_buffer_sizes]
        self._constants = [buffer.storage for buffer in self._file.program.constant_buffer]
        self._values: list[object] = []
        for value in plan.values:
            self._values.append(self._value(value.val))
        self._input, self._output = self._values[plan.inputs[0]], self._values[plan.outputs[0]]
        operators = [_operator(operator.name, operator.overload) for operator in plan.operators]
        self._steps: list[tuple[Step, list[object]]] = []
        for number, instruction in enumerate(plan.chains[0].instructions):
            call = instruction.instr_args
            if isinstance(call, schema.KernelCall):
                step = operators[call.op_index]
                if for_device:
                    step = self._checked(number, instruction, step)
                self._steps.append((step, [self._values[number] for number in call.args]))
            elif not isinstance(
                call, schema.FreeCall
            ):  # a FreeCall concerns memory outside the plan; there is none here
                raise ExportError(f"ExecuTorch program: expected calls of operators only, found {type(call).__name__}")

    def run(self, image: Tensor) -> Tensor:
        """Return the program's output for one input."""
        assert isinstance(self._input, Tensor), "a network reads a tensor"
        assert isinstance(self._output, Tensor), "a network writes a tensor"
        self._input.copy_(image)
        for operator, arguments in self._steps:
            operator(arguments)
        return self._output.clone()

    def _checked(self, number: int, instruction: "Instruction", step: Step) -> Step:
        """Return a step that also runs the instruction in ExecuTorch's runtime, unless it is one of CMSIS-NN's."""
        from executorch.exir import schema

        (plan,) = self._file.program.execution_plan
        operator, arguments = plan.operators[instruction.instr_args.op_index], instruction.instr_args.args
        name = f"{operator.name}.{operator.overload}"
        values = {place: plan.values[place].val for place in arguments}
        for value in list(values.values()):
            if isinstance(value, schema.TensorList):
                values.update((place, plan.values[place].val) for place in value.items)
        tensors = {place: value for place, value in values.items() if isinstance(value, schema.Tensor)}
        for tensor in tensors.values():
            if list(tensor.dim_order) != list(range(len(tensor.sizes))):
                raise ExportError(
                    f"ExecuTorch program, instruction {number} ({name}): expected tensors in the default order, found "
                    f"one of shape {tuple(tensor.sizes)} in the order {tuple(tensor.dim_order)}, which a device's "
                    "kernel may read as another; nothing was written"
                )
        if operator.name.startswith(f"{CORTEX_M}::"):
            if f"{name}(" not in _cortex_m_kernels():
                raise ExportError(
                    f"ExecuTorch program, instruction {number}: expected an operator that ExecuTorch has a Cortex-M "
                    f"kernel for, found {name}; nothing was written"
                )
            return step
        last = values[arguments[-1]]
        writes = list(last.items) if isinstance(last, schema.TensorList) else [arguments[-1]]
        planned = [place for place, tensor in tensors.items() if tensor.allocation_info is not None]
        reads = [place for place in planned if place not in writes]
        portable = PortableInstruction(self._file, number, reads, writes)

        def execute(arguments: Sequence[object]) -> None:
            before = [self._tensor_at(place).clone() for place in reads]  # an output may lie where an input was
            step(arguments)
            portable.check(before, [self._tensor_at(place) for place in writes])

        return execute

    def _tensor_at(self, place: int) -> Tensor:
        tensor = self._values[place]
        assert isinstance(tensor, Tensor), "tensors of the program are torch's tensors here"
        return tensor

    def _value(self, value: object) -> object:
        """Return a value of the program as a Python or torch value; lists refer to values before them."""
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


@cache
def _cortex_m_kernels() -> str:
    """Return ExecuTorch's list of the operators that it has Cortex-M kernels for, with their signatures."""
    return files("executorch.backends.cortex_m.ops").joinpath("operators.yaml").read_text(encoding="utf-8")


def _operator(name: str, overload: str) -> Step:
    """Return torch's operator of a name."""
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


def _with_out(operator: OpOverload) -> Step:
    arguments = operator._schema.arguments
    positional = sum(not argument.kwarg_only for argument in arguments)
    keywords = [argument.name for argument in arguments if argument.kwarg_only]

    def execute(given: Sequence[object]) -> None:
        operator(*given[:positional], **dict(zip(keywords, given[positional:], strict=False)))

    return execute


def spread_kernel(weight: object, dilation: object) -> tuple[Tensor, list[int]]:
    """Return a dilated kernel with zeros between its taps, and a dilation of 1.

    This is needed because torch has no dilated convolution of integers.

    Args:
        weight: Weights whose height and width are dimensions 1 and 2.
        dilation: Vertical and horizontal dilation.
    """
    assert isinstance(weight, Tensor), "a convolution reads its weights"
    assert isinstance(dilation, list), "a convolution has two dilations"
    vertical, horizontal = dilation
    first, height, width, last = weight.shape
    spread = weight.new_zeros(first, (height - 1) * vertical + 1, (width - 1) * horizontal + 1, last)
    spread[:, ::vertical, ::horizontal] = weight
    return spread, [1, 1]
