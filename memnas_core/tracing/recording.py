"""What a run of a network was, as plain values: operations, the values that they read and write, and what is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from memnas_core.tracing.channels import Channels


class RunningModule(NamedTuple):
    """The innermost module that runs an operation.

    Attributes:
        name: Dotted path of the module, empty for the network itself.
        is_leaf: Whether the module has no submodules.
    """

    name: str
    is_leaf: bool


class Value(NamedTuple):
    """What a storage holds between two writes.

    Attributes:
        shape: Shape without the leading batch dimension.
        elements: Number of elements in the whole storage; a complex number is two.
    """

    shape: tuple[int, ...]
    elements: int


class Call(NamedTuple):
    """One operation on activations.

    Attributes:
        name: Name of the operation in torch, such as `convolution`.
        module: Module that ran the operation.
        reads: Numbers of the values that the operation reads, each once.
        writes: Numbers of the values that the operation writes.
        weights: Names of the parameters that the operation reads, also through constants computed from them.
        is_elementwise: Whether the operation reads one activation, once, element by element.
        keeps_places: Whether each written element needs, of every input with as many elements, only the element at
            the same place in memory.
        joins: Whether the operation writes whole input values one behind the other.
        channels: Place of the channels for `memnas_core.tracing.folding`; None if the operation cannot be folded.
        is_depthwise: Whether the operation is a convolution of each channel by itself.
    """

    name: str
    module: RunningModule
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    weights: frozenset[str]
    is_elementwise: bool
    keeps_places: bool
    joins: bool
    channels: Channels | None
    is_depthwise: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of a network.

    Attributes:
        operations: Operations in the order in which they ran, without those on weights and buffers alone. What makes
            random numbers is one of them, though it reads no activation.
        values: All values by number; the inputs come first, then persistent state.
        inputs: Number of inputs.
        outputs: Numbers of the values that the network returned.
        kept: Numbers of the values that are needed after the run: `outputs`, and what the network then holds.
        state: Number of a value -> name of the persistent state that holds it when the run begins.
        places: Number of a value that is written into a persistent state -> number of the state's first value.
        weights: Shape of each parameter.
        complex_weights: Names of the parameters that are complex.
    """

    operations: tuple[Call, ...]
    values: tuple[Value, ...]
    inputs: int
    outputs: frozenset[int]
    kept: frozenset[int]
    state: Mapping[int, str]
    places: Mapping[int, int]
    weights: Mapping[str, tuple[int, ...]]
    complex_weights: frozenset[str]
