"""Architectures as flat parameters for optimisers that know nothing of graphs.

The stem has filters, and so has every block. A block has all parameters of `max_cells` cells, and `cells` says how many
of them count: with the same parameters in every network, crossover can mix any two. A cell has two inputs, two
operations, a combiner and whether it is included in the block's output; its second operation may be none, which is a
cell with one branch.
"""

from collections.abc import Iterator, Mapping

from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.operations import OPERATIONS

NONE = "none"

Choices = tuple[str, ...] | tuple[int, ...] | range
Values = Mapping[str, str | int]


def parameters(blocks: int, max_cells: int, filters: tuple[int, ...]) -> Iterator[tuple[str, Choices]]:
    """Yield the name of each parameter, and what it chooses from: whole numbers or words."""
    yield "stem filters", filters
    for block in range(blocks):
        yield f"b{block} filters", filters
        yield f"b{block} cells", range(1, max_cells + 1)
        for cell in range(max_cells):
            name = f"b{block} c{cell}"
            yield f"{name} input 1", range(cell + 1)
            yield f"{name} input 2", range(cell + 1)
            yield f"{name} operation 1", tuple(str(operation) for operation in OPERATIONS)
            yield f"{name} operation 2", (*(str(operation) for operation in OPERATIONS), NONE)
            yield f"{name} combiner", tuple(combiner.value for combiner in Combiner)
            yield f"{name} included", range(2)


def encode(architecture: Architecture) -> dict[str, str | int]:
    """Return the parameters that count."""
    values: dict[str, str | int] = {"stem filters": architecture.filters}
    for number, (block, width) in enumerate(zip(architecture.blocks, architecture.widths, strict=True)):
        values[f"b{number} filters"] = width
        values[f"b{number} cells"] = len(block.cells)
        for place, cell in enumerate(block.cells):
            name = f"b{number} c{place}"
            for side, branch in enumerate(cell.branches, start=1):
                values[f"{name} input {side}"] = branch.input
                values[f"{name} operation {side}"] = branch.operation
            if len(cell.branches) == 1:
                values[f"{name} operation 2"] = NONE
            values[f"{name} combiner"] = cell.combiner.value
            values[f"{name} included"] = int(cell.included)
    return values


def decode(values: Values, like: Architecture) -> Architecture:
    """Return the architecture that parameters stand for.

    Any values give one: a cell that nothing reads and that is not included would be no part of the network; it is
    included instead.

    Args:
        values: The parameters.
        like: Any architecture with the strides of the result.
    """
    blocks = []
    for number, block in enumerate(like.blocks):
        cells = [_cell(values, f"b{number} c{place}") for place in range(int(values[f"b{number} cells"]))]
        read = {branch.input for cell in cells for branch in cell.branches}
        whole = (cell._replace(included=cell.included or at not in read) for at, cell in enumerate(cells, start=1))
        blocks.append(Block(tuple(whole), block.stride, int(values[f"b{number} filters"])))
    return Architecture(tuple(blocks), int(values["stem filters"]), like.stem_stride)


def _cell(values: Values, name: str) -> Cell:
    first, second = (_branch(values, name, side) for side in (1, 2))
    return Cell(first, second, Combiner(str(values[f"{name} combiner"])), bool(values[f"{name} included"])).ordered()


def _branch(values: Values, name: str, side: int) -> Branch | None:
    operation = str(values[f"{name} operation {side}"])
    return None if operation == NONE else Branch(int(values[f"{name} input {side}"]), OPERATIONS[operation])
