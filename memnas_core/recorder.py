"""Recording: what torch does when a network runs once, operation by operation, without data.

The network runs in evaluation mode on torch's meta device, whose tensors have shapes and storages but no
memory. Every operation passes torch's dispatcher, where it is written down. Tensors that share a storage are
one value; writing into a storage begins a new value, so that data flow alone says what depends on what.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from memnas_core.errors import InputError
from memnas_core.recorder_places import joins_whole_tensors, keeps_places
from memnas_core.recorder_tensors import META, StandIns, storage_elements, tensors_in

BATCH_NORM = frozenset(("native_batch_norm", "native_batch_norm_legit_no_training", "batch_norm_no_update"))
"""At inference a scaling by constants."""

_UNTAGGED = BATCH_NORM | {"hardswish", "prelu", "prelu_kernel"}
"""Element-wise operations that torch does not tag so."""


class NetworkInput(NamedTuple):
    """A tensor that enters a network, for one image.

    Attributes:
        shape: Without the batch.
        is_integer: Whether it holds int64 (numbers of words, say) instead of float32.
    """

    shape: tuple[int, ...]
    is_integer: bool = False

    def without_data(self) -> Tensor:
        """Return such a tensor at batch 1 on the meta device."""
        dtype = torch.int64 if self.is_integer else torch.float32
        return torch.empty((1, *self.shape), dtype=dtype, device=META)

    def __str__(self) -> str:
        """Return it as the command line takes it."""
        return ",".join(map(str, self.shape)) + (":int" if self.is_integer else "")


class RunningModule(NamedTuple):
    """The innermost module that runs an operation.

    Attributes:
        name: Its dotted path, empty for the network itself.
        is_leaf: Whether it has no modules of its own.
    """

    name: str
    is_leaf: bool


class Value(NamedTuple):
    """What a storage holds between two writes.

    Attributes:
        shape: Without the leading batch dimension of 1.
        elements: Elements of the whole storage.
    """

    shape: tuple[int, ...]
    elements: int


class Operation(NamedTuple):
    """One operation on activations.

    Attributes:
        name: Torch's name, such as `convolution`.
        module: Where it ran.
        reads: Numbers of the values that it reads, each once.
        writes: Numbers of the values that it writes.
        weights: Names of the parameters that it reads, also through constants computed from them.
        is_elementwise: Whether it reads one activation, once, element by element.
        keeps_places: Whether each element that it writes needs, of every value with as many elements, only the
            one at the same place in memory.
        joins: Whether it writes whole values one behind the other.
    """

    name: str
    module: RunningModule
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    weights: frozenset[str]
    is_elementwise: bool
    keeps_places: bool
    joins: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of a network.

    Attributes:
        operations: In the order in which they ran; those on weights and buffers alone are left out.
        values: All values by number; the inputs come first.
        inputs: How many inputs there are.
        outputs: Numbers of the values that the network returned.
        weights: Shape of each parameter.
    """

    operations: tuple[Operation, ...]
    values: tuple[Value, ...]
    inputs: int
    outputs: frozenset[int]
    weights: Mapping[str, tuple[int, ...]]


Run = Callable[[list[RunningModule]], object]
"""Runs a network and returns what it returns; keeps the last entry of the list at the module that is running."""


@contextmanager
def weightless() -> Iterator[None]:
    """Give modules that are built meanwhile parameters without data, at no cost in time or memory."""

    def move(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return None if parameter is None else nn.Parameter(parameter.to(META), parameter.requires_grad)

    handle = nn.modules.module.register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def record(module: nn.Module, inputs: Sequence[NetworkInput]) -> Recording:
    """Run a network once, batch 1, on tensors without data.

    Args:
        module: The network; it is left as it was found.
        inputs: What it is given, in order.

    Raises:
        InputError: The network does not run on these inputs; the message names the module that refused.
    """
    parameters = {name: parameter.to(META) for name, parameter in module.named_parameters()}
    buffers = {name: buffer.to(META) for name, buffer in module.named_buffers()}
    tensors = tuple(entry.without_data() for entry in inputs)
    _check_count(module, tensors)

    def run(path: list[RunningModule]) -> object:
        with _inference(module), _watched(module, path):
            return torch.func.functional_call(module, parameters | buffers, tensors)

    shown = " and ".join(map(str, inputs))
    return record_run(run, tensors, parameters, f"input {shown}", type(module).__name__)


def record_run(
    run: Run, inputs: Sequence[Tensor], parameters: Mapping[str, Tensor], given: str, name: str
) -> Recording:
    """Record what a run does.

    Args:
        run: The run.
        inputs: The tensors on the meta device that it is given.
        parameters: The same of its parameters.
        given: What was given to the network, for messages.
        name: What the network is called in messages.

    Raises:
        InputError: It stopped; the message names the module and the operator.
    """
    recorder = _Recorder(inputs, parameters)
    with torch.no_grad():
        try:
            with recorder:
                result = run(recorder.path)
        except InputError:
            raise  # the run itself said what is wrong
        except Exception as error:
            raise _refusal(error, recorder, given, name) from error
    outputs = recorder.values_of(result) - set(range(len(inputs)))
    if not outputs:
        raise InputError(
            f"{name}: expected a network that returns tensors computed from its input, found {type(result).__name__}"
        )
    shapes = {parameter: tuple(tensor.shape) for parameter, tensor in parameters.items()}
    return Recording(tuple(recorder.operations), tuple(recorder.values), len(inputs), outputs, shapes)


def _refusal(error: Exception, recorder: "_Recorder", given: str, name: str) -> InputError:
    """Say what stopped a run, and where."""
    where = recorder.path[-1].name
    place = f"layer {where}" if where else f"{name}'s own code"
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    what = lines[0] if lines else type(error).__name__
    if recorder.refused is None:
        return InputError(
            f"{given}: expected a shape that {name} accepts, and no look at values; it stopped in {place}: {what}"
        )
    func, shapes = recorder.refused
    if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags):
        return InputError(
            f"{place}: expected sizes and control flow that follow from shapes alone, found {func}, whose result "
            "depends on values, so that memory cannot be told before the network runs; measure the part before it"
        )
    if isinstance(error, NotImplementedError) or "fake impl" in what:
        return InputError(
            f"{place}: expected operators whose output size torch can tell without data, found {func} without such a "
            "rule; give it one with torch.library.register_fake"
        )
    return InputError(
        f"{given}: expected a shape that {name} accepts; {func} in {place} refused "
        f"{' and '.join(shapes) or 'its arguments'}: {what}"
    )


def _check_count(module: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Refuse a number of inputs that the network does not take.

    Raises:
        InputError: Names what it takes.
    """
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return  # it is written in another language, or hides what it takes
    try:
        signature.bind(*inputs)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise InputError(
            f"{type(module).__name__}: expected as many inputs as its forward({takes}) takes, found {len(inputs)} "
            f"({error}); give --input once for each"
        ) from error


class _Recorder(TorchDispatchMode):
    """Sees every operation. A storage holds an activation or a constant, keyed by the storage's id."""

    def __init__(self, inputs: Sequence[Tensor], parameters: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = [RunningModule("", is_leaf=False)]
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self.refused: tuple[OpOverload, tuple[str, ...]] | None = None  # what stopped last, with its tensors' shapes
        self._stand_ins = StandIns()
        self._kept: list[torch.UntypedStorage] = []  # an id is a storage's own only while the storage lives
        self._activations: dict[int, int] = {}  # number of the value that the storage holds
        self._constants: dict[int, frozenset[str]] = {}  # parameters from which it was computed
        for name, parameter in parameters.items():
            self._constants[self._key(parameter)] = frozenset((name,))
        for tensor in inputs:
            self._begin_value(tensor)

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        args, kwargs = self._stand_ins.replaced(args, kwargs or {})
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.refused = func, tuple("×".join(map(str, tensor.shape)) for tensor in tensors_in((args, kwargs)))
            raise
        self.refused = None
        if torch.Tag.inplace_view not in func.tags:  # these change a tensor's strides, not what it holds
            self._note(func, args, kwargs, result)
        return result

    def values_of(self, result: object) -> frozenset[int]:
        """Return the values that a nest of tensors holds now."""
        keys = map(self._key, tensors_in(result))
        return frozenset(self._activations[key] for key in keys if key in self._activations)

    def _note(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object], result: object) -> None:
        arguments = list(tensors_in((args, kwargs)))
        read = [self._key(tensor) for tensor in arguments]
        written = {self._key(tensor): tensor for tensor in tensors_in(_overwritten(func, args, kwargs))}
        written |= {key: tensor for tensor in tensors_in(result) if (key := self._key(tensor)) not in read}
        if not written:
            return  # a view
        name = str(func).split(".")[1].strip("_")  # aten.relu_.default
        activations = [self._activations[key] for key in read if key in self._activations]
        weights = frozenset[str]().union(*(self._constants.get(key, frozenset()) for key in read))
        if not activations or name.startswith("new_") or name.endswith("_like"):  # these read a shape only
            for key in written:
                self._activations.pop(key, None)
                self._constants[key] = weights
            return
        is_pointwise = torch.Tag.pointwise in func.tags or name in _UNTAGGED
        of_activations = [tensor for tensor, key in zip(arguments, read, strict=True) if key in self._activations]
        first = next(iter(written.values()))
        joins = name == "cat" and joins_whole_tensors(args, kwargs, of_activations, first)
        # Which values are read must be known before what is written begins new ones: one may be the other.
        reads = tuple(dict.fromkeys(activations))
        writes = tuple(self._begin_value(tensor) for tensor in written.values())
        operation = Operation(
            name,
            self.path[-1],
            reads,
            writes,
            weights,
            is_elementwise=is_pointwise and len(activations) == 1,
            keeps_places=keeps_places(of_activations, first, is_pointwise),
            joins=joins,
        )
        self.operations.append(operation)

    def _key(self, tensor: Tensor) -> int:
        storage = self._stand_ins.storage(tensor)
        self._kept.append(storage)
        return id(storage)

    def _begin_value(self, tensor: Tensor) -> int:
        key = self._key(tensor)
        elements = storage_elements(tensor)
        shape = tuple(tensor.shape[1:] if tensor.dim() > 1 and tensor.shape[0] == 1 else tensor.shape)
        # What is written through a view of a part is the whole tensor, whose shape the view does not tell.
        self.values.append(Value(shape if math.prod(shape) == elements else (elements,), elements))
        self._constants.pop(key, None)
        self._activations[key] = len(self.values) - 1
        return self._activations[key]


def _overwritten(func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[object]:
    """Return the arguments that an operation writes into, after its schema."""
    return [
        args[position] if position < len(args) else kwargs.get(argument.name)
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


@contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and each of its parts back into its own mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _watched(module: nn.Module, path: list[RunningModule]) -> Iterator[None]:
    """Keep `path` at the modules that are running, the innermost last."""

    def entering(running: RunningModule) -> Callable[[nn.Module, object], None]:
        return lambda _module, _args: path.append(running)

    def leaving(_module: nn.Module, _args: object, _result: object) -> None:
        path.pop()

    handles = []
    for name, part in module.named_modules():
        running = RunningModule(name, next(part.children(), None) is None)
        handles += [part.register_forward_pre_hook(entering(running)), part.register_forward_hook(leaving)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
