"""The order in which ONNX Runtime runs a network and the memory that it allocates, at its default settings.

These rules were observed in version 1.32 on a processor whose convolutions work on blocks of channels:

1. ONNX Runtime does not keep the order of the file. It goes back from the result and, of the operators that an
   operator reads, visits the one with the highest number first (`running_order`). Numbers follow the file, but fused
   operators get new numbers, after all others, in the order in which they are met.
2. Convolution and ReLU are one operator; a subsampling is two, rows first. Equal poolings of a tensor are one operator,
   and so are two concatenations if only the second reads the first (`_listed`). Convolutions have their channels in
   blocks of 16 or 8 (`channel_block`), the last block padded; so have poolings, sums and concatenations if there is
   nothing to pad and their inputs are in blocks. If the layout changes between two operators there is a copy
   (`_with_copies`).
3. A result takes over the memory of the tensor of the same shape that died last, if there is one; in between, this
   memory is not freed (`_buffers`). Nothing is overwritten in place.
4. The memory of all tensors but the result is one piece. Offsets are assigned in order of birth: each tensor goes into
   the gap that fits it best, otherwise on top (`_stacked`).

The image is in the caller's memory; the result is allocated by itself. If the channels are not a multiple of a block,
this is an approximation: some convolutions read padded tensors, others do not.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memnas_core.memory.steps import aligned
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import Layer, LayerKind, Shape

ALIGNMENT = 64
"""Number of bytes of which every offset in the piece of memory is a multiple."""

WIDE_BLOCK, NARROW_BLOCK = 16, 8
"""Channels of a block on a processor with 512-bit vectors, and on other processors."""

_POOLS = (LayerKind.AVERAGE_POOL, LayerKind.MAX_POOL)
_KEEPS_LAYOUT = (LayerKind.SUM, LayerKind.CONCAT)
_COPY = "copy"


class OnnxOperator(NamedTuple):
    """An operator of ONNX Runtime, which writes one tensor with the operator's name.

    Attributes:
        name: Unique name.
        kind: Kind of the layer that it computes, or `copy`.
        reads: Names of the tensors that it reads.
        output: Shape of the tensor that it writes.
        number: Number that decides the order where dataflow does not.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    output: Shape
    number: int


def channel_block(processor_flags: Collection[str]) -> int:
    """Return the number of channels in a block of ONNX Runtime's convolutions on a processor.

    Args:
        processor_flags: Features of the processor, as Linux names them (`memnas_core.environment.processor_flags`).
    """
    return WIDE_BLOCK if "avx512f" in processor_flags else NARROW_BLOCK


def onnxruntime_bytes(graph: Graph, element_bytes: int, block: int) -> int:
    """Return the largest number of bytes that ONNX Runtime has allocated while it runs one image.

    Args:
        graph: The network in the order of the file.
        element_bytes: Bytes of one activation.
        block: Channels of a block, from `channel_block`.
    """
    operators = _with_copies(_fused(graph), block)
    buffers = _buffers(operators, element_bytes)
    result = graph.shapes()[graph.output].elements * element_bytes
    return _stacked(buffers) + _rounded(result)


def running_order(operators: Iterable[OnnxOperator], result: str) -> list[OnnxOperator]:
    """Return operators in the order in which they run."""
    by_name = {operator.name: operator for operator in operators}
    done: dict[str, OnnxOperator] = {}
    stack = [(result, False)]
    visited = set()
    while stack:
        name, is_left = stack.pop()
        if is_left:
            done[name] = by_name[name]
        elif name not in visited:
            visited.add(name)
            stack.append((name, True))
            before = {by_name[read].number: read for read in by_name[name].reads if read in by_name}
            stack += [(read, False) for _, read in sorted(before.items()) if read not in visited]
    return list(done.values())


def _fused(graph: Graph) -> list[OnnxOperator]:
    """Return the operators after fusion in running order; convolutions get new numbers, then poolings too."""
    operators = _listed(graph)
    for renewed in ((LayerKind.CONV,), (LayerKind.CONV, *_POOLS)):
        in_order = running_order(operators, graph.output)
        behind = max(operator.number for operator in operators) + 1
        operators = [
            operator._replace(number=behind + place) if operator.kind in renewed else operator
            for place, operator in enumerate(in_order)
        ]
    return running_order(operators, graph.output)


def _listed(graph: Graph) -> list[OnnxOperator]:
    """Return the operators of the file; convolution and ReLU, which will be fused, are one operator already.

    Of several poolings, sums and the like that compute the same from the same tensors, one is left. A concatenation
    that only another concatenation reads is merged into it.
    """
    shapes = graph.shapes()
    same: dict[Layer, str] = {}
    alias = {IMAGE: IMAGE}
    found: list[OnnxOperator] = []
    for number, layer in enumerate(graph.layers):
        reads = tuple(alias[read] for read in layer.inputs)
        key = layer._replace(name="", inputs=reads)
        if layer.kind not in (LayerKind.CONV, LayerKind.LINEAR) and key in same:
            alias[layer.name] = same[key]
            continue
        same[key] = alias[layer.name] = layer.name
        if layer.kind is LayerKind.SUBSAMPLE:
            rows = Shape(layer.output.channels, layer.output.height, shapes[reads[0]].width)
            found.append(OnnxOperator(f"{layer.name} rows", layer.kind, reads, rows, 2 * number))
            reads = (f"{layer.name} rows",)
        found.append(OnnxOperator(layer.name, layer.kind, reads, layer.output, 2 * number + 1))
    return _without_nested(found)


def _without_nested(operators: Sequence[OnnxOperator]) -> list[OnnxOperator]:
    uses = Counter(read for operator in operators for read in operator.reads)
    parts: dict[str, tuple[str, ...]] = {}
    found: dict[str, OnnxOperator] = {}
    for operator in operators:
        reads = operator.reads
        if operator.kind == LayerKind.CONCAT:
            nested = [read for read in reads if read in parts and uses[read] == 1]
            reads = tuple(part for read in reads for part in (parts[read] if read in nested else (read,)))
            for read in nested:
                del found[read]
            parts[operator.name] = reads
        found[operator.name] = operator._replace(reads=reads)
    return list(found.values())


def _with_copies(operators: Sequence[OnnxOperator], block: int) -> list[OnnxOperator]:
    """Return the operators in running order, with copies added where the layout of channels changes."""
    blocked: dict[str, bool] = {IMAGE: False}
    shapes = {operator.name: operator.output for operator in operators}
    found: list[OnnxOperator] = []
    copies: dict[str, str] = {}
    behind = max(operator.number for operator in operators) + 1
    for operator in operators:
        wants = _wants_blocks(operator, blocked, block)
        reads = []
        for read in operator.reads:
            if blocked[read] != wants and read != IMAGE and shapes[read].height > 1:
                if read not in copies:
                    copies[read] = f"{read} copy"
                    shape = _padded(shapes[read], block) if wants else shapes[read]
                    found.append(OnnxOperator(copies[read], _COPY, (read,), shape, behind + len(found)))
                reads.append(copies[read])
            else:
                reads.append(read)
        blocked[operator.name] = wants
        output = _padded(operator.output, block) if wants else operator.output
        found.append(operator._replace(reads=tuple(reads), output=output))
    return running_order(found, operators[-1].name)


def _wants_blocks(operator: OnnxOperator, blocked: Mapping[str, bool], block: int) -> bool:
    if operator.kind == LayerKind.CONV:
        return True
    if operator.output.channels % block:
        return False
    return operator.kind in _POOLS or (operator.kind in _KEEPS_LAYOUT and all(blocked[read] for read in operator.reads))


def _padded(shape: Shape, block: int) -> Shape:
    return shape._replace(channels=aligned(shape.channels, block))


@dataclass(slots=True)
class _Memory:
    """A piece of memory for tensors of the same shape one after another, from its first to its last step."""

    shape: Shape
    size: int
    born: int
    uses: int
    last: int = 0


def _buffers(operators: Sequence[OnnxOperator], element_bytes: int) -> list[_Memory]:
    """Return the pieces of memory, without that of the result, in order of birth."""
    uses: dict[str, int] = {}
    for operator in operators:
        for read in operator.reads:
            uses[read] = uses.get(read, 0) + 1
    memory: dict[str, _Memory] = {}
    found: list[_Memory] = []
    free: list[_Memory] = []
    for step, operator in enumerate(operators):
        name, shape = operator.name, operator.output
        if operator is not operators[-1]:
            taken = _taken_over(shape, free)
            if taken is None:
                taken = _Memory(shape, _rounded(shape.elements * element_bytes), step, 0)
                found.append(taken)
            taken.uses += uses[name]
            memory[name] = taken
        for read in operator.reads:
            if read in memory:
                memory[read].uses -= 1
                if not memory[read].uses:
                    memory[read].last = step
                    free.insert(0, memory[read])
    return found


def _taken_over(shape: Shape, free: list[_Memory]) -> _Memory | None:
    for place, candidate in enumerate(free):
        if candidate.shape == shape:
            return free.pop(place)
    return None


def _stacked(buffers: Sequence[_Memory]) -> int:
    """Return the height of buffers that are placed in order of birth, each into the gap that fits it best."""
    height = 0
    placed: list[tuple[int, _Memory]] = []
    for buffer in buffers:
        beside = sorted((offset, other.size) for offset, other in placed if other.last >= buffer.born)
        gaps, top = [], 0
        for offset, size in beside:
            gaps.append((offset - top, top))
            top = max(top, offset + size)
        gaps.append((height - top, top))
        fitting = [gap for gap in gaps if gap[0] >= buffer.size]
        offset = min(fitting)[1] if fitting else top
        placed.append((offset, buffer))
        height = max(height, offset + buffer.size)
    return height


def _rounded(size: int) -> int:
    return aligned(size, ALIGNMENT)
