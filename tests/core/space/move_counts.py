"""The paper's formulas for the number of moves."""

from memnas_core.space.architecture import Architecture, Combiner
from memnas_core.space.moves import available_inputs
from memnas_core.space.operations import OPERATIONS


def count_growths(base: Architecture) -> int:
    """Return Eq. 1, |I|^2 |L|^2 |C|^2 with |L| = 7 and |C| = 2."""
    return available_inputs(base) ** 2 * len(OPERATIONS.grown) ** 2 * len(Combiner) ** 2


def count_trims(base: Architecture) -> int:
    """Return Eq. 2, the sum over blocks of layers, cells and outputs in the final concatenation."""
    return sum(
        sum(len(cell.branches) for cell in block.cells) + len(block.cells) + sum(cell.included for cell in block.cells)
        for block in base.blocks
    )
