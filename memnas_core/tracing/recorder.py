"""Recording what torch does when a network runs once, operation by operation, without data.

The network runs in evaluation mode on torch's meta device, whose tensors have shapes and storages but no
memory. Every operation passes torch's dispatcher, where it is recorded. Tensors that share a storage are
one value; writing into a storage begins a new value, so that data flow alone says what depends on what.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from memnas_core.errors import InputError
from memnas_core.tracing.channels import channels_of, is_constant_norm
from memnas_core.tracing.inputs import CallArguments, NetworkInput, call_arguments
from memnas_core.tracing.places import is_depthwise, joins_whole_tensors, keeps_places
from memnas_core.tracing.raised import raised_at
from memnas_core.tracing.recording import Call, Recording, RunningModule, Value
from memnas_core.tracing.running import copy_of_lazy, network_device, prepared
from memnas_core.tracing.state import Outcome, held_at_end, held_tensors
from memnas_core.tracing.tensors import (
    META,
    Operations,
    Shadow,
    elements,
    overwritten,
    plain_parts,
    storage_elements,
    tensors_in,
)

_UNTAGGED = frozenset(("hardswish", "prelu", "prelu_kernel"))
"""Element-wise operations that torch does not tag as such."""


Run = Callable[[list[RunningModule]], Outcome]
"""A function that runs a network; the list's last entry is always the running module. It may be called repeatedly."""


@contextmanager
def weightless() -> Iterator[None]:
    """Build modules inside the `with` block with parameters that have no data, at no cost in time or memory."""

    def move(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return None if parameter is None else nn.Parameter(parameter.to(META), parameter.requires_grad)

    handle = nn.modules.module.register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def record(module: nn.Module, inputs: Sequence[NetworkInput], batch: int = 1) -> Recording:
    """Record one run of a network on tensors without data.

    Args:
        module: The network; it is left as it was found.
        inputs: Inputs of the network, in order.
        batch: Number of images.

    Raises:
        InputError: The network does not run on these inputs; the message names the module that refused.
    """
    device = network_device(module)
    shadows = tuple(Shadow(entry.without_data(batch), device) for entry in inputs)
    arguments = call_arguments(inputs, shadows)
    _check_count(module, arguments)

    def run(path: list[RunningModule]) -> Outcome:
        with _watched(module, path), held_at_end(module) as held:
            return Outcome(module(*arguments.positional, **arguments.named), held)

    def run_for_sizes(path: list[RunningModule]) -> Outcome:
        with _watched(module, path):
            return Outcome(module(*arguments.positional, **arguments.named), {})

    shown, name = f"input {' and '.join(map(str, inputs))}", type(module).__name__
    with_batch = next((entry for entry in inputs if len(entry.shape) == 4 and entry.shape[0] == 1), None)
    if with_batch is not None:
        shown += f" (the batch is left out: {with_batch._replace(shape=with_batch.shape[1:])})"
    if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
        module = copy_of_lazy(module)
        with prepared(module, device):
            record_run(run_for_sizes, shadows, {}, {}, shown, name, device, batch)
    with prepared(module, device):
        parameters, held = dict(module.named_parameters()), held_tensors(module)
        return record_run(run, shadows, parameters, held, shown, name, device, batch)


def record_run(
    run: Run,
    inputs: Sequence[Tensor],
    parameters: Mapping[str, Tensor],
    held: Mapping[str, Tensor],
    given: str,
    name: str,
    device: torch.device | None = None,
    batch: int = 1,
) -> Recording:
    """Record what a run does.

    What of `held` is persistent state shows when the network has run. It then runs once more, in which what is computed
    from this state is an activation.

    Args:
        run: Function that runs the network.
        inputs: Input tensors without data.
        parameters: Parameters by their names.
        held: Other tensors by their names that the network holds when the run begins.
        given: Words for the inputs, for messages.
        name: Name of the network, for messages.
        device: Where tensors without data say that they lie; None: on the meta device, and constants have no values.
        batch: Number of images.

    Raises:
        InputError: The run failed; the message names the module and the operator.
    """
    state: dict[str, Tensor] = {}
    while True:
        recorder = _Recorder(inputs, parameters, held, state, device, batch)
        with torch.no_grad():
            try:
                with recorder:
                    outcome = run(recorder.path)
            except InputError:
                raise  # the run itself has said what is wrong
            except Exception as error:
                raise _refusal(error, recorder, given, name) from error
            finally:
                recorder.restore()
        found = recorder.changed(outcome.held)
        if found <= state.keys():
            break
        state |= {key: held[key] for key in sorted(found)}
    outputs = recorder.values_of(outcome.returned)
    if not outputs - set(range(len(inputs))):
        found_type = type(outcome.returned).__name__
        raise InputError(f"{name}: expected a network that returns tensors computed from its input, found {found_type}")
    shapes = {parameter: tuple(tensor.shape) for parameter, tensor in parameters.items()}
    complex_weights = frozenset(parameter for parameter, tensor in parameters.items() if tensor.is_complex())
    return Recording(
        tuple(recorder.operations),
        tuple(recorder.values),
        len(inputs),
        outputs,
        outputs | recorder.values_of(outcome.held),
        dict(enumerate(state, start=len(inputs))),
        recorder.places,
        shapes,
        complex_weights,
    )


def _refusal(error: Exception, recorder: "_Recorder", given: str, name: str) -> InputError:
    """Return an error that says what stopped a run, and where."""
    where = recorder.path[-1].name
    place = f"layer {where}" if where else f"{name}'s own code"
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    line = raised_at(error)
    what = lines[0] if lines else "no message"
    if recorder.refused is None:
        return InputError(
            f"{given}: expected a shape that {name} accepts, and no look at values; it stopped in {place}: "
            f"{type(error).__name__}{f' in {line}' if line else ''}: {what}"
        )
    place += f" ({line})" if line else ""
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


def _check_count(module: nn.Module, arguments: CallArguments) -> None:
    """Raise an error if the network does not take so many inputs.

    Raises:
        InputError: The number of inputs is wrong; the message names the arguments of `forward`.
    """
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return  # `forward` has no readable signature
    try:
        signature.bind(*arguments.positional, **arguments.named)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise InputError(
            f"{type(module).__name__}: expected as many inputs as its forward({takes}) takes, found "
            f"{len(arguments.positional) + len(arguments.named)} ({error}); give --input once for each"
        ) from error


class _Recorder(TorchDispatchMode):
    """Recorder of every operation; a storage holds an activation or a constant, keyed by the storage's id."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        parameters: Mapping[str, Tensor],
        held: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        device: torch.device | None,
        batch: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = [RunningModule("", is_leaf=False)]
        self.operations: list[Call] = []
        self.values: list[Value] = []
        self.refused: tuple[OpOverload, tuple[str, ...]] | None = None  # last failed operator and its input shapes
        self._batch = batch
        self._carried = Operations(device)
        self._kept: list[torch.UntypedStorage] = []  # keeps storages alive, so that no id is used twice
        self._activations: dict[int, int] = {}  # storage id -> number of the value that the storage holds
        self._constants: dict[int, frozenset[str]] = {}  # storage id -> parameters from which it was computed
        for name, parameter in parameters.items():
            for part in plain_parts(parameter):
                key = self._key(part)
                self._constants[key] = self._constants.get(key, frozenset()) | {name}
        self.places: dict[int, int] = {}  # see `Recording`
        self._state: dict[int, int] = {}  # storage id of persistent state -> number of its first value
        self._held = {name: self._key(tensor) for name, tensor in held.items()}
        self._written: set[int] = set()  # ids of the storages into which operations on activations wrote
        for tensor in inputs:
            self._begin_value(tensor)
        for tensor in state.values():
            number = self._begin_value(tensor)
            self._state[self._key(tensor)] = number

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type[Tensor]],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func is torch.ops.prim.device.default:  # torch itself asks a tensor for its device
            return next(tensors_in(args)).device
        if any(kind.__torch_dispatch__ is not Tensor.__torch_dispatch__ and kind is not Shadow for kind in types):
            return NotImplemented  # a quantized weight, say, which turns the operation into others on plain tensors
        kwargs = kwargs or {}
        try:
            with torch._C.DisableTorchFunction():  # torch's own size rules ask for the meta device, and must get it
                result = self._carried.carried_out(func, args, kwargs)
        except Exception:
            self.refused = func, tuple("×".join(map(str, tensor.shape)) for tensor in tensors_in((args, kwargs)))
            raise
        self.refused = None
        if torch.Tag.inplace_view not in func.tags:  # such views change a tensor's strides, not its content
            self._note(func, args, kwargs, result)
        return result

    def restore(self) -> None:
        """Give constants that the network has changed the values that they had before."""
        self._carried.restore()

    def changed(self, held: Mapping[str, Tensor]) -> frozenset[str]:
        """Return the names of tensors, held when the run began, that activations were written into or replaced.

        Args:
            held: Tensors that the network holds at the end, by their names.
        """
        now = {name: self._key(tensor) for name, tensor in held.items()}
        replaced = {name: now[name] for name, key in self._held.items() if now.get(name, key) != key}
        found = {name for name, key in self._held.items() if key in self._written}
        found |= {name for name, key in replaced.items() if key in self._activations}
        while True:  # a tensor may have moved to another name, as in a list whose first entry is dropped
            moving = {self._held[name] for name in found}
            more = {name for name, key in replaced.items() if key in moving} - found
            if not more:
                return frozenset(found)
            found |= more

    def values_of(self, result: object) -> frozenset[int]:
        """Return the numbers of the values that tensors, possibly nested, hold now."""
        keys = map(self._key, tensors_in(result))
        return frozenset(self._activations[key] for key in keys if key in self._activations)

    def _note(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object], result: object) -> None:
        arguments = list(tensors_in((args, kwargs)))
        read = [self._key(tensor) for tensor in arguments]
        written = {self._key(tensor): tensor for tensor in tensors_in(overwritten(func, args, kwargs))}
        written |= {key: tensor for tensor in tensors_in(result) if (key := self._key(tensor)) not in read}
        if not written:
            return  # a view
        name = str(func).split(".")[1].strip("_")  # aten.relu_.default
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        if name.startswith("new_") or name.endswith("_like"):
            read = []  # nothing but a shape
        activations = [self._activations[key] for key in read if key in self._activations]
        weights = frozenset[str]().union(*(self._constants.get(key, frozenset()) for key in read))
        if not activations and not is_random:
            for key in written:
                self._activations.pop(key, None)
                self._constants[key] = weights
            return
        self._written |= written.keys()
        is_pointwise = torch.Tag.pointwise in func.tags or name in _UNTAGGED or is_constant_norm(name, args)
        of_activations = [tensor for tensor, key in zip(arguments, read, strict=False) if key in self._activations]
        first = next(iter(written.values()))
        joins = name == "cat" and joins_whole_tensors(args, kwargs, of_activations, first)
        channels = channels_of(name, args, first, lambda tensor: self._key(tensor) not in self._activations)
        # The reads must be collected before the writes begin new values, because an operation may write its input.
        reads = tuple(dict.fromkeys(activations))
        writes = tuple(self._begin_value(tensor) for tensor in written.values())
        operation = Call(
            name,
            self.path[-1],
            reads,
            writes,
            weights,
            is_elementwise=is_pointwise and len(activations) == 1,
            keeps_places=keeps_places(of_activations, first, is_pointwise),
            joins=joins,
            channels=channels,
            is_depthwise=name == "convolution" and is_depthwise(args, first),
        )
        self.operations.append(operation)

    def _key(self, tensor: Tensor) -> int:
        storage = self._carried.storage(tensor)
        self._kept.append(storage)
        return id(storage)

    def _begin_value(self, tensor: Tensor) -> int:
        key = self._key(tensor)
        room = storage_elements(tensor)
        # A write through a view of a part counts as a write to the whole tensor, whose shape the view does not tell.
        shape = tuple(tensor.shape) if elements(tensor) == room else (room,)
        shape = shape[1:] if len(shape) > 1 and shape[0] == self._batch else shape
        self.values.append(Value(shape, room))
        self._constants.pop(key, None)
        self._activations[key] = len(self.values) - 1
        if key in self._state:
            self.places[self._activations[key]] = self._state[key]
        return self._activations[key]


@contextmanager
def _watched(module: nn.Module, path: list[RunningModule]) -> Iterator[None]:
    """Keep in `path` the modules that are running, the innermost last."""

    def entering(running: RunningModule) -> Callable[[nn.Module, object], None]:
        return lambda _module, _args: path.append(running)

    def leaving(_module: nn.Module, _args: object, _result: object) -> None:
        path.pop()

    handles = []
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue  # torch allows no hooks here; its operations belong to the module around it
        running = RunningModule(name, next(part.children(), None) is None)
        handles += [part.register_forward_pre_hook(entering(running)), part.register_forward_hook(leaving)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
