"""ONNX Runtime's order and allocations, by hand."""

from memnas_core.memory.onnxruntime_plan import (
    WIDE_BLOCK,
    OnnxOperator,
    channel_block,
    onnxruntime_bytes,
    running_order,
)
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import IMAGE, lower
from memnas_core.space.layers import LayerKind, Shape
from memnas_core.space.operations import Operation

POINT = Shape(1, 1, 1)


def operator(name: str, reads: tuple[str, ...], number: int) -> OnnxOperator:
    return OnnxOperator(name, LayerKind.SUM, reads, POINT, number)


def test_the_highest_number_comes_first() -> None:
    # d reads b and c; c has the higher number and is visited first, so that it runs before b.
    operators = [
        operator("a", (IMAGE,), 0),
        operator("b", ("a",), 1),
        operator("c", ("a",), 2),
        operator("d", ("b", "c"), 3),
    ]
    assert [found.name for found in running_order(operators, "d")] == ["a", "c", "b", "d"]
    renumbered = [found._replace(number=4) if found.name == "b" else found for found in operators]
    assert [found.name for found in running_order(renumbered, "d")] == ["a", "b", "c", "d"]


def architecture(first: Operation, second: Operation, combiner: Combiner) -> Architecture:
    cell = Cell(Branch(0, first), Branch(0, second), combiner, included=True).ordered()
    return Architecture((Block((cell,), 1),), WIDE_BLOCK)


def test_a_sum_by_hand() -> None:
    # 16 channels of 8 x 8 are 4096 bytes. Stem, two results, their sum: the sum takes the stem's place, which died
    # with the second branch. The mean's plain copy takes no more, the result of 10 floats lies apart: 40 -> 64.
    found = architecture(ops.CONV_3X3, ops.DILATED_3X3, Combiner.SUM)
    assert onnxruntime_bytes(lower(found, Shape(3, 8, 8), 10), 4, WIDE_BLOCK) == 3 * 4096 + 64


def test_a_concatenation_by_hand() -> None:
    # Stem and two results, then the concatenation of twice their size beside the two and the stem's gap of one: it is
    # larger than the gap, so it goes on top. Its plain copy begins when the others are gone.
    found = architecture(ops.CONV_3X3, ops.DILATED_3X3, Combiner.CONCAT)
    assert onnxruntime_bytes(lower(found, Shape(3, 8, 8), 10), 4, WIDE_BLOCK) == 5 * 4096 + 64


def test_equal_poolings_run_once() -> None:
    # Two equal poolings are one tensor, and the sum reads it twice: stem and pooling, sum in the stem's place.
    found = architecture(ops.MAX_POOL_3X3, ops.MAX_POOL_3X3, Combiner.SUM)
    assert onnxruntime_bytes(lower(found, Shape(3, 8, 8), 10), 4, WIDE_BLOCK) == 2 * 4096 + 64


def test_padded_channels() -> None:
    # 4 channels are padded to 16 in the stem's output; the plain copy that the mean reads has 4.
    cell = Cell(Branch(0, ops.IDENTITY), None, Combiner.SUM, included=True)
    graph = lower(Architecture((Block((cell,), 1),), 4), Shape(3, 8, 8), 10)
    assert onnxruntime_bytes(graph, 4, WIDE_BLOCK) == 4096 + 1024 + 64
    # In blocks of 8, to 8.
    assert onnxruntime_bytes(graph, 4, 8) == 2048 + 1024 + 64


def test_the_processor_decides_the_block() -> None:
    assert channel_block({"avx2", "avx512f"}) == 16
    assert channel_block({"avx2"}) == channel_block(()) == 8
