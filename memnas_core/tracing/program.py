"""The memory graph of an exported program: its operators run without data, and none of its own code runs.

Only operators that torch and its own libraries define are called, on tensors without data. A file can name any of
them; operators that would open a file are refused.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor
from torch._export.serde.serialize import (
    _SERIALIZE_TO_TORCH_DTYPE,
    _SERIALIZE_TO_TORCH_LAYOUT,
    _SERIALIZE_TO_TORCH_MEMORY_FORMAT,
)
from torch._ops import OpOverload

from memnas_core.errors import InputError
from memnas_core.tracing.archive import Argument, Node, Program, TensorMeta, read_program
from memnas_core.tracing.recorder import record_run
from memnas_core.tracing.recording import RunningModule
from memnas_core.tracing.running import TRAINING
from memnas_core.tracing.state import Outcome
from memnas_core.tracing.tensors import META
from memnas_core.tracing.trace import TracedGraph, graph_of

_LIBRARIES = frozenset(("aten", "prims", "torchvision", "quantized_decomposed"))


def trace_program(path: Path, batch: int = 1) -> tuple[TracedGraph, tuple[tuple[int, ...], ...]]:
    """Return the graph of an exported program, and the shapes of its inputs with the batch.

    Args:
        path: A file of `torch.export.save`.
        batch: Number of images for which the program was exported.

    Raises:
        InputError: It is no such file, its batch is another, or it has dynamic shapes, control flow or an operator
            without a size rule; the message names the layer.
    """
    program = read_program(path)
    try:
        run = _ProgramRun(str(path), program)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:  # from torch, for impossible sizes or types
        raise InputError(
            f"{path}: expected an exported program, found one that is damaged ({str(error).splitlines()[0]})"
        ) from error
    shapes = tuple(tuple(tensor.shape) for tensor in run.inputs)
    for name, shape in zip(program.inputs, shapes, strict=True):
        if len(shape) > 1 and shape[0] != batch:
            raise InputError(
                f"{path}: expected a program for {'one image' if batch == 1 else f'{batch} images'}, found input "
                f"{name!r} of {'×'.join(map(str, shape))}; export the network with a batch of {batch}, or give --batch"
            )
    shown = " and ".join("×".join(map(str, shape)) for shape in shapes)
    recording = record_run(run, run.inputs, run.parameters, run.held, f"input {shown}", str(path), batch=batch)
    return graph_of(recording), shapes


class _ProgramRun:
    """Calls a program's operators one after another.

    Attributes:
        inputs: Input tensors, on the meta device.
        parameters: Weights by their names, on the meta device.
        held: Buffers and other constants by their names in the graph, on the meta device.
    """

    def __init__(self, source: str, program: Program) -> None:
        self._source = source
        self._program = program
        meta = {name: _without_data(tensor) for name, tensor in program.tensors.items()}
        self.inputs = tuple(meta[name] for name in program.inputs)
        self.parameters = {own: meta[name] for name, own in program.parameters.items()}
        self.held = {name: meta[name] for name in program.constants}
        self._values: dict[str, object] = dict(zip(program.inputs, self.inputs, strict=True))
        self._values |= self.held
        self._values |= {name: self.parameters[own] for name, own in program.parameters.items()}
        modules = (node.module.split(".") for node in program.nodes)
        self._parents = {".".join(parts[:count]) for parts in modules for count in range(len(parts))}

    def __call__(self, path: list[RunningModule]) -> Outcome:
        """Run the program; see `memnas_core.tracing.recorder.Run`."""
        for node in self._program.nodes:
            path[-1] = RunningModule(node.module, node.module not in self._parents)
            result = self._call(node)
            outputs = node.outputs
            results = result if isinstance(result, list | tuple) and _first_kind(outputs) == "as_tensor" else [result]
            for output, value in zip(outputs, results, strict=False):
                self._bind(output, value)
        path[-1] = RunningModule("", is_leaf=False)
        held = {name: self._values[self._program.replaced.get(name, name)] for name in self._program.constants}
        tensors = {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
        return Outcome([self._values[name] for name in self._program.outputs], tensors)

    def _call(self, node: Node) -> object:
        operator = _operator(node, self._place(node))
        given = {argument.name: self._value(argument.arg, node) for argument in node.inputs}
        given |= dict.fromkeys(TRAINING & given.keys(), False)
        positional: list[object] = []
        named: dict[str, object] = {}
        for argument in operator._schema.arguments:
            if argument.name in given:
                if argument.kwarg_only or named:
                    named[argument.name] = given[argument.name]
                else:
                    positional.append(given[argument.name])
            elif argument.name == "device":
                named["device"] = META
            elif not argument.kwarg_only and not argument.has_default_value():
                raise InputError(f"{self._place(node)}: expected argument {argument.name!r} of {node.target}")
            elif not argument.kwarg_only:
                positional.append(argument.default_value)
        return operator(*positional, **named)

    def _bind(self, output: Argument, value: object) -> None:
        ((kind, content),) = output.items()
        if kind == "as_tensor":
            self._values[_name(content)] = value
        elif kind == "as_tensors" and isinstance(content, list) and isinstance(value, Sequence):
            self._values |= {_name(entry): item for entry, item in zip(content, value, strict=True)}

    def _value(self, argument: Argument, node: Node) -> object:
        """Return the Python value of an argument."""
        ((kind, content),) = argument.items()
        match kind, content:
            case "as_none", _:
                return None
            case "as_tensor", _:
                return self._values[_name(content)]
            case (("as_tensors" | "as_optional_tensors" | "as_sym_ints"), list()):
                return [self._entry(entry, node) for entry in content]
            case (("as_optional_tensor" | "as_sym_int"), dict()):
                return self._entry(content, node)
            case "as_float", _:
                return float(str(content))  # infinity is a string in JSON
            case (("as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools" | "as_strings" | "as_int_lists"), _):
                return content
            case "as_floats", list():
                return [float(str(entry)) for entry in content]
            case "as_scalar_type", int():
                return _SERIALIZE_TO_TORCH_DTYPE[content]
            case "as_memory_format", int():
                return _SERIALIZE_TO_TORCH_MEMORY_FORMAT[content]
            case "as_layout", int():
                return _SERIALIZE_TO_TORCH_LAYOUT[content]
            case "as_device", _:
                return META
        raise InputError(f"{self._place(node)}: expected arguments of fixed size, found {kind} for {node.target}")

    def _entry(self, entry: object, node: Node) -> object:
        """Return an entry of a list of tensors or integers, some of which may be missing or symbolic."""
        if isinstance(entry, dict) and "name" in entry:
            return self._values[_name(entry)]
        if isinstance(entry, dict) and len(entry) == 1 and "as_name" not in entry:
            return self._value(entry, node)
        raise InputError(f"{self._place(node)}: expected fixed sizes, found a dynamic one for {node.target}")

    def _place(self, node: Node) -> str:
        return f"{self._source}: layer {node.module or 'of the network itself'}"


def _operator(node: Node, where: str) -> OpOverload:
    """Find the operator that a node calls.

    Args:
        node: Call of the operator.
        where: File and layer, for messages.

    Raises:
        InputError: The node is control flow, or its operator is not one that torch or its libraries define.
    """
    parts = node.target.split(".")
    if parts[:3] == ["torch", "ops", "higher_order"]:
        raise InputError(
            f"{where}: expected operators on tensors, found {node.target}, which chooses or wraps a part of the "
            "network as it runs; export the network without it"
        )
    if "quantized_decomposed" in parts:
        import_module("torch.ao.quantization.fx._decomposed")  # the import registers these operators
    found: object = None
    if len(parts) == 5 and parts[:2] == ["torch", "ops"] and parts[2] in _LIBRARIES:
        found = getattr(getattr(getattr(torch.ops, parts[2]), parts[3], None), parts[4], None)
    if not isinstance(found, OpOverload) or any(argument.name == "filename" for argument in found._schema.arguments):
        raise InputError(
            f"{where}: expected operators of {', '.join(sorted(_LIBRARIES))}, found {node.target}, for which no size "
            "rule is known"
        )
    return found


def _without_data(tensor: TensorMeta) -> Tensor:
    sides, steps = ([side.as_int or 0 for side in entries] for entries in (tensor.sizes, tensor.strides))
    return torch.empty_strided(sides, steps, dtype=_SERIALIZE_TO_TORCH_DTYPE[tensor.dtype], device=META)


def _first_kind(outputs: Sequence[Argument]) -> str | None:
    return next(iter(outputs[0]), None) if outputs else None


def _name(content: object) -> str:
    return str(content["name"]) if isinstance(content, Mapping) else ""
