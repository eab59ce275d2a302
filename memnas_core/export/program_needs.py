"""What a firmware must bring for an ExecuTorch program, read from the program itself."""

from memnas_core.export.file_format import Needs
from memnas_core.export.runtime_tables import allocator_needs


def program_needs(content: bytes) -> Needs:
    """Return what a program needs.

    Args:
        content: Content of a .pte file with one method.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    (plan,) = deserialize_pte_binary(content).program.execution_plan
    operators = {f"{operator.name}.{operator.overload}".rstrip(".") for operator in plan.operators}
    return Needs(
        operators=tuple(sorted(operators)),
        # Buffer 0 stands for memory that is not planned.
        buffers=tuple(plan.non_const_buffer_sizes[1:]),
        allocators={8 * size: needs for size in (4, 8) if (needs := allocator_needs(plan, size)) is not None},
    )
