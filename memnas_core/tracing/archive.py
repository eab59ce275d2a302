"""Reading a file of `torch.export.save` as plain JSON; nothing is unpickled or imported.

torch's own reader unpickles what a file brings along, loads libraries compiled into it and evaluates its symbolic
expressions, so that a file may run code. The memory figures need none of that: the file's JSON has the operators with
their arguments and the shapes of all tensors. Weights are not read at all.
"""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, FailFast, ValidationError

from memnas_core.errors import InputError
from memnas_core.files.untrusted import first_finding

SCHEMA_MAJOR = 8
"""Format version that torch 2.8 and later write; torch raises it when old files can no longer be read."""

MAX_JSON_BYTES = 2**27
"""Size of the largest JSON that is unpacked; a network of 500 layers has about 1 MB."""

MAX_JSON_LISTS = 2**20
"""Largest number of lists and objects in a JSON, each of which takes up to 200 bytes once it is read; exported networks
have about 22 for each operator or weight, 40,000 of which fit."""

MAX_JSON_VALUES = 2**21
"""Largest number of values in a JSON; exported networks have about 45 for each operator or weight."""

Argument = dict[str, object]
"""One entry, `kind: value`, such as `as_tensor: {name: conv2d}` or `as_ints: [1, 1]`."""


Entry = TypeVar("Entry")

# By default pydantic collects every fault, of which a small file can have millions; mappings, for which it has no such
# switch, are read as they are, and their entries one by one.
Entries = Annotated[list[Entry], FailFast()]


class SymbolicInt(BaseModel):
    """One dimension of a tensor: a number, or an expression if it is dynamic."""

    as_int: int | None = None


class TensorMeta(BaseModel):
    """Type number, sizes, strides and storage offset of a tensor."""

    dtype: int
    sizes: Entries[SymbolicInt]
    strides: Entries[SymbolicInt]
    storage_offset: SymbolicInt

    @property
    def is_dynamic(self) -> bool:
        """Whether a size, a stride or the offset depends on the data or on another input."""
        return any(side.as_int is None for side in (*self.sizes, *self.strides, self.storage_offset))


class NamedArgument(BaseModel):
    """An argument of an operator."""

    name: str
    arg: Argument


class Node(BaseModel):
    """A call of an operator."""

    target: str
    inputs: Entries[NamedArgument]
    outputs: Entries[Argument]
    metadata: dict[str, object]

    @property
    def module(self) -> str:
        """Dotted path of the innermost module that makes the call, empty for the network itself."""
        innermost = str(self.metadata.get("nn_module_stack", "")).rsplit(";", maxsplit=1)[-1]
        path = innermost.split(",")
        # A module that runs a second time is called name@1.
        return path[-2].split("@")[0] if len(path) >= 3 else ""


class _Graph(BaseModel):
    nodes: Entries[Node]
    tensor_values: dict[str, object]


class _Name(BaseModel):
    name: str


class _UserArgument(BaseModel):
    as_tensor: _Name | None = None  # None for arguments that are plain numbers


class _UserValue(BaseModel):
    arg: _UserArgument


class _Lifted(BaseModel):
    arg: _Name
    parameter_name: str = ""
    buffer_name: str = ""


class _InputSpec(BaseModel):
    """An input of the graph; exactly one of the fields is set."""

    user_input: _UserValue | None = None
    parameter: _Lifted | None = None
    buffer: _Lifted | None = None
    tensor_constant: _Lifted | None = None


class _OutputSpec(BaseModel):
    """An output of the graph: something that is returned, or a side effect."""

    user_output: _UserValue | None = None
    buffer_mutation: _Lifted | None = None


class _Signature(BaseModel):
    input_specs: Entries[_InputSpec]
    output_specs: Entries[_OutputSpec]


class _GraphModule(BaseModel):
    graph: _Graph
    signature: _Signature


class _Program(BaseModel):
    graph_module: _GraphModule


class _SchemaVersion(BaseModel):
    major: int


class _Maker(BaseModel):
    schema_version: _SchemaVersion
    torch_version: str = "of an unknown version"


class _TensorPlace(BaseModel):
    sizes: Entries[SymbolicInt]
    storage_offset: SymbolicInt


class _Payload(BaseModel):
    path_name: str
    tensor_meta: _TensorPlace | None = None


class _Payloads(BaseModel):
    config: dict[str, object]


class Program(NamedTuple):
    """An exported program.

    Attributes:
        nodes: Calls of operators in the order in which they run.
        tensors: Shape and type of each tensor, by its name in the graph.
        inputs: Names of the input tensors.
        outputs: Names of the returned tensors.
        parameters: Name in the graph -> name of the parameter; names that share one tensor map to the same parameter.
        constants: Names in the graph of buffers and other constants.
        replaced: Name in the graph of a buffer -> name of the tensor that takes its place in the end.
    """

    nodes: tuple[Node, ...]
    tensors: dict[str, TensorMeta]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, str]
    constants: tuple[str, ...]
    replaced: dict[str, str]


def read_program(path: Path) -> Program:
    """Read an exported program.

    Raises:
        InputError: The file is no exported program, is damaged, was written by another torch, or has dynamic shapes.
    """
    text, weights = _read_archive(path)
    try:
        maker = _Maker.model_validate_json(text)
        if maker.schema_version.major != SCHEMA_MAJOR:
            raise InputError(
                f"{path}: expected an exported program of format {SCHEMA_MAJOR}, found format "
                f"{maker.schema_version.major} of torch {maker.torch_version}; save it with the torch that memnas has"
            )
        content = _Program.model_validate_json(text).graph_module
        program = _program(content, _Payloads.model_validate_json(weights))
    except ValidationError as error:
        found = first_finding(error)
        raise InputError(f"{path}: expected an exported program, found one that is damaged ({found})") from error
    missing = {*program.inputs, *program.parameters, *program.constants} - program.tensors.keys()
    if missing:
        raise InputError(
            f"{path}: expected an exported program, found one that is damaged (no shape of {min(missing)!r})"
        )
    _check_fixed(path, program)
    return program


def _read_archive(path: Path) -> tuple[bytes, bytes]:
    """Return two JSON texts of an archive: its only program, and the list of the program's weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            programs = [name for name in names if name.endswith(".json") and "/models/" in name]
            if len(programs) != 1:
                raise InputError(f"{path}: expected one exported program, found {_other_archive(names, len(programs))}")
            root, _, file = programs[0].partition("/models/")
            weights = f"{root}/data/weights/{file.removesuffix('.json')}_weights_config.json"
            return _member(path, archive, programs[0]), _member(path, archive, weights)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{path}: expected a file written by torch.export.save, found none or a damaged one ({error})"
        ) from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member of an archive, unless it unpacks to more than `MAX_JSON_BYTES`, or holds too many values.

    Characters in texts are counted too, of which a program has few.
    """
    size = archive.getinfo(name).file_size  # zipfile never reads more than this
    if size > MAX_JSON_BYTES:
        raise InputError(f"{path}: expected at most {MAX_JSON_BYTES:,} bytes of {name}, found {size:,}")
    text = archive.read(name)
    lists, values = text.count(b"[") + text.count(b"{"), text.count(b",")
    if lists > MAX_JSON_LISTS or values > MAX_JSON_VALUES:
        raise InputError(
            f"{path}: expected at most {MAX_JSON_LISTS:,} lists and {MAX_JSON_VALUES:,} values in {name}, found "
            f"{lists:,} and {values:,}"
        )
    return text


def _other_archive(names: list[str], programs: int) -> str:
    """Return in words what an archive without exactly one program is."""
    if programs:
        return f"{programs}; save each in a file of its own"
    if any(name.endswith("serialized_exported_program.json") for name in names):
        return "one in the format of torch 2.7 and before; save it again with a newer torch"
    if any(name.endswith("constants.pkl") for name in names):
        return "a TorchScript network; save it with torch.export.save instead"
    if any(name.endswith("data.pkl") for name in names):
        return "what torch.save wrote, which has weights but no layers; save the network with torch.export.save"
    return f"an archive with {', '.join(names[:3]) or 'nothing in it'}"


def _program(content: _GraphModule, weights: _Payloads) -> Program:
    signature = content.signature
    first_name: dict[str, str] = {}
    parameters = {}
    for lifted in (spec.parameter for spec in signature.input_specs if spec.parameter):
        payload = weights.config.get(lifted.parameter_name)
        place = lifted.parameter_name if payload is None else _Payload.model_validate(payload).model_dump_json()
        parameters[lifted.arg.name] = first_name.setdefault(place, lifted.parameter_name)
    buffers = {spec.buffer.buffer_name: spec.buffer.arg.name for spec in signature.input_specs if spec.buffer}
    mutations = [spec.buffer_mutation for spec in signature.output_specs if spec.buffer_mutation]
    return Program(
        nodes=tuple(content.graph.nodes),
        tensors={name: TensorMeta.model_validate(value) for name, value in content.graph.tensor_values.items()},
        inputs=_tensor_names(spec.user_input for spec in signature.input_specs),
        outputs=_tensor_names(spec.user_output for spec in signature.output_specs),
        parameters=parameters,
        constants=tuple(
            constant.arg.name for spec in signature.input_specs if (constant := spec.buffer or spec.tensor_constant)
        ),
        replaced={
            buffers[mutation.buffer_name]: mutation.arg.name
            for mutation in mutations
            if mutation.buffer_name in buffers
        },
    )


def _tensor_names(values: Iterable[_UserValue | None]) -> tuple[str, ...]:
    return tuple(value.arg.as_tensor.name for value in values if value is not None and value.arg.as_tensor is not None)


def _check_fixed(path: Path, program: Program) -> None:
    """Raise an error if a size is not known before the network runs.

    Raises:
        InputError: A size is dynamic; the message names the input or the layer.
    """
    for name in program.inputs:
        if program.tensors[name].is_dynamic:
            raise InputError(
                f"{path}: expected fixed shapes, found input {name!r} with a dynamic one; export the network without "
                "dynamic_shapes"
            )
    for node in program.nodes:
        for output in node.outputs:
            entry = output.get("as_tensor")
            tensor = program.tensors.get(str(entry.get("name"))) if isinstance(entry, dict) else None
            if any(kind.startswith("as_sym") for kind in output) or (tensor is not None and tensor.is_dynamic):
                raise InputError(
                    f"{path}: layer {node.module or 'of the network itself'}: expected sizes that follow from shapes "
                    f"alone, found {node.target}, whose result depends on values"
                )
