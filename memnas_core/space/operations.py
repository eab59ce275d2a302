"""The operations of the search space, in one table.

An operation is a name and the layers that it is lowered to. Everything else follows from those layers: weights, memory,
the controller's features, the weights that a candidate inherits, the torch module. Your own operations need no change
here: pass them to `register` (docs/extending.md).

Source: section 3.1. The first seven are the paper's, in its bit order: the first is the lowest bit of L.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple, Self

from memnas_core.errors import ArchitectureError
from memnas_core.space.layers import Layer, LayerKind, Shape


class Place(NamedTuple):
    """The place of an operation in a network.

    Attributes:
        name: Name of its layer; with several layers, the prefix of their names.
        source: Name of the tensor that it reads.
        shape: Shape of that tensor.
        filters: Channels of its output (the paper's F).
        stride: Factor by which it shrinks height and width.
        block: Number of its block, recorded in its layers.
    """

    name: str
    source: str
    shape: Shape
    filters: int
    stride: int
    block: int

    @property
    def output(self) -> Shape:
        """Shape of the operation's output."""
        return Shape(self.filters, self.shape.height // self.stride, self.shape.width // self.stride)

    @property
    def steps(self) -> tuple[int, int]:
        """Vertical and horizontal step of a layer that applies the whole stride."""
        return self.stride, self.stride


Lowering = Callable[[Place], tuple[Layer, ...]]


class Label(NamedTuple):
    """The appearance of an operation in pictures.

    Attributes:
        colour: Colour of its box, such as `#9dc3e6`.
        short: Name of the operation in the box, ten letters at most.
        words: Name of the operation in the picture's key.
    """

    colour: str
    short: str
    words: str


class Operation(str):
    """An operation layer (the paper's L); its string value is its name.

    Attributes:
        layers: Function from a place to the operation's layers; without layers it passes its input on.
        label: Appearance in pictures.
        reads_any_width: Whether it reads any number of channels. If not, an input with another number than F is first
            projected to F channels, so that the operation can keep their number.
        is_grown: Whether growing puts it into new cells.
        is_optional: Whether growing does so, and controllers are told of it, only where networks have it already.
        number: Index in the table, from 0; the controller's features depend on it.
        rank: Number that no other operation has, whatever else is in the table; ids of architectures depend on it.
        home: Module that defines it.
    """

    layers: Lowering
    label: Label
    reads_any_width: bool
    is_grown: bool
    is_optional: bool
    number: int
    rank: int
    home: str

    def __new__(
        cls,
        name: str,
        layers: Lowering,
        label: Label,
        *,
        reads_any_width: bool = False,
        is_grown: bool = True,
        is_optional: bool = False,
    ) -> Self:
        """Return an operation that is not in the table yet; `register` puts it there."""
        operation = super().__new__(cls, name)
        operation.layers, operation.label = layers, label
        operation.reads_any_width, operation.is_grown, operation.is_optional = reads_any_width, is_grown, is_optional
        operation.number, operation.rank, operation.home = -1, -1, __name__
        return operation

    def __reduce__(self) -> tuple[Callable[[str, str], "Operation"], tuple[str, str]]:
        """Pickle the name and the defining module, so that a training process looks it up in its own table."""
        return _registered, (str(self), self.home)


PAPERS_OPERATIONS = 8
"""Number of operations that this module registers. Their ranks are their numbers; the rank of any other is its name."""


class Operations:
    """The table of operations, in order of registration.

    Attributes:
        basic: Those that are not optional.
        grown: Those of them that growing puts into new cells.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Operation] = {}
        self.grown: tuple[Operation, ...] = ()
        self.basic: tuple[Operation, ...] = ()

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Operation:
        """Return the operation with this name.

        Raises:
            ArchitectureError: No operation has this name.
        """
        if name not in self._by_name:
            raise ArchitectureError(f"expected one of {', '.join(self)}, found {name!r}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def add(self, operation: Operation) -> None:
        """Append an operation to the table; ids of networks without it do not change.

        Raises:
            ArchitectureError: The name is taken or not an identifier, or the layers break a rule of operations.
        """
        if operation in self._by_name or not operation.isidentifier():
            raise ArchitectureError(f"operation {str(operation)!r}: expected a name of its own, such as conv_5x5")
        _check_layers(operation)
        operation.number = len(self._by_name)
        operation.rank = (
            operation.number if operation.number < PAPERS_OPERATIONS else int.from_bytes(operation.encode())
        )
        self._by_name[str(operation)] = operation
        self.basic = tuple(one for one in self if not one.is_optional)
        self.grown = tuple(one for one in self.basic if one.is_grown)


OPERATIONS = Operations()


def register(operation: Operation, home: str = __name__) -> Operation:
    """Add an operation to the table and return it; call this where the operation is defined, before any search.

    Args:
        operation: The operation to register.
        home: `__name__` of the module that defines it; training processes import this module.

    Raises:
        ArchitectureError: As in `Operations.add`.
    """
    OPERATIONS.add(operation)
    operation.home = home
    return operation


def _registered(name: str, home: str) -> Operation:
    if name not in OPERATIONS:
        import_module(home)
    return OPERATIONS[name]


def _check_layers(operation: Operation) -> None:
    """Refuse an operation whose layers do not turn its input into F channels of the right height and width."""
    for width, stride in ((4, 1), (4, 2), *(((8, 1), (8, 2)) if operation.reads_any_width else ())):
        place = Place("x", "read", Shape(width, 8, 8), 4, stride, 1)
        known, last = {place.source: place.shape}, place.source
        for layer in operation.layers(place):
            if not layer.name.startswith(place.name) or layer.name in known or not set(layer.inputs) <= known.keys():
                raise ArchitectureError(
                    f"operation {str(operation)!r}: expected layers whose names begin with that of the place and which "
                    f"read what was written before, found {layer}"
                )
            known[layer.name], last = layer.output, layer.name
        if known[last] != place.output:
            raise ArchitectureError(
                f"operation {str(operation)!r}: expected to write {place.output} from {place.shape} at stride "
                f"{stride}, found {known[last]}"
            )


def convolution(kernel: int, *, dilation: int = 1, depthwise: bool = False) -> Lowering:
    """Return the lowering to one convolution with a square kernel.

    Args:
        kernel: Side of the kernel.
        dilation: Distance between the kernel's taps.
        depthwise: Whether each channel is convolved separately.
    """

    def layers(place: Place) -> tuple[Layer, ...]:
        read, output, steps = place.shape.channels, place.output, place.steps
        groups, kind = (read if depthwise else 1), LayerKind.CONV
        window = (kernel, kernel)
        return (Layer(place.name, kind, (place.source,), read, output, window, steps, dilation, groups, place.block),)

    return layers


def separable(kernel: int) -> Lowering:
    """Return the lowering to a depthwise convolution with a square kernel and a 1x1 convolution that reads it."""

    def layers(place: Place) -> tuple[Layer, ...]:
        read, output = place.shape.channels, place.output
        middle, window = Shape(read, output.height, output.width), (kernel, kernel)
        depthwise, pointwise = f"{place.name}_depthwise", f"{place.name}_pointwise"
        kind, steps, block = LayerKind.CONV, place.steps, place.block
        return (
            Layer(depthwise, kind, (place.source,), read, middle, window, steps, groups=read, block=block),
            Layer(pointwise, kind, (depthwise,), read, output, block=block),
        )

    return layers


def pooling(kind: LayerKind) -> Lowering:
    """Return the lowering to one pooling over 3x3 pixels."""

    def layers(place: Place) -> tuple[Layer, ...]:
        read, output = place.shape.channels, place.output
        return (Layer(place.name, kind, (place.source,), read, output, (3, 3), place.steps, block=place.block),)

    return layers


def _factorized_7x7(place: Place) -> tuple[Layer, ...]:
    """Return a 1x7 convolution and a 7x1 convolution that reads it."""
    output, filters, step = place.output, place.filters, place.stride
    narrow = Shape(filters, place.shape.height, output.width)
    row, column = f"{place.name}_1x7", f"{place.name}_7x1"
    read, block = place.shape.channels, place.block
    return (
        Layer(row, LayerKind.CONV, (place.source,), read, narrow, (1, 7), (1, step), block=block),
        Layer(column, LayerKind.CONV, (row,), filters, output, (7, 1), (step, 1), block=block),
    )


def _identity(place: Place) -> tuple[Layer, ...]:
    """Return no layer, or with stride 2 a layer that takes every other pixel."""
    if place.stride == 1:
        return ()
    read, output, steps = place.shape.channels, place.output, place.steps
    return (Layer(place.name, LayerKind.SUBSAMPLE, (place.source,), read, output, stride=steps, block=place.block),)


CONV_3X3 = register(
    Operation("conv_3x3", convolution(3), Label("#9dc3e6", "conv 3×3", "conv 3×3"), reads_any_width=True)
)
DEPTHWISE_3X3 = register(
    Operation("depthwise_3x3", convolution(3, depthwise=True), Label("#fbd38d", "dw 3×3", "depthwise 3×3"))
)
DEPTHWISE_5X5 = register(
    Operation("depthwise_5x5", convolution(5, depthwise=True), Label("#f4a582", "dw 5×5", "depthwise 5×5"))
)
FACTORIZED_7X7 = register(
    Operation("factorized_7x7", _factorized_7x7, Label("#cbb2e6", "1×7, 7×1", "1×7 then 7×1"), reads_any_width=True)
)
AVERAGE_POOL_3X3 = register(
    Operation("average_pool_3x3", pooling(LayerKind.AVERAGE_POOL), Label("#d3e8b0", "avg 3×3", "average pool 3×3"))
)
MAX_POOL_3X3 = register(
    Operation("max_pool_3x3", pooling(LayerKind.MAX_POOL), Label("#86c98f", "max 3×3", "max pool 3×3"))
)
DILATED_3X3 = register(
    Operation(
        "dilated_3x3", convolution(3, dilation=2), Label("#7fd1d1", "dil 3×3", "dilated conv 3×3"), reads_any_width=True
    )
)
IDENTITY = register(Operation("identity", _identity, Label("#ffffff", "identity", "identity"), is_grown=False))
"""Trimming inserts it, growing never proposes it. It is in the paper's text, not in its table."""

SEPARABLE_3X3 = register(
    Operation(
        "separable_3x3",
        separable(3),
        Label("#f7d6e0", "sep 3×3", "separable 3×3"),
        reads_any_width=True,
        is_optional=True,
    )
)
SEPARABLE_5X5 = register(
    Operation(
        "separable_5x5",
        separable(5),
        Label("#e8a0b8", "sep 5×5", "separable 5×5"),
        reads_any_width=True,
        is_optional=True,
    )
)
"""Depthwise-separable convolutions (MobileNet, Howard et al., 2017). They are not in the paper, so that only a search
whose `search.seed_cells` have them knows them."""
