"""The integers of a network, read from ExecuTorch's int8 lowering for Cortex-M, so that C and `.pte` compute the same.

The lowered program has one operator for each layer of the graph, in the same order; a subsampling takes two, one for
rows and one for columns.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from memnas_core.export import cortex_m
from memnas_core.export.file_format import ExportError
from memnas_core.export.quantise import TakesChannelsLast, channels_last, export_int8
from memnas_core.firmware.quantised import (
    MOST,
    Factor,
    Numbers,
    Quantisation,
    QuantisedNetwork,
    SumNumbers,
    WeightedNumbers,
    is_depthwise,
    padding,
)
from memnas_core.space.layers import Layer, LayerKind
from memnas_core.training.deployed import DeployedNetwork

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_ANY_CORE = "cortex-m0"
"""A core whose kernels take constants as they are."""

_QUANTISE, _DEQUANTISE = "cortex_m::quantize_per_tensor", "cortex_m::dequantize_per_tensor"
_CONV, _DEPTHWISE = "cortex_m::quantized_conv2d_nhwc", "cortex_m::quantized_depthwise_conv2d_nhwc"
_LINEAR, _ADD = "cortex_m::quantized_linear", "cortex_m::quantized_add"
_SLICE = "aten::slice_copy"
_NO_LAYERS = ("aten::view_copy", "")
"""Operators that only rename a tensor or reserve memory."""

_OPERATORS = {
    LayerKind.CONV: (_CONV, _DEPTHWISE),
    LayerKind.AVERAGE_POOL: ("cortex_m::quantized_avg_pool2d_nhwc",),
    LayerKind.GLOBAL_AVERAGE_POOL: ("cortex_m::quantized_avg_pool2d_nhwc",),
    LayerKind.MAX_POOL: ("cortex_m::quantized_max_pool2d_nhwc",),
    LayerKind.SUBSAMPLE: (_SLICE,),
    LayerKind.SUM: (_ADD,),
    LayerKind.CONCAT: ("aten::cat",),
    LayerKind.LINEAR: (_LINEAR,),
}


def quantised_network(network: DeployedNetwork, images: Tensor) -> QuantisedNetwork:
    """Return a network in integers.

    Args:
        network: What to quantise.
        images: Normalised training images to calibrate it on, shape (n, channels, height, width).

    Raises:
        ExportError: The lowered program has other operators than the network has layers.
        GraphError: The kernels cannot compute a layer.
    """
    with cortex_m.quiet():
        program = export_int8(TakesChannelsLast(network), channels_last(images))
        lowered = cortex_m.to_cortex_m(program, _ANY_CORE).exported_program()
    return read_lowered(network, lowered)


def read_lowered(network: DeployedNetwork, lowered: "ExportedProgram") -> QuantisedNetwork:
    """Return the integers of a lowered program; errors are those of `quantised_network`."""
    reader = _Reader(lowered)
    image, *operators, scores = reader.operators()
    if reader.name(image) != _QUANTISE or reader.name(scores) != _DEQUANTISE:
        raise ExportError(
            f"int8 program: expected {_QUANTISE} first and {_DEQUANTISE} last, found {reader.name(image)} and "
            f"{reader.name(scores)}"
        )
    numbers: dict[str, Numbers] = {}
    rest = iter(operators)
    for layer in network.graph.layers:
        node = _next(reader, rest, layer)
        if layer.kind is LayerKind.SUBSAMPLE:
            node = _next(reader, rest, layer)
        shape = tuple(node.meta["val"].shape)
        output = layer.output
        expected = (1, output.height, output.width, output.channels)
        if shape != (expected if len(shape) == len(expected) else (1, output.channels)):
            raise ExportError(f"int8 program, layer {layer.name}: expected the shape {expected}, found {shape}")
        if layer.kind in (LayerKind.CONV, LayerKind.LINEAR):
            numbers[layer.name] = reader.weighted(layer, node)
        elif layer.kind is LayerKind.SUM:
            numbers[layer.name] = reader.sum(layer, node)
        elif layer.kind in (LayerKind.AVERAGE_POOL, LayerKind.MAX_POOL):
            reader.check_window(layer, node)
    if (left := next(rest, None)) is not None:
        raise ExportError(f"int8 program: expected nothing after the last layer, found {reader.name(left)}")
    return QuantisedNetwork(
        network.graph,
        numbers,
        reader.quantisation(image),
        reader.quantisation(scores),
    )


def _next(reader: "_Reader", operators: Iterator[Node], layer: Layer) -> Node:
    node = next(operators, None)
    found = "the end" if node is None else reader.name(node)
    if node is None or found not in _OPERATORS[layer.kind]:
        raise ExportError(
            f"int8 program, layer {layer.name}: expected {' or '.join(_OPERATORS[layer.kind])}, found {found}"
        )
    return node


class _Reader:
    """A lowered program and its constants."""

    def __init__(self, program: "ExportedProgram") -> None:
        from torch.export.graph_signature import InputKind

        self._nodes = program.graph.nodes
        tensors = {**program.state_dict, **program.constants}
        self._constants = {
            spec.arg.name: tensors[spec.target]
            for spec in program.graph_signature.input_specs
            if spec.kind is not InputKind.USER_INPUT
        }

    def operators(self) -> list[Node]:
        """Return the operators that compute something, in order."""
        return [node for node in self._nodes if node.op == "call_function" and self.name(node) not in _NO_LAYERS]

    def name(self, node: Node) -> str:
        """Return the name of a node's operator; empty if it is none."""
        return str(getattr(getattr(node.target, "_schema", None), "name", ""))

    def arguments(self, node: Node) -> dict[str, object]:
        """Return the arguments of an operator by name."""
        names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
        return dict(zip(names, node.args, strict=False))

    def quantisation(self, node: Node) -> Quantisation:
        """Return what an operator between float32 and int8 takes the integers for."""
        given = self.arguments(node)
        assert isinstance(given["scale"], float), "an argument of the operator"
        return Quantisation(given["scale"], _number(given["zero_point"]))

    def weighted(self, layer: Layer, node: Node) -> WeightedNumbers:
        """Return the numbers of a convolution or of the classifier."""
        given = self.arguments(node)
        if layer.kind is LayerKind.CONV:
            self.check_window(layer, node)
        weights = self._array(given["weights" if layer.kind is LayerKind.LINEAR else "weight"])
        channels, inputs = layer.output.channels, layer.in_channels
        if layer.kind is LayerKind.LINEAR:
            weights = weights.reshape(channels, 1, 1, inputs)
        elif is_depthwise(layer):
            weights = weights.reshape(*layer.kernel, channels)
        elif self.name(node) == _DEPTHWISE:  # what reads one channel: (1, height, width, outputs)
            weights = weights.reshape(*layer.kernel, channels, 1).transpose(2, 0, 1, 3)
        biases = np.zeros(channels, np.int32) if given["bias"] is None else self._array(given["bias"])
        self._check_most(layer, given)
        return WeightedNumbers(
            np.ascontiguousarray(weights),
            biases,
            np.broadcast_to(self._array(given["requantize_multipliers"]), channels),
            np.broadcast_to(self._array(given["requantize_shifts"]), channels),
            -_number(given["input_offset"]),
            _number(given["output_offset"]),
            _number(given["activation_min"]),
        )

    def sum(self, layer: Layer, node: Node) -> SumNumbers:
        """Return the numbers of a sum."""
        given = self.arguments(node)
        self._check_most(layer, given)
        sides = ("self", "other")
        first, second = (
            Factor(_number(given[f"{side}_multiplier"]), _number(given[f"{side}_shift"])) for side in sides
        )
        return SumNumbers(
            (_number(given["self_zero_point"]), _number(given["other_zero_point"])),
            (first, second),
            _number(given["output_zero_point"]),
            Factor(_number(given["output_multiplier"]), _number(given["output_shift"])),
            _number(given["activation_min"]),
        )

    def check_window(self, layer: Layer, node: Node) -> None:
        """Check stride and padding of an operator, and its dilation."""
        given = self.arguments(node)
        dilation = given.get("dilation", [1, 1])
        found = tuple(tuple(_numbers(value)) for value in (given["stride"], given["padding"], dilation))
        expected = (layer.stride, padding(layer), (layer.dilation, layer.dilation))
        if found != expected:
            raise ExportError(
                f"int8 program, layer {layer.name}: expected stride, padding and dilation {expected}, found {found}"
            )

    def _check_most(self, layer: Layer, given: dict[str, object]) -> None:
        if given["activation_max"] != MOST:
            raise ExportError(
                f"int8 program, layer {layer.name}: expected values up to {MOST}, found {given['activation_max']}"
            )

    def _array(self, value: object) -> np.ndarray:
        if isinstance(value, Node):
            constant: np.ndarray = self._constants[value.name].detach().numpy()
            return constant
        return np.array(_numbers(value))


def _number(value: object) -> int:
    assert isinstance(value, int), "an argument of an operator"
    return value


def _numbers(value: object) -> list[int]:
    if isinstance(value, torch.Tensor):
        return [int(number) for number in value]
    assert isinstance(value, Sequence), "an argument of an operator"
    return [int(number) for number in value]
