"""The `memory` command as a person runs it."""

import json

from click.testing import CliRunner, Result

from flows.memory.command import memory_command
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner

ARCHITECTURE = Architecture(
    (
        Block(
            (
                Cell(
                    Branch(0, ops.CONV_3X3),
                    Branch(0, ops.MAX_POOL_3X3),
                    Combiner.CONCAT,
                    included=True,
                ),
                Cell(Branch(1, ops.CONV_3X3), Branch(0, ops.IDENTITY), Combiner.SUM, included=True),
            ),
            stride=1,
        ),
        Block((Cell(Branch(0, ops.DEPTHWISE_3X3), None, Combiner.SUM, included=True),), stride=2),
    ),
    filters=8,
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(memory_command, arguments)


def document(*arguments: str) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
