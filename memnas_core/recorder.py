"""Recording: what torch does when a network runs once, operation by operation, without data.

The network runs in evaluation mode on torch's meta device, whose tensors have shapes and storages but no
memory. Every operation passes torch's dispatcher, where it is written down. Tensors that share a storage are
one value; writing into a storage begins a new value, so that data flow alone says what depends on what.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from memnas_core.errors import InputError

INPUT_VALUE = 0
"""Number of the value that enters the network."""

_META = torch.device("meta")
_BATCH_NORM = "native_batch_norm"
"""At inference a scaling by constants, although torch does not tag it as element-wise."""


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
    """

    name: str
    module: RunningModule
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    weights: frozenset[str]
    is_elementwise: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of a network.

    Attributes:
        operations: In the order in which they ran; those on weights and buffers alone are left out.
        values: All values by number; `INPUT_VALUE` is the input.
        outputs: Numbers of the values that the network returned.
        weights: Elements of each parameter.
    """

    operations: tuple[Operation, ...]
    values: tuple[Value, ...]
    outputs: frozenset[int]
    weights: Mapping[str, int]


@contextmanager
def weightless() -> Iterator[None]:
    """Give modules that are built meanwhile parameters without data, at no cost in time or memory."""

    def move(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return None if parameter is None else nn.Parameter(parameter.to(_META), parameter.requires_grad)

    handle = nn.modules.module.register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def record(module: nn.Module, input_shape: Sequence[int]) -> Recording:
    """Run a network once, batch 1, on a float32 tensor without data.

    Args:
        module: The network; it is left as it was found.
        input_shape: Shape of one input without the batch.

    Raises:
        InputError: The network does not run on this shape; the message names the module that refused.
    """
    parameters = {name: parameter.to(_META) for name, parameter in module.named_parameters()}
    buffers = {name: buffer.to(_META) for name, buffer in module.named_buffers()}
    image = torch.empty((1, *input_shape), device=_META)
    recorder = _Recorder(image, parameters)
    with _inference(module), _watched(module, recorder.path), torch.no_grad():
        try:
            with recorder:
                result: object = torch.func.functional_call(module, parameters | buffers, (image,))
        except Exception as error:
            where = recorder.path[-1].name
            what = next(iter(str(error).strip().splitlines()), type(error).__name__)
            shape = ",".join(map(str, input_shape))
            raise InputError(
                f"input {shape}: expected a shape that {type(module).__name__} accepts, and no look at pixel "
                f"values; it stopped in {where or 'its own code'}: {what}"
            ) from error
    outputs = recorder.values_of(result) - {INPUT_VALUE}
    if not outputs:
        raise InputError(
            f"{type(module).__name__}: expected a network that returns tensors computed from its input, "
            f"found {type(result).__name__}"
        )
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    return Recording(tuple(recorder.operations), tuple(recorder.values), outputs, sizes)


class _Recorder(TorchDispatchMode):
    """Sees every operation. A storage holds an activation or a constant, keyed by the storage's id."""

    def __init__(self, image: Tensor, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = [RunningModule("", is_leaf=False)]
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self._kept: list[torch.UntypedStorage] = []  # an id is a storage's own only while the storage lives
        self._activations: dict[int, int] = {}  # number of the value that the storage holds
        self._constants: dict[int, frozenset[str]] = {}  # parameters from which it was computed
        for name, parameter in parameters.items():
            self._constants[self._key(parameter)] = frozenset((name,))
        self._begin_value(image)

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if torch.Tag.inplace_view not in func.tags:  # these change a tensor's strides, not what it holds
            self._note(func, args, kwargs, result)
        return result

    def values_of(self, result: object) -> frozenset[int]:
        """Return the values that a nest of tensors holds now."""
        keys = map(self._key, _tensors(result))
        return frozenset(self._activations[key] for key in keys if key in self._activations)

    def _note(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object], result: object) -> None:
        read = [self._key(tensor) for tensor in _tensors((args, kwargs))]
        written = {self._key(tensor): tensor for tensor in _tensors(_overwritten(func, args, kwargs))}
        written |= {key: tensor for tensor in _tensors(result) if (key := self._key(tensor)) not in read}
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
        is_elementwise = len(activations) == 1 and (torch.Tag.pointwise in func.tags or name == _BATCH_NORM)
        writes = tuple(self._begin_value(tensor) for tensor in written.values())
        reads = tuple(dict.fromkeys(activations))
        self.operations.append(Operation(name, self.path[-1], reads, writes, weights, is_elementwise))

    def _key(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        self._kept.append(storage)
        return id(storage)

    def _begin_value(self, tensor: Tensor) -> int:
        key = self._key(tensor)
        elements = tensor.untyped_storage().nbytes() // tensor.element_size()
        shape = tuple(tensor.shape[1:] if tensor.dim() > 1 and tensor.shape[0] == 1 else tensor.shape)
        # What is written through a view of a part is the whole tensor, whose shape the view does not tell.
        self.values.append(Value(shape if tensor.numel() == elements else (elements,), elements))
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


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


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
