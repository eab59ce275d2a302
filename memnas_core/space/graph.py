"""Lowering: an architecture at a given input shape becomes one plain graph of layers.

The torch network (`network`) and the memory figures (`measure`) are both made from this graph, so they
cannot disagree.

Source: section 3.1 and Figure 1(b). Where the paper is silent:

- A convolution is followed by batch norm and ReLU; the three are one layer with one output, as a runtime
  executes them. Batch norm's scale and shift count as weights, its running statistics do not.
- A block's input is projected once by a 1x1 convolution where its channel count is not F, and so is the input
  of each channel-keeping layer (depthwise, pooling, identity) that reads a concatenation. In a block with its own
  number of filters, which the paper does not have, F is that number.
- An identity with stride 1 is no layer: the tensor is passed on. With stride 2 it takes every other pixel.
- A cell with one layer left has no combiner, and a block with one included cell no final concatenation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from memnas_core.errors import GraphError
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.layers import Layer, LayerKind, Shape
from memnas_core.space.operations import Operation, Place

IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as layers in execution order; it reads `image` and writes `output`."""

    input_shape: Shape
    layers: tuple[Layer, ...]
    output: str

    @property
    def weights(self) -> int:
        """Number of trainable weights."""
        return sum(layer.weights for layer in self.layers)

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor, the image included."""
        return {IMAGE: self.input_shape} | {layer.name: layer.output for layer in self.layers}

    def plain(self) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return layer name -> (names of inputs, names of outputs), as needed by `memnas_core.memory.lifetimes`."""
        return {layer.name: (layer.inputs, (layer.name,)) for layer in self.layers}

    def sizes(self, element_bytes: int) -> dict[str, int]:
        """Return the bytes of every tensor at batch 1."""
        return {name: shape.elements * element_bytes for name, shape in self.shapes().items()}


class Fragment(NamedTuple):
    """The layers of one block, and the tensor that is the block's output."""

    layers: tuple[Layer, ...]
    output: str
    shape: Shape


def check_input_side(architecture: Architecture, side: int) -> None:
    """Refuse an image side that the strides cannot halve evenly.

    Raises:
        GraphError: The side does not fit; the message names the strides and the nearest sides that do.
    """
    factor = architecture.reduction
    if side < 1 or side % factor:
        below = max(side, 0) // factor * factor
        fitting = " or ".join(str(s) for s in (below, below + factor) if s)
        raise GraphError(
            f"image side {side}: expected a multiple of {factor}, which the strides "
            f"{architecture.strides} can halve; use {fitting}"
        )


def lower(architecture: Architecture, input_shape: Shape, classes: int) -> Graph:
    """Lower an architecture to its graph: stem, blocks, global average pool, linear classifier.

    Args:
        architecture: The architecture to lower.
        input_shape: Channels, height and width of an image.
        classes: Number of outputs of the classifier.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    check_input_side(architecture, input_shape.height)
    check_input_side(architecture, input_shape.width)
    layers = [stem(architecture, input_shape)]
    source, shape = layers[0].name, layers[0].output
    for number, block in enumerate(architecture.blocks, start=1):
        fragment = lower_block(block, architecture.filters, source, shape, number)
        layers += fragment.layers
        source, shape = fragment.output, fragment.shape
    layers += head(source, shape, classes)
    return Graph(input_shape, tuple(layers), layers[-1].name)


def stem(architecture: Architecture, input_shape: Shape) -> Layer:
    """Return the first layer, a 3x3 convolution to F channels."""
    step = architecture.stem_stride
    output = Shape(architecture.filters, input_shape.height // step, input_shape.width // step)
    return Layer("stem", LayerKind.CONV, (IMAGE,), input_shape.channels, output, (3, 3), (step, step))


def head(source: str, shape: Shape, classes: int) -> tuple[Layer, Layer]:
    """Return the last two layers, global average pool and linear classifier."""
    vector = Shape(shape.channels, 1, 1)
    pool = Layer("pool", LayerKind.GLOBAL_AVERAGE_POOL, (source,), shape.channels, vector)
    linear = Layer("classifier", LayerKind.LINEAR, (pool.name,), shape.channels, Shape(classes, 1, 1))
    return pool, linear


def lower_block(block: Block, filters: int, source: str, shape: Shape, number: int) -> Fragment:
    """Lower one block.

    Args:
        block: The block.
        filters: Filters of every operation layer of a block without a number of its own (the paper's F).
        source: Name of the tensor that enters the block.
        shape: Shape of that tensor.
        number: Number of the block from 1, used in layer names.
    """
    prefix, filters = f"b{number}", block.width(filters)
    layers: list[Layer] = []
    if shape.channels != filters:
        layers.append(_projection(f"{prefix}_project", source, shape, filters, number))
        source, shape = layers[-1].name, layers[-1].output
    readable: list[tuple[str, Shape]] = [(source, shape)]
    for position, cell in enumerate(block.cells, start=1):
        new, output = _lower_cell(cell, f"{prefix}_c{position}", block.stride, filters, readable, number)
        layers += new
        readable.append(output)
    included = [output for cell, output in zip(block.cells, readable[1:], strict=True) if cell.included]
    name, shape = included[0]
    if len(included) > 1:
        channels = sum(output.channels for _, output in included)
        shape = Shape(channels, shape.height, shape.width)
        name = f"{prefix}_output"
        names = tuple(tensor for tensor, _ in included)
        layers.append(Layer(name, LayerKind.CONCAT, names, channels, shape, block=number))
    return Fragment(tuple(layers), name, shape)


def cell_channels(cell: Cell, filters: int) -> int:
    """Return the channels of a cell's output: 2F where it concatenates two layers, else F."""
    return 2 * filters if cell.combiner is Combiner.CONCAT and len(cell.branches) == 2 else filters


@lru_cache
def branch_weights(operation: Operation, channels: int, filters: int) -> int:
    """Return the weights of an operation that reads `channels` channels, its projection included."""
    layers = _lower_branch(Branch(0, operation), "", 1, filters, "", Shape(channels, 1, 1), 0)
    return sum(layer.weights for layer in layers)


def projection_weights(channels: int, filters: int) -> int:
    """Return the weights of a 1x1 projection from `channels` to F channels."""
    return _projection("", "", Shape(channels, 1, 1), filters, 0).weights


def _lower_cell(
    cell: Cell, prefix: str, stride: int, filters: int, readable: list[tuple[str, Shape]], number: int
) -> tuple[list[Layer], tuple[str, Shape]]:
    layers: list[Layer] = []
    outputs: list[tuple[str, Shape]] = []
    for side, branch in (("a", cell.first), ("b", cell.second)):
        if branch is None:
            continue
        source, shape = readable[branch.input]
        step = stride if branch.input == 0 else 1
        new = tuple(_lower_branch(branch, f"{prefix}_{side}", step, filters, source, shape, number))
        layers += new
        outputs.append((new[-1].name, new[-1].output) if new else (source, shape))
    if len(outputs) == 1:
        return layers, outputs[0]
    names = tuple(tensor for tensor, _ in outputs)
    shape = outputs[0][1]
    output = Shape(cell_channels(cell, filters), shape.height, shape.width)
    kind = LayerKind.SUM if cell.combiner is Combiner.SUM else LayerKind.CONCAT
    join = Layer(f"{prefix}_{kind}", kind, names, output.channels, output, block=number)
    return [*layers, join], (join.name, join.output)


def _lower_branch(
    branch: Branch, name: str, step: int, filters: int, source: str, shape: Shape, number: int
) -> Iterator[Layer]:
    operation = branch.operation
    if not operation.reads_any_width and shape.channels != filters:
        projection = _projection(f"{name}_project", source, shape, filters, number)
        yield projection
        source, shape = projection.name, projection.output
    yield from operation.layers(Place(name, source, shape, filters, step, number))


def _projection(name: str, source: str, shape: Shape, filters: int, number: int) -> Layer:
    output = Shape(filters, shape.height, shape.width)
    return Layer(name, LayerKind.CONV, (source,), shape.channels, output, block=number)
