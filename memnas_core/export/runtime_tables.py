"""Memory that ExecuTorch's runtime needs for its own tables of a program, beside the planned activations.

When a method is loaded, the runtime asks its method allocator for every value, tensor, list and instruction of the
program once. A firmware has to give that allocator a pool that suffices; for a small network it is larger than the
activations. A second, temporary allocator is used while operators are looked up, and is empty again afterwards.

Source: the allocations of ExecuTorch 1.5.1's `Method::init`, observed one by one with 64-bit pointers. With 32 bits the
sizes follow from its C++ types, with `int64_t` and `double` aligned to 8 bytes as on Arm.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from memnas_core.export.file_format import AllocatorNeeds

if TYPE_CHECKING:
    from executorch.exir.schema import ExecutionPlan

EVALUE_BYTES = 16
STRIDE_BYTES, INT_BYTES, BOOL_BYTES = 4, 8, 1


def allocator_needs(plan: "ExecutionPlan", pointer_bytes: int) -> AllocatorNeeds | None:
    """Return what loading a method takes from its allocators; None if a value is of a kind that is not known.

    Args:
        plan: The method, without delegates.
        pointer_bytes: Size of a pointer on the device: 4 or 8.
    """
    from executorch.exir import schema

    known = (schema.Tensor, schema.IntList, schema.TensorList, schema.Int, schema.Bool, schema.Double, schema.Null)
    simple = (schema.BoolList, schema.DoubleList, schema.String)  # they are read where they are in the file
    if not all(isinstance(value.val, known + simple) for value in plan.values):
        return None
    cursor = 0
    for size, alignment in _method_allocations(plan, pointer_bytes):
        cursor = -(-cursor // alignment) * alignment + size
    return AllocatorNeeds(cursor, max(_lookups(plan, pointer_bytes), default=0))


def _method_allocations(plan: "ExecutionPlan", pointer: int) -> Iterator[tuple[int, int]]:
    """Yield size and alignment of each allocation, in order."""
    from executorch.exir import schema

    boxed_list = 3 * pointer  # a span, and a pointer to what it holds
    tensor = 4 * pointer + 3 * pointer + 4  # four pointers, three sizes, and four bytes of small fields
    tensor = -(-tensor // pointer) * pointer
    yield EVALUE_BYTES * len(plan.values), 8
    yield BOOL_BYTES * len(plan.inputs), 1
    for entry in plan.values:
        match entry.val:
            case schema.Tensor() as value:
                yield STRIDE_BYTES * len(value.sizes), 4
                yield tensor, pointer
            case schema.IntList() as value:
                yield pointer * len(value.items), pointer
                yield INT_BYTES * len(value.items), 8
                yield boxed_list, pointer
            case schema.TensorList() as value:
                yield pointer * len(value.items), pointer
                yield pointer * len(value.items), pointer
                yield boxed_list, pointer
    yield 4 * pointer * len(plan.chains), pointer
    for chain in plan.chains:
        yield pointer * len(chain.instructions), pointer
        yield 2 * pointer * len(chain.instructions), pointer
        for instruction in chain.instructions:
            if isinstance(instruction.instr_args, schema.KernelCall):
                yield pointer * len(instruction.instr_args.args), pointer


def _lookups(plan: "ExecutionPlan", pointer: int) -> Iterator[int]:
    """Yield the bytes in use after each operator was looked up: its arguments' types and orders of dimensions."""
    from executorch.exir import schema

    for chain in plan.chains:
        for instruction in chain.instructions:
            if not isinstance(instruction.instr_args, schema.KernelCall):
                continue
            arguments = [plan.values[place].val for place in instruction.instr_args.args]
            lists = [value.items for value in arguments if isinstance(value, schema.TensorList)]
            tensors = [value for value in arguments if isinstance(value, schema.Tensor)]
            tensors += [plan.values[items[0]].val for items in lists if items]
            yield 3 * pointer * len(arguments) + sum(len(value.sizes) for value in tensors)
